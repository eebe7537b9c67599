"""What the pages say that can be compared with the code: commands, links, names.

Invariant: a page is read as Markdown, so that only what is shown as code counts as code.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        ROOT / "helm" / "labelwire" / "README.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)
_SHELL: Final = frozenset({"", "sh", "bash"})
_ENDS: Final = re.compile(r"[();<>|&]+")
_PROGRAM: Final = re.compile(r"(?:.*/)?labelwire")
_COLUMN: Final = re.compile(r"\s{2,}")
_SUBSTITUTED: Final = re.compile(r"\$\((.*)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its language, empty if none is named, and its text."""

    language: str
    text: str


def name_of(page: Path) -> str:
    """Return the page's path below the repository, for a test's id."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """Return the page's blocks of code."""
    return [
        Block(token.info.strip(), token.content) for token in _tokens(page) if token.type in {"fence", "code_block"}
    ]


def spans(page: Path) -> list[str]:
    """Return what the page shows as code within its sentences, each in one line."""
    found = [child.content for token in _tokens(page) for child in token.children or () if child.type == "code_inline"]
    return [" ".join(span.split()) for span in found]


def links(page: Path) -> list[str]:
    """Return the targets of the page's links."""
    children = [child for token in _tokens(page) for child in token.children or ()]
    return [str(child.attrs["href"]) for child in children if child.type == "link_open"]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the page's headings, as GitHub makes them."""
    tokens = _tokens(page)
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def invocations(block: Block) -> list[list[str]]:
    """Return the arguments of each call of `labelwire` in a block of shell commands.

    In a block with a prompt, `$ `, the lines without one are output.
    """
    if block.language not in _SHELL:
        return []
    lines = block.text.replace("\\\n", " ").splitlines()
    if not block.language:  # a table of calls, with what each does beside it
        lines = [_COLUMN.split(line.strip())[0] for line in lines]
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [call for line in prompted or lines for call in _calls(line)]


def _calls(line: str) -> Iterator[list[str]]:
    words = _words(line)
    for number, word in enumerate(words):
        if (substituted := _SUBSTITUTED.search(word)) is not None:
            yield from _calls(substituted.group(1))
        before = words[number - 1] if number else ""
        begins = number == 0 or _ENDS.fullmatch(before) or before == "--" or "=" in before
        if begins and _PROGRAM.fullmatch(word):
            end = next((n for n in range(number, len(words)) if _ENDS.fullmatch(words[n])), len(words))
            yield [word for word in words[number + 1 : end] if word != "$"]


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:  # an apostrophe of an output that is no command
        return line.split()


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))
