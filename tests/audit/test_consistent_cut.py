"""The order of the questions: the world goes on between any two of them, and nothing may seem lost."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.audit.histories import TOPICS, Logs
from worker.audit.account import account
from worker.audit.consistent_cut import ConsistentCut, find_removals, input_topics, outcome_topics, take_cut
from worker.domain.errors import BrokerError
from worker.domain.offsets import decode_done, encode_metadata
from worker.domain.records import CommitPoint, Coordinate, Record, TopicPartition
from worker.domain.start_position import ResetReason

PARTITIONS = [TopicPartition(topic, 0) for topic in (TOPICS.jobs, *outcome_topics(TOPICS))]


@dataclass
class Transaction:
    """Outcomes that were written and are not decided, and what they will make done; a stranger's makes nothing."""

    written: list[Coordinate]
    done: list[Coordinate] = field(default_factory=list)


class World:
    """A cluster and its workers, who do something before each answer."""

    def __init__(self, random: Random, busy: int) -> None:
        self.logs = Logs()
        self.random = random
        self.busy = busy
        self.now_seconds = 0.0
        self.in_hand: list[Record] = []
        self.acknowledged: list[list[Coordinate]] = []  # inputs whose outcomes are written, and that count soon
        self.transactions: list[Transaction] = []
        self.ending: list[Transaction] = []  # decided: positions and outcomes learn of it one by one
        self.aborted: set[Coordinate] = set()
        self.lost: set[Coordinate] = set()

    # The view.

    def partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        self.go_on()
        return [partition for partition in PARTITIONS if partition.topic in topics]

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        self.go_on()
        return {topic: self.logs.topic_ids.get(topic, "") for topic in topics}

    def ends(self, partitions: Collection[TopicPartition], *, stable: bool) -> dict[TopicPartition, int]:
        self.go_on()
        ends = {TopicPartition(*partition): end for partition, end in self.logs.cut().ends.items()}
        unstable = [at for transaction in (*self.transactions, *self.ending) for at in transaction.written]
        for at in unstable if stable else []:
            partition = TopicPartition(at.topic, at.partition)
            ends[partition] = min(ends[partition], at.offset)
        return {partition: ends[partition] for partition in partitions}

    def positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, CommitPoint]:
        self.go_on()
        return {partition: point for partition, point in self.logs.positions().items() if partition in partitions}

    def lows(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def compacted(self, _topics: Collection[str]) -> Collection[str]:
        return ()

    # The clock.

    def monotonic(self) -> float:
        return self.now_seconds

    def sleep(self, seconds: float) -> None:
        self.now_seconds += seconds
        self.go_on()

    # What goes on.

    def go_on(self) -> None:
        steps = [self.send, self.work, self.work, self.commit, self.begin, self.decide, self.end, self.stand_in_the_way]
        for _ in range(self.random.randint(0, self.busy)):
            self.random.choice(steps)()

    def send(self) -> None:
        self._take(self.logs.job())

    def work(self) -> None:
        """Write outcomes at once; the position follows some time later."""
        for record in self._some_in_hand(1):
            self._outcome(record)
            self.acknowledged.append([record.coordinate])

    def commit(self) -> None:
        if self.acknowledged:
            self.logs.open.difference_update(self.acknowledged.pop(self.random.randrange(len(self.acknowledged))))

    def begin(self) -> None:
        """Write outcomes in a transaction."""
        records = self._some_in_hand(3)
        if records:
            written = [self._outcome(record).coordinate for record in records]
            self.transactions.append(Transaction(written, [record.coordinate for record in records]))

    def decide(self) -> None:
        if self.transactions:
            transaction = self.transactions.pop(self.random.randrange(len(self.transactions)))
            if not transaction.done or self.random.random() < 0.2:
                self.abort(transaction)
            else:
                self.ending.append(transaction)

    def abort(self, transaction: Transaction) -> None:
        self.aborted.update(transaction.written)
        self.in_hand += [self.logs.records[at] for at in transaction.done]

    def end(self) -> None:
        """Tell the group's positions or the outcomes' partitions, whoever comes first."""
        if self.ending:
            transaction = self.random.choice(self.ending)
            if self.random.random() < 0.5 or not transaction.done:
                transaction.written.clear()
            else:
                self.logs.open.difference_update(transaction.done)
                transaction.done.clear()
            if not transaction.written and not transaction.done:
                self.ending.remove(transaction)

    def stand_in_the_way(self) -> None:
        if self.random.random() < 0.3:
            topic = self.random.choice([TOPICS.results, TOPICS.dead_letters])
            self.transactions.append(Transaction([self.logs.stranger(topic).coordinate]))

    def lose(self) -> None:
        """Call a job done that has nothing to show."""
        for record in self._some_in_hand(1):
            self.logs.open.discard(record.coordinate)
            self.lost.add(record.coordinate)

    def _outcome(self, record: Record) -> Record:
        if record.coordinate.topic == TOPICS.jobs and self.random.random() < 0.4:
            retry = self.logs.retry(record)
            self._take(retry)
            return retry
        write = self.logs.result if self.random.random() < 0.7 else self.logs.dead_letter
        return write(record)

    def _take(self, record: Record) -> None:
        self.logs.open.add(record.coordinate)
        if record.coordinate.topic == TOPICS.jobs:
            self.in_hand.append(record)

    def _some_in_hand(self, most: int) -> list[Record]:
        self.random.shuffle(self.in_hand)
        taken, self.in_hand = self.in_hand[:most], self.in_hand[most:]
        return taken

    def readable(self, cut: ConsistentCut) -> Iterable[Record]:
        """Return what a reader of committed records gets up to the ends."""
        for at, record in self.logs.records.items():
            if at not in self.aborted and at.offset < cut.ends[TopicPartition(at.topic, at.partition)]:
                yield record


@settings(max_examples=80, deadline=None)
@given(random=st.randoms(use_true_random=False), busy=st.integers(0, 25), losses=st.integers(0, 3))
@example(random=Random(1), busy=40, losses=2)  # noqa: S311 - a seed
def test_whenever_the_cut_is_taken_only_what_is_lost_seems_lost(random: Random, busy: int, losses: int) -> None:
    world = World(random, busy)
    world.go_on()
    for _ in range(losses):
        world.lose()
    cut = take_cut(world, TOPICS, settle_seconds=60.0 if busy > 5 else 0.5, clock=world)
    world.go_on()
    report = account(world.readable(cut), cut, TOPICS, offenders=100)
    named = {offender.origin for offender in report.offenders if offender.problem.startswith("lost")}
    if cut.gaps:
        assert named == set()
    else:
        assert named == world.lost
        assert report.unverifiable == 0


class StillView:
    """A cluster where nothing moves."""

    def __init__(
        self,
        topics: Collection[str],
        *,
        lows: int = 0,
        compacted: Collection[str] = (),
        position: CommitPoint = CommitPoint(2),  # noqa: B008 - it is frozen
        topic_id: str = "",
    ) -> None:
        self._topics = topics
        self._position = position
        self._topic_id = topic_id
        self._low = lows
        self._compacted = compacted

    def partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        return [TopicPartition(topic, n) for topic in topics if topic in self._topics for n in range(5)]

    def ends(self, partitions: Collection[TopicPartition], *, stable: bool) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 4 if stable else 7)

    def positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, CommitPoint]:
        return dict.fromkeys(partitions, self._position)

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        return {topic: self._topic_id if topic in self._topics else "" for topic in topics}

    def lows(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self._low)

    def compacted(self, topics: Collection[str]) -> Collection[str]:
        return [topic for topic in topics if topic in self._compacted]


