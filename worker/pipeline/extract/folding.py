"""Text as it is compared: letter case, accents and the pairs that a recogniser mixes up play no part.

Invariant: folding keeps the length, so a place in the folded text is the same place in the text as read.
"""

import unicodedata
from collections.abc import Iterable
from typing import Final

_LATIN: Final = range(0x24F + 1)
_ALONE: Final = dict(zip("ßØøŁłĐđÆæı", "SOOLLDDAAI", strict=True))  # letters that do not come apart
_PUNCTUATION: Final = dict(zip("：，．–—−‐‑’", ":,.-----'", strict=True))  # noqa: RUF001 - what keyboards have none of
_LOOKALIKES: Final = {
    "0": "O",
    "Q": "O",
    "1": "I",
    "L": "I",
    "|": "I",
    "!": "I",
    "5": "S",
    "8": "B",
    "6": "G",
    "2": "Z",
}


def _plain(character: str) -> str:
    if character in _ALONE:
        return _ALONE[character]
    base = unicodedata.normalize("NFD", character)[0].upper()
    return base if len(base) == 1 else character


_FOLDED: Final = {ord(character): _plain(character) for character in map(chr, _LATIN)} | {
    ord(character): plain for character, plain in (_ALONE | _PUNCTUATION).items()
}
_SKELETON: Final = {ord(character): alike for character, alike in _LOOKALIKES.items()}


def fold(text: str) -> str:
    """Return the text in capitals without accents, of the same length."""
    return text.translate(_FOLDED)


def skeleton(folded: str) -> str:
    """Return folded text with one character for all that look alike, as O for 0 and I for 1 and L."""
    return folded.translate(_SKELETON)


def phrases(words: Iterable[str]) -> str:
    """Return a pattern for the skeleton of any of the phrases, longest first; the spaces in them may be missing."""
    shapes = sorted({skeleton(fold(word)) for word in words}, key=lambda shape: (-len(shape), shape))
    return "|".join(r"\W{0,2}".join(map(_literal, shape.split())) for shape in shapes)


def _literal(word: str) -> str:
    return "".join(character if character.isalnum() else f"\\{character}\\W?" for character in word)
