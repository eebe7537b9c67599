"""Finding one dead letter by the name that a person gives it.

Invariant: a letter's own coordinate is fetched without reading its topic; every other name takes one pass over it.
"""

import re
from collections.abc import Iterable
from typing import Final

from worker.dlq.letter import DeadLetter
from worker.dlq.payload import Fetch
from worker.domain.errors import LabelwireError
from worker.domain.records import Coordinate, Record
from worker.reporting.formats import printable

_COORDINATE: Final = re.compile(r"(?:([a-zA-Z0-9._-]{1,249})/)?([0-9]{1,9})/([0-9]{1,18})")


def parse_coordinate(name: str, topic: str) -> Coordinate | None:
    """Return the coordinate that a name is, `topic/partition/offset` or `partition/offset` of `topic`, else None."""
    match = _COORDINATE.fullmatch(name.strip())
    return None if match is None else Coordinate(match[1] or topic, int(match[2]), int(match[3]))


def letter_at(coordinate: Coordinate, fetch: Fetch) -> DeadLetter:
    """Return the letter at a coordinate. Raises LabelwireError if there is none, and what `fetch` raises."""
    record = fetch(coordinate)
    if record is None:
        raise LabelwireError(f"There is no dead letter at {coordinate}; `labelwire dlq ls` lists the dead letters.")
    return DeadLetter.of(record)


def newest_named(name: str, topic: str, records: Iterable[Record]) -> DeadLetter:
    """Return the newest letter with this id, this job id, or a job that stood at this coordinate.

    Raises LabelwireError if there is none.
    """
    coordinate, newest = parse_coordinate(name, topic), None
    for record in records:
        letter = DeadLetter.of(record)
        if _is_meant(letter, name, coordinate) and (
            newest is None or letter.record.timestamp_ms >= newest.record.timestamp_ms
        ):
            newest = letter
    if newest is None:
        raise LabelwireError(
            f"No dead letter on {topic} has the id, job id or job's coordinate {printable(name)}; "
            "`labelwire dlq ls` lists the dead letters."
        )
    return newest


def _is_meant(letter: DeadLetter, name: str, coordinate: Coordinate | None) -> bool:
    if name in (letter.id, letter.job_id):
        return True
    return coordinate is not None and coordinate in (letter.source, letter.derived.origin)
