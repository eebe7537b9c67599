"""Text made ready for comparison: without case, accents and the differences that a recognizer mixes up.

Invariant: folding keeps the length, so a character of the folded text stands where it stands in the text as read.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_REMEMBERED: Final = 8192  # texts: every finder asks for the same lines, and labels share their captions
_SIGNS: Final = re.compile(r"[\W_]+")
_LATIN: Final = range(0x24F + 1)
_ALONE: Final = dict(zip("ßØøŁłĐđÆæı", "SOOLLDDAAI", strict=True))  # letters that Unicode does not decompose
_PUNCTUATION: Final = dict(zip("：，．–—−‐‑’‘´ʼ′", ":,.-----" + 5 * "'", strict=True))  # noqa: RUF001 - what keyboards have none of
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
# Full-width forms are the same letters and digits, as wide as an ideograph.
_FOLDED.update({wide: chr(wide - 0xFEE0).upper() for wide in range(0xFF01, 0xFF5F)})
_SKELETON: Final = {ord(character): alike for character, alike in _LOOKALIKES.items()}


@lru_cache(maxsize=_REMEMBERED)
def fold(text: str) -> str:
    """Return the text in capitals without accents, of the same length."""
    return text.upper() if text.isascii() else text.translate(_FOLDED)


@lru_cache(maxsize=_REMEMBERED)
def skeleton(folded: str) -> str:
    """Return folded text with one character for all that look alike, such as O for 0, and I for 1 and L."""
    return folded.translate(_SKELETON)


def phrases(words: Iterable[str]) -> str:
    """Return a pattern that finds any of the phrases in a skeleton, the longest first.

    Spaces may be missing, and other signs may be read as any signs. The pattern repeats nothing without a bound, so no
    text makes it slow.
    """
    shapes = sorted({skeleton(fold(word)).strip() for word in words}, key=lambda shape: (-len(shape), shape))
    return "|".join(_SIGNS.sub(_any_signs, shape) for shape in shapes)


def _any_signs(signs: re.Match[str]) -> str:
    printed = len(signs[0].replace(" ", ""))
    return rf"\W{{1,{printed + 2}}}" if printed else r"\W{0,2}"
