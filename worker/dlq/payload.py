"""The job inside a dead letter: its key, value and headers as they failed.

Invariant: what is returned has the sha256 that the dead letter states, whether it traveled inside the letter or was
fetched back from its source.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from worker.dlq.letter import DeadLetter
from worker.domain.errors import LabelwireError
from worker.domain.headers import without_dead_letter_headers
from worker.domain.records import Coordinate, Headers, Record

# Returns the record at a coordinate, None if it is no longer there; `RecordFetcher.fetch` is one.
Fetch = Callable[[Coordinate], Record | None]


class PayloadMissingError(LabelwireError):
    """The job of a dead letter is missing: neither the letter nor its source holds it."""


@dataclass(frozen=True, slots=True)
class OriginalJob:
    """A job as it failed; the headers are those received, without the dead letter's own."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def original_job(letter: DeadLetter, fetch: Fetch) -> OriginalJob:
    """Return the job of a dead letter; one in `reference` mode is fetched back from its source.

    Raises PayloadMissingError where retention took it, or something else stands in its place, and what `fetch` raises.
    """
    if not letter.is_reference:
        _check_inline(letter)
        return OriginalJob(letter.record.key, letter.record.value, letter.received_headers)
    found = _fetched(letter, fetch)
    # Key and received headers may have stayed behind as well; what the letter says of the way is newer.
    return OriginalJob(found.key, found.value, letter.derived.onto(without_dead_letter_headers(found.headers)))


def _check_inline(letter: DeadLetter) -> None:
    if letter.payload_sha256 and letter.payload_sha256 != _sha256(letter.record.value):
        raise PayloadMissingError(
            f"The payload in the dead letter {letter.record.coordinate} does not match its sha256: it was changed on "
            "the way."
        )


def _fetched(letter: DeadLetter, fetch: Fetch) -> Record:
    at = letter.record.coordinate
    if letter.source is None:
        raise PayloadMissingError(
            f"The dead letter {at} left its payload at its source, but does not say where that is."
        )
    found = fetch(letter.source)
    if found is None:
        raise PayloadMissingError(
            f"The payload of the dead letter {at} was at {letter.source} and is no longer there: retention removed it, "
            "or the topic was deleted and created again. Ask its producer to send it again."
        )
    if _sha256(found.value) != letter.payload_sha256:
        raise PayloadMissingError(
            f"The payload of the dead letter {at} was at {letter.source}, where another record is now (its sha256 "
            "differs): the topic was deleted and created again, or the letter came from another cluster."
        )
    return found


def _sha256(value: bytes | None) -> str:
    return hashlib.sha256(value or b"").hexdigest()
