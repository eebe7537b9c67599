"""Where a group begins to read a partition: its committed position, compared with the log as it is now.

The rules:

1. A commit that names another topic id belongs to a topic that was deleted and created again: the new one is read from
   its beginning. So is a partition whose commit lies above the log's end, which was truncated, or made anew by a broker
   that tells no ids.
2. A commit below the log's beginning was passed by retention: reading begins where the log does.
3. A partition without a commit is read from its beginning, unless its group is new and wants only what comes from now
   on. A group is new that has committed nothing on any partition of any topic that it reads: whoever finds it so first
   commits the ends of all these partitions at once, and so decides for all members. Partitions and topics that come
   later are read from their beginning.

`low` is the offset of the first record that is left, `end` the one after the last record that is written, also where a
transaction is open below it.
"""

from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

from worker.domain.offsets import topic_id_of, within_log
from worker.domain.records import CommitPoint


class ResetReason(StrEnum):
    """Why a group does not begin at its committed position."""

    RECREATED = "the topic was deleted and created again"
    TRUNCATED = "the committed offset lies above the end of the partition"
    EXPIRED = "retention has removed what was committed as not done"


class LogBounds(NamedTuple):
    """A partition's log as it is now; `topic_id` is empty where the broker has no ids."""

    low: int
    end: int
    topic_id: str = ""


class StartPosition(NamedTuple):
    """Where to begin, and why that is not the committed position."""

    point: CommitPoint
    reset: ResetReason | None = None


def is_same_topic(made_for: str, topic_id: str) -> bool:
    """Say whether offsets that were made for one topic belong to the present one of its name.

    Both are ids; an empty one, where the broker had none, counts as the same.
    """
    return not made_for or not topic_id or made_for == topic_id


def start_position(committed: CommitPoint | None, log: LogBounds) -> StartPosition:
    """Return where a group begins; without a commit, at the log's beginning."""
    beginning = CommitPoint(log.low, topic_id=log.topic_id)
    if committed is None:
        return StartPosition(beginning)
    if not is_same_topic(topic_id_of(committed), log.topic_id):
        return StartPosition(beginning, ResetReason.RECREATED)
    if committed.offset > log.end:
        return StartPosition(beginning, ResetReason.TRUNCATED)
    point = replace(within_log(committed, log.low, log.end), topic_id=log.topic_id)
    return StartPosition(point, ResetReason.EXPIRED if committed.offset < log.low else None)
