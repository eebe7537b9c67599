"""The one letter that a person means.

Invariant: a letter is found by its own place without reading its topic; every other name takes one pass over it.
"""

import re
from collections.abc import Iterable
from typing import Final

from worker.dlq.letter import DeadLetter
from worker.dlq.payload import Fetch
from worker.domain.errors import LabelwireError
from worker.domain.records import Coordinate, Record
from worker.reporting.formats import printable

_PLACE: Final = re.compile(r"(?:([a-zA-Z0-9._-]{1,249})/)?([0-9]{1,9})/([0-9]{1,18})")


def parse_coordinate(name: str, topic: str) -> Coordinate | None:
    """Return the coordinate that a name is, `topic/partition/offset` or `partition/offset` of `topic`, else None."""
    found = _PLACE.fullmatch(name.strip())
    return None if found is None else Coordinate(found[1] or topic, int(found[2]), int(found[3]))


def letter_at(place: Coordinate, fetch: Fetch) -> DeadLetter:
    """Return the letter at a place. Raises LabelwireError if there is none, and what `fetch` raises."""
    record = fetch(place)
    if record is None:
        raise LabelwireError(f"There is no letter at {place}: `labelwire dlq ls` lists those there are.")
    return DeadLetter.of(record)


def newest_named(name: str, topic: str, records: Iterable[Record]) -> DeadLetter:
    """Return the newest letter with this id, this job id, or a job that stood at this coordinate.

    Raises LabelwireError if there is none.
    """
    place, newest = parse_coordinate(name, topic), None
    for record in records:
        letter = DeadLetter.of(record)
        if _is_meant(letter, name, place) and (
            newest is None or letter.record.timestamp_ms >= newest.record.timestamp_ms
        ):
            newest = letter
    if newest is None:
        raise LabelwireError(
            f"No letter on {topic} has the id, the job or the coordinate {printable(name)}: "
            "`labelwire dlq ls` lists those there are."
        )
    return newest


def _is_meant(letter: DeadLetter, name: str, place: Coordinate | None) -> bool:
    if name in (letter.id, letter.job_id):
        return True
    return place is not None and place in (letter.source, letter.derived.origin)
