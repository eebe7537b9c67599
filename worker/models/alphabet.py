"""Which classes of a recognizer's head a deployment keeps.

Invariant: class 0 is the CTC blank and is always kept, as is the space; kept classes stay in the dictionary's order.
"""

import string
from collections.abc import Sequence
from pathlib import Path

from worker.domain.errors import LabelwireError

FULL = "full"
LATIN = "latin"
BLANK = ""
_SPACE = " "
# What Western labels and receipts print beside ASCII, and the letters of the languages written in Latin script.
_LATIN_SIGNS = "£€¥¢§°±²³µ·×–—‘’“”…•©®™№"  # noqa: RUF001  look-alikes are the point
_LATIN_LETTERS = "".join(map(chr, range(0xC0, 0x180)))
_LATIN_CHARACTERS = frozenset(
    string.ascii_letters + string.digits + string.punctuation + _SPACE + _LATIN_SIGNS + _LATIN_LETTERS
)


class AlphabetError(LabelwireError):
    """The alphabet asked for cannot be cut out of the recognizer's dictionary."""


def alphabet_name(alphabet: str) -> str:
    """Return what an alphabet is called: `full`, `latin`, or the name of its file without folder and suffix."""
    return alphabet if alphabet in {FULL, LATIN} else Path(alphabet).stem


def ctc_dictionary(characters: Sequence[str]) -> tuple[str, ...]:
    """Return a PP-OCR dictionary in the order of the head's classes: blank, the characters, the space."""
    return (BLANK, *characters, _SPACE)


def kept_classes(dictionary: Sequence[str], alphabet: str) -> tuple[int, ...]:
    """Return the indices of the classes that stay, ascending, the blank first.

    `alphabet` is `full`, `latin`, or the path of a UTF-8 file; every character in that file except line ends is kept.
    Raises AlphabetError if the file is absent, empty, or names a character that the recognizer does not know.
    """
    if alphabet == FULL:
        return tuple(range(len(dictionary)))
    wanted = _LATIN_CHARACTERS if alphabet == LATIN else _characters_of_file(Path(alphabet), dictionary)
    return tuple(index for index, character in enumerate(dictionary) if index == 0 or character in wanted | {_SPACE})


def _characters_of_file(path: Path, dictionary: Sequence[str]) -> frozenset[str]:
    if not path.is_file():
        raise AlphabetError(
            f"the alphabet {str(path)!r} is neither '{FULL}' nor '{LATIN}' nor a file: give one of these"
        )
    wanted = frozenset(path.read_text(encoding="utf-8")) - {"\n", "\r", "\ufeff"}
    if not wanted:
        raise AlphabetError(f"the alphabet file {path} is empty: write the characters to keep into it")
    unknown = sorted(wanted - set(dictionary))
    if unknown:
        shown = " ".join(unknown[:20])
        raise AlphabetError(
            f"the recognizer does not know {len(unknown)} of the characters in {path} ({shown}): remove them"
        )
    return wanted
