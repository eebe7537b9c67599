"""Filters as they are written on the command line.

Invariant: what is misspelt is refused with a sentence, because a filter that silently matches nothing looks like an
empty topic.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from worker.dlq.letter import UNKNOWN_CODE, UNKNOWN_STAGE
from worker.dlq.selection import Selection
from worker.domain.errors import ErrorCode, LabelwireError, Stage

_UNITS_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhdw])")
_AGE: Final = re.compile(rf"(?:{_AGE_PART.pattern})+")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{1,8}")
_CODES: Final = (*(str(code) for code in ErrorCode), UNKNOWN_CODE)
_STAGES: Final = (*(str(stage) for stage in Stage), UNKNOWN_STAGE)
_NEARLY: Final = 0.8


@dataclass(frozen=True, slots=True)
class Filters:
    """A selection in words: ages as `90m` or `1d12h`, headers as `name=value`."""

    codes: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    older_than: str | None = None
    newer_than: str | None = None
    keys: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    limit: int | None = None

    def in_words(self) -> str:
        """Return in words which letters are selected, for a report."""
        kinds = {
            "code": self.codes,
            "stage": self.stages,
            "fingerprint": self.fingerprints,
            "key": self.keys,
            "header": self.headers,
            "older than": (self.older_than,) if self.older_than else (),
            "newer than": (self.newer_than,) if self.newer_than else (),
        }
        said = [f"{kind} {' or '.join(values)}" for kind, values in kinds.items() if values]
        which = f"letters with {', '.join(said)}" if said else "all letters"
        return which if self.limit is None else f"{which}, {self.limit} at most"


def parse_filters(filters: Filters) -> Selection:
    """Return the selection. Raises LabelwireError, in a sentence, for a filter that makes no sense."""
    older = None if filters.older_than is None else _age_seconds("--older-than", filters.older_than)
    newer = None if filters.newer_than is None else _age_seconds("--newer-than", filters.newer_than)
    if older is not None and newer is not None and newer <= older:
        raise LabelwireError(
            f"No letter is older than {filters.older_than} and newer than {filters.newer_than}: "
            "--newer-than must be the longer age."
        )
    return Selection(
        codes=frozenset(_known("--code", code.strip().upper(), _CODES) for code in filters.codes),
        stages=frozenset(_known("--stage", stage.strip().lower(), _STAGES) for stage in filters.stages),
        older_than_seconds=older,
        newer_than_seconds=newer,
        keys=frozenset(filters.keys),
        headers=tuple(_header(text) for text in filters.headers),
        fingerprints=frozenset(_fingerprints(filters.fingerprints)),
        limit=filters.limit,
    )


def _age_seconds(option: str, text: str) -> float:
    if not _AGE.fullmatch(text.strip()):
        raise LabelwireError(f"{option} {text!r} is not an age: write it as 30s, 90m, 12h, 7d, 2w or 1d12h.")
    return sum(float(number) * _UNITS_SECONDS[unit] for number, unit in _AGE_PART.findall(text))


def _known(option: str, name: str, known: Iterable[str]) -> str:
    """Refuse a name that is nearly a known one; let other unknown names pass, as a later worker may write them."""
    candidates = list(known)
    near = difflib.get_close_matches(name, candidates, n=1, cutoff=_NEARLY)
    if name not in candidates and near:
        raise LabelwireError(f"{option} {name!r} is not known: did you mean {near[0]}?")
    return name


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise LabelwireError(f"--header {text!r} is not name=value.")
    return name, value


def _fingerprints(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        fingerprint = text.strip().lower()
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise LabelwireError(
                f"--fingerprint {text!r} is not one to eight digits 0-9 and a-f, as `labelwire dlq ls` shows them."
            )
        yield fingerprint
