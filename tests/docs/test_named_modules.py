"""The modules and folders that the pages name are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
_MODULE = re.compile(r"(?<![\w/.-])((?:worker/)?(?:[a-z_]+/)+[a-z_]+\.py)\b")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_module_that_a_page_names_is_there(page: Path) -> None:
    named = set(_MODULE.findall(page.read_text(encoding="utf-8")))
    assert [name for name in named if not any((base / name).is_file() for base in (ROOT, ROOT / "worker"))] == []


def test_the_pages_name_modules_at_all() -> None:
    assert len(_MODULE.findall((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))) > 10
