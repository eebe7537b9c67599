"""The job inside a dead letter: its key, value and headers as they failed.

Invariant: what is returned has the sha256 that the dead letter states, whether it traveled inside the letter or was
fetched back from its source.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from worker.domain.errors import LabelwireError
from worker.domain.headers import DEAD_LETTER_PREFIX, DerivedHeaders
from worker.domain.records import Coordinate, Headers, Record

REFERENCE_MODE: Final = "reference"

# Returns the record at a coordinate, None if it is no longer there; `RecordFetcher.fetch` is one.
Fetch = Callable[[Coordinate], Record | None]

_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


class PayloadMissingError(LabelwireError):
    """The job of a dead letter cannot be had: neither the letter nor its source holds it."""


@dataclass(frozen=True, slots=True)
class Original:
    """A job as it failed; the headers are those received, without the dead letter's own."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def is_reference(letter: Record) -> bool:
    """Whether a dead letter only says where its payload stands."""
    return letter.header(f"{DEAD_LETTER_PREFIX}payload.mode") == REFERENCE_MODE


def source_of(letter: Record) -> Coordinate | None:
    """Return where the record stood that failed; None if the letter does not say so, or says nonsense."""
    topic, partition, offset = (_header(letter, f"source.{part}") for part in ("topic", "partition", "offset"))
    if not (_TOPIC.fullmatch(topic) and _NUMBER.fullmatch(partition) and _NUMBER.fullmatch(offset)):
        return None
    return Coordinate(topic, int(partition), int(offset))


def original(letter: Record, fetch: Fetch) -> Original:
    """Return the job of a dead letter; one in `reference` mode is fetched back from its source.

    Raises PayloadMissingError where retention took it, or something else stands in its place, and what `fetch` raises.
    """
    if not is_reference(letter):
        _check_inline(letter)
        return Original(letter.key, letter.value, _received(letter.headers))
    found = _fetched(letter, fetch)
    # Key and received headers may have stayed behind as well; what the letter says of the way is newer.
    return Original(found.key, found.value, DerivedHeaders.of(letter).onto(_received(found.headers)))


def _check_inline(letter: Record) -> None:
    stated = _header(letter, "payload.sha256")
    if stated and stated != _sha256(letter.value):
        raise PayloadMissingError(
            f"The dead letter {letter.coordinate} holds a payload that its sha256 denies: it was changed on its way."
        )


def _fetched(letter: Record, fetch: Fetch) -> Record:
    source = source_of(letter)
    if source is None:
        raise PayloadMissingError(
            f"The dead letter {letter.coordinate} left its payload at its source, but does not say where that is."
        )
    found = fetch(source)
    if found is None:
        raise PayloadMissingError(
            f"The payload of the dead letter {letter.coordinate} stood at {source} and is there no longer: "
            "retention took it, or the topic was made anew. Ask its producer to send it again."
        )
    if _sha256(found.value) != _header(letter, "payload.sha256"):
        raise PayloadMissingError(
            f"The payload of the dead letter {letter.coordinate} stood at {source}, where another record stands now "
            "(sha256 differs): the topic was made anew, or the letter came from another cluster."
        )
    return found


def _received(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if not name.startswith(DEAD_LETTER_PREFIX))


def _header(letter: Record, name: str) -> str:
    return letter.header(DEAD_LETTER_PREFIX + name) or ""


def _sha256(value: bytes | None) -> str:
    return hashlib.sha256(value or b"").hexdigest()