def test_topics_that_are_not_there_yet_hold_nothing() -> None:
    cut = take_cut(StillView([TOPICS.jobs, TOPICS.results]), TOPICS, settle_seconds=0)
    assert cut.topics == sorted([TOPICS.jobs, TOPICS.results])
    assert {partition.topic for partition in cut.positions} == {TOPICS.jobs}


def test_without_jobs_or_results_there_is_nothing_to_audit() -> None:
    with pytest.raises(BrokerError, match="no topic label-text"):
        take_cut(StillView(input_topics(TOPICS)), TOPICS, settle_seconds=0)


@pytest.mark.parametrize(
    ("position", "reset"),
    [
        (CommitPoint(5, encode_metadata(5, {6}, topic_id="a")), None),  # done up to after the jobs' stable end
        (CommitPoint(7, encode_metadata(7, ())), None),
        (CommitPoint(7, "a stranger's"), None),
        (CommitPoint(2, encode_metadata(2, {3}, topic_id="b")), ResetReason.RECREATED),
        (CommitPoint(8), ResetReason.TRUNCATED),
    ],
)
def test_a_position_on_a_former_topic_counts_as_none(position: CommitPoint, reset: ResetReason | None) -> None:
    cut = take_cut(StillView([TOPICS.jobs, TOPICS.results], position=position, topic_id="a"), TOPICS, settle_seconds=0)
    partitions = [TopicPartition(TOPICS.jobs, n) for n in range(5)]
    assert cut.positions == ({} if reset else dict.fromkeys(partitions, position))
    assert cut.former == (dict.fromkeys(partitions, reset) if reset else {})
    assert cut.ends[partitions[0]] == 4


def test_what_is_said_to_be_done_above_the_end_is_not() -> None:
    position = CommitPoint(5, encode_metadata(5, {6, 9}))
    cut = take_cut(StillView([TOPICS.jobs, TOPICS.results], position=position), TOPICS, settle_seconds=0)
    assert decode_done(cut.positions[TopicPartition(TOPICS.jobs, 0)]) == {6}


def test_an_end_that_stays_hidden_is_not_waited_for_for_ever() -> None:
    cut = take_cut(StillView([TOPICS.jobs, TOPICS.results]), TOPICS, settle_seconds=0)
    assert cut.ends[TopicPartition(TOPICS.results, 0)] == 4
    assert {gap.topic for gap in cut.gaps} == {TOPICS.results}
    assert "offset 4" in cut.gaps[0].sentence


def test_many_removed_partitions_are_one_sentence() -> None:
    view = StillView([TOPICS.jobs, TOPICS.results], lows=3, compacted=[TOPICS.results])
    gaps = find_removals(view, [TOPICS.jobs, TOPICS.results]).gaps
    assert [gap.topic for gap in gaps] == [TOPICS.jobs, TOPICS.results, TOPICS.results]
    assert "label-images/0 below offset 3" in gaps[0].sentence
    assert "and 2 more" in gaps[0].sentence
    assert find_removals(StillView([TOPICS.jobs]), [TOPICS.jobs]).gaps == ()
