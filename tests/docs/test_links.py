"""Each link of a page leads to a file, and to a heading if it names one."""

from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, name_of

ELSEWHERE = ("https://", "http://", "mailto:")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_link_leads_somewhere(page: Path) -> None:
    inside = [link for link in links(page) if not link.startswith(ELSEWHERE)]
    assert [link for link in inside if not _is_there(page, unquote(link))] == []


def test_links_are_found_and_missing_targets_are_seen() -> None:
    readme = ROOT / "README.md"
    assert len(links(readme)) > 20
    assert not _is_there(readme, "docs/no-such-page.md")
    assert not _is_there(readme, "docs/models.md#no-such-heading")


def _is_there(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in anchors(target))
