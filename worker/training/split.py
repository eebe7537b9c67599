"""Training, validation and test: which pictures belong to which.

Invariant: the split of a picture depends on the seed and on its content or key alone, so a later export with the same
seed never moves a picture from one split to another.
"""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Final, Self

from worker.domain.errors import LabelwireError

_PERCENT: Final = 100
_FORM: Final = re.compile(r"(\d{1,3})/(\d{1,3})/(\d{1,3})")


class Split(StrEnum):
    """What a picture is for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class SplitBy(StrEnum):
    """What is kept together: one picture, or all pictures of one record key."""

    CONTENT = "content"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Splitter:
    """Assigns splits by a hash of `seed` and content or key; `percentages` are those of training, validation, test."""

    percentages: tuple[int, int, int]
    seed: int
    by: SplitBy

    @classmethod
    def parse(cls, ratios: str, seed: int, by: SplitBy) -> Self:
        """Read percentages as `80/10/10`. Raises LabelwireError."""
        form = _FORM.fullmatch(ratios.strip())
        if form is None or sum(map(int, form.groups())) != _PERCENT or form[1] == "0":
            raise LabelwireError(
                f"--split {ratios!r} is not three percentages for training, validation and test that make 100, the "
                "first above 0: write it as 80/10/10."
            )
        train, validation, test = map(int, form.groups())
        return cls((train, validation, test), seed, by)

    def of(self, content_sha256: str, key: bytes | None) -> Split:
        """Return the split of a picture. Without a key, its content counts as its key."""
        group = key if self.by is SplitBy.KEY and key is not None else content_sha256.encode()
        drawn = seeded_rank(self.seed, group) * _PERCENT
        bounds = accumulate(self.percentages)
        return next(split for split, bound in zip(Split, bounds, strict=True) if drawn < bound)


def seeded_rank(seed: int, value: bytes) -> float:
    """Return a number in [0, 1) that looks random and depends on seed and value alone."""
    # 52 bits, so that no number is rounded up to 1.
    digest = hashlib.sha256(str(seed).encode() + b"\0" + value).digest()
    return (int.from_bytes(digest[:8], "big") >> 12) / 2**52
