"""Topics that are created again while they are read, by what a scripted broker tells of them, in virtual time."""

from collections.abc import Collection
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Uuid

from worker.adapters.kafka.topic_ids import TopicIds
from worker.adapters.kafka.topic_watch import TopicWatch
from worker.domain.offsets import encode_metadata
from worker.domain.records import CommitPoint, TopicPartition
from worker.testing.clock import ManualClock

JOBS = "jobs"
FIRST, SECOND = TopicPartition(JOBS, 0), TopicPartition(JOBS, 1)
IDS = [Uuid(7, number) for number in range(3)]


class ScriptedAdmin:
    """Tells of one topic: `told` is its id and its number of partitions, or why nothing is told."""

    def __init__(self) -> None:
        self.told: tuple[Uuid, int] | KafkaError = (IDS[0], 2)
        self.answers = True
        self.is_hung = False

    def list_topics(self, **_: object) -> object:
        if not self.answers:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - librdkafka's own name
        return SimpleNamespace(cluster_id="cluster")

    def describe_topics(self, topics: Any, **_: object) -> dict[str, Future[object]]:  # noqa: ANN401
        assert topics is not None
        future: Future[object] = Future()
        if self.is_hung:
            return {JOBS: future}
        if isinstance(self.told, KafkaError):
            future.set_exception(KafkaException(self.told))
        else:
            topic_id, partitions = self.told
            future.set_result(SimpleNamespace(topic_id=topic_id, partitions=[None] * partitions))
        return {JOBS: future}


class Watched:
    """A watch, and what its broker tells."""

    def __init__(self) -> None:
        self.admin, self.clock = ScriptedAdmin(), ManualClock()
        self.made = 0
        self.ids = TopicIds(self._make)  # type: ignore[arg-type]
        self.watch = TopicWatch(self.ids, self.clock)

    def _make(self) -> ScriptedAdmin:
        self.made += 1
        return self.admin

    def hold(self, partitions: Collection[TopicPartition], topic_id: str) -> None:
        self.watch.hold({partition: CommitPoint(5, topic_id=topic_id) for partition in partitions})

    def seen(self) -> dict[TopicPartition, bool]:
        """Return what is noticed within two questions."""
        found: dict[TopicPartition, bool] = {}
        for _ in range(4):
            found |= self.watch.recreated()
            self.clock.advance(0.6)
        return found


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_topic_that_is_made_anew_is_noticed_once_held_anew_and_noticed_again(watched: Watched) -> None:
    watched.ids.of([JOBS])
    watched.hold([FIRST, SECOND], str(IDS[0]))
    assert watched.seen() == {}
    watched.admin.told = (IDS[1], 1)
    assert watched.seen() == {FIRST: True, SECOND: False}
    watched.watch.release([SECOND])
    watched.hold([FIRST], str(IDS[1]))
    watched.admin.told = (IDS[0], 2)  # a broker that lags behind
    assert watched.seen() == {}
    watched.admin.told = (IDS[2], 2)
    assert watched.seen() == {FIRST: True}


@pytest.mark.parametrize("known", [True, False], ids=["ids are told", "nothing was told"])
def test_a_partition_whose_id_was_not_told_at_its_assignment_is_watched_all_the_same(
    watched: Watched, *, known: bool
) -> None:
    watched.admin.answers = known
    if known:
        watched.ids.of([JOBS])
    else:
        with pytest.raises(KafkaException):
            watched.ids.of([JOBS])
    watched.hold([FIRST], "")
    assert watched.seen() == {}
    watched.admin.told = (IDS[1], 2)
    assert watched.seen() == {FIRST: True}


def test_a_partition_is_watched_under_the_id_that_its_commit_names(watched: Watched) -> None:
    watched.ids.of([JOBS])
    named = CommitPoint(5, encode_metadata(5, (), topic_id=str(IDS[1])))
    watched.watch.hold({FIRST: named})
    assert watched.seen() == {FIRST: True}


def test_a_topic_that_is_gone_or_is_not_described_is_no_other_one(watched: Watched) -> None:
    watched.ids.of([JOBS])
    watched.hold([FIRST], str(IDS[0]))
    for refusal in (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.NOT_CONTROLLER,
    ):
        watched.admin.told = KafkaError(refusal)
        assert watched.seen() == {}
    watched.admin.told = (Uuid(0, 0), 2)  # a broker that tells no ids
    assert watched.seen() == {}


def test_a_question_that_is_never_answered_is_asked_again_by_another_client(watched: Watched) -> None:
    watched.hold([FIRST, SECOND], str(IDS[0]))
    watched.admin.is_hung = True
    assert watched.seen() == {}
    watched.admin.is_hung, watched.admin.told = False, (IDS[1], 2)
    assert watched.seen() == {}
    assert watched.made == 1
    watched.clock.advance(15)
    assert watched.seen() == {FIRST: True, SECOND: True}
    assert watched.made == 2
