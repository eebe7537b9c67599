"""Seeded chance: the same seed path gives the same draws, and each path its own stream.

What a label says, how it is laid out and how it is photographed draw from streams of their own, so that one and the
same label can be had clean and degraded.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_Item = TypeVar("_Item")
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"  # without I, O and Q, as carriers leave them out


class Chance:
    """Draws of the kinds that labels need, from the stream named by `path`."""

    def __init__(self, *path: int) -> None:
        self.generator = np.random.default_rng(path)

    def between(self, low: float, high: float) -> float:
        """Return a number from `low` up to `high`."""
        return float(self.generator.uniform(low, high))

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both possible."""
        return int(self.generator.integers(low, high, endpoint=True))

    def likely(self, share: float) -> bool:
        """Return true in about `share` of the draws, 0 to 1."""
        return bool(self.generator.random() < share)

    def pick(self, items: Sequence[_Item]) -> _Item:
        """Return one of the items."""
        return items[self.whole(0, len(items) - 1)]

    def digits(self, count: int) -> str:
        """Return that many decimal digits."""
        return "".join(str(self.whole(0, 9)) for _ in range(count))

    def letters(self, count: int) -> str:
        """Return that many capitals, none of which looks like a digit."""
        return "".join(self.pick(_LETTERS) for _ in range(count))

    def filled(self, pattern: str) -> str:
        """Return the pattern with each `#` a digit, each `%` a digit from 1 and each `@` a capital."""
        return "".join(self._mark(mark) for mark in pattern)

    def _mark(self, mark: str) -> str:
        if mark == "%":
            return str(self.whole(1, 9))
        return {"#": self.digits, "@": self.letters}[mark](1) if mark in "#@" else mark
