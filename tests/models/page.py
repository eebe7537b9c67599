"""The commands of the page for people who bring their own models."""

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def page_blocks() -> list[str]:
    """Return what stands in the blocks of commands of the section "Your own models", in order."""
    section = _PAGE.read_text(encoding="utf-8").partition("## Your own models")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
