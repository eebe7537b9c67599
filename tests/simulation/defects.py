"""Defects, planted in the real classes as a mutation would, to show that the judge finds them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from tests.simulation.jobs import TOPICS
from tests.simulation.ports import SimulatedSink
from worker.domain import offsets, start_position
from worker.domain.offsets import OffsetTracker
from worker.domain.records import CommitPoint, OutgoingRecord, Record, TopicPartition
from worker.ports import FencedError
from worker.runtime.ordering import KeyOrder
from worker.runtime.partitions import Partitions
from worker.testing.transactions import MemoryTransactions

_Points = Mapping[TopicPartition, CommitPoint]


def _highest_seen(self: OffsetTracker, _still_open: object) -> int | None:
    return self._next


async def _acknowledge_first(self: SimulatedSink, record: OutgoingRecord) -> None:
    task = asyncio.get_running_loop().create_task(self._carry(record))
    self._under_way.add(task)
    task.add_done_callback(self._arrived)


_send = SimulatedSink.send


async def _lose_retries(self: SimulatedSink, record: OutgoingRecord) -> None:
    if record.topic not in TOPICS.retry_topics:
        await _send(self, record)


async def _lose_dead_letters_in_bad_weather(self: SimulatedSink, record: OutgoingRecord) -> None:
    if record.topic != TOPICS.dead_letters or not self._weather.happens(self._weather.sends_refused):
        await _send(self, record)


def _trust_any_metadata(_base: int, _fields: bytes) -> int:
    return 0


def _keep_old_trackers(_self: Partitions, _partitions: object) -> None:
    """Forget nothing: an earlier assignment's tracker goes on."""


_assign = Partitions.assign


def _go_on_where_it_was(self: Partitions, partitions: _Points) -> object:
    return _assign(self, {partition: point for partition, point in partitions.items() if partition not in self.held})


@asynccontextmanager
async def _no_turns(_self: KeyOrder, _record: Record) -> AsyncIterator[None]:
    yield


_refusal = MemoryTransactions._refusal  # noqa: SLF001 - what is broken is inside


def _fence_nobody(self: MemoryTransactions, records: Sequence[OutgoingRecord], points: _Points) -> Exception | None:
    error = _refusal(self, records, points)
    return None if isinstance(error, FencedError) else error


def _same_whatever_the_ids(_made_for: str, _topic_id: str) -> bool:
    return True


_encode = offsets.encode_metadata


def _name_no_topic(base: int, done: Collection[int], **said: Any) -> str:  # noqa: ANN401 - whatever else is said
    return _encode(base, done, **{**said, "topic_id": ""})


DEFECTS: Mapping[str, tuple[tuple[type | object, str, object], ...]] = {
    "commit the highest seen": ((OffsetTracker, "_base_over", _highest_seen),),
    "acknowledge before it is written": ((SimulatedSink, "send", _acknowledge_first),),
    "lose retry records": ((SimulatedSink, "send", _lose_retries),),
    "drop a dead letter that is refused": ((SimulatedSink, "send", _lose_dead_letters_in_bad_weather),),
    "trust any metadata": ((offsets, "_checksum", _trust_any_metadata),),
    "go on where a former topic was left": ((start_position, "is_same_topic", _same_whatever_the_ids),),
    "commit without the topic's id": ((offsets, "encode_metadata", _name_no_topic),),
    "begin the jobs of a key together": ((KeyOrder, "in_order", _no_turns),),
    "commit transactions of partitions that are another's": ((MemoryTransactions, "_refusal", _fence_nobody),),
    "let completions of an old assignment count": (
        (Partitions, "drop", _keep_old_trackers),
        (Partitions, "assign", _go_on_where_it_was),
    ),
}


# Seeds without this fault cannot show the defect.
SHOWN_BY: Mapping[str, str] = {
    "go on where a former topic was left": "topic-made-anew",
    "commit without the topic's id": "topic-made-anew",
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a defect for the time of the block."""
    kept: list[Callable[[], None]] = []
    for owner, attribute, defect in DEFECTS[name]:
        was = vars(owner)[attribute]
        kept.append(lambda owner=owner, attribute=attribute, was=was: setattr(owner, attribute, was))  # type: ignore[misc]
        setattr(owner, attribute, defect)
    try:
        yield
    finally:
        for restore in kept:
            restore()
