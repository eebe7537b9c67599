"""A phase in memory: killed anywhere and taken up again, it takes each letter once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dlq.failures import received, stands, written
from worker.dlq.letter import DeadLetter
from worker.dlq.replay.canary import key_hash
from worker.dlq.replay.counts import ReplayCounts
from worker.dlq.replay.phase import PhaseReplay, Positions, StoppableClock, group_id
from worker.dlq.replay.plan import LetterOutcome, ReplayPhase, ReplayPlan, RunClaim
from worker.dlq.replay.rate_limit import RateLimit
from worker.dlq.selection import Selection
from worker.domain.errors import BrokerError, ErrorCode
from worker.domain.headers import REPLAY_COUNT
from worker.domain.records import CommitPoint, Coordinate, OutgoingRecord, Record, TopicPartition

TOPIC = "label-images.dlq"
KEYS = 5
PARTITIONS = 2


class KilledError(Exception):
    """The process ended here."""


@dataclass
class FakeTime:
    """Passes only where it is waited for."""

    now: float = 0.0

    def timing(self) -> StoppableClock:
        return StoppableClock(lambda: self.now, self.wait, lambda: False)

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


@dataclass
class FakeBroker:
    """Holds what was committed; `kills` are the transactions, counted over all processes, that end in a kill."""

    kills: Mapping[int, bool] = field(default_factory=dict)  # whether the transaction came through all the same
    written: list[tuple[OutgoingRecord, int | None]] = field(default_factory=list)
    positions: dict[str, dict[TopicPartition, CommitPoint]] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    transactions: int = 0

    def commit(
        self, records: Sequence[tuple[OutgoingRecord, int | None]], positions: Mapping[str, Positions], /
    ) -> None:
        self.transactions += 1
        survives = self.kills.get(self.transactions)
        if survives is not False:
            self.written += records
            self.sizes.append(len(records))
            for group, points in positions.items():
                self.positions.setdefault(group, {}).update(points)
        if survives is not None:
            raise KilledError


@dataclass
class FakeReader:
    """Gives a few records at a time, first of one partition and then of the other."""

    records: list[Record]
    at_once: int
    made_anew: bool = False

    @property
    def finished(self) -> bool:
        return not self.records

    def read(self, max_records: int, timeout_seconds: float) -> list[Record]:
        assert timeout_seconds > 0
        taken = self.records[: min(max_records, self.at_once)]
        self.records = self.records[len(taken) :]
        return taken

    def check_topics(self) -> None:
        if self.made_anew:
            raise BrokerError("The topic was made anew.")


def _letters(count: int, replays: Mapping[int, int] | None = None) -> list[Record]:
    letters = []
    for number in range(count):
        headers = ((REPLAY_COUNT, str((replays or {}).get(number, 0)).encode()),)
        code = ErrorCode.POISON if number % 3 == 0 else ErrorCode.IMAGE_CORRUPT
        key = number % KEYS
        job = received(f"{key}".encode(), b"%d" % number, headers, Coordinate("label-images", key, number))
        letters.append(stands(written(job, code), key % PARTITIONS, number))
    return letters


def _plan(letters: list[Record], selection: Selection, canaries: int = 0) -> ReplayPlan:
    claim = RunClaim(
        "run", selection, 10**13, dict.fromkeys(range(PARTITIONS), 0), dict.fromkeys(range(PARTITIONS), len(letters))
    )
    names = {key_hash("run", DeadLetter.of(letter)) for letter in letters}
    return ReplayPlan(
        claim=claim,
        cluster_id="cluster",
        topic=TOPIC,
        target="replays",
        parked_topic="parked",
        max_replays=3,
        earlier=(),
        canary_keys=frozenset(sorted(names)[:canaries]),
        results_ends={},
        counts={},
    )


def _run(  # one process
    plan: ReplayPlan,
    phase: ReplayPhase,
    letters: list[Record],
    broker: FakeBroker,
    clock: FakeTime,
    rate: float | None,
    at_once: int,
    *,
    made_anew: bool = False,
) -> ReplayCounts:
    points = broker.positions.get(group_id("run", phase), {})
    starts = {partition: point.offset for partition, point in points.items()}
    left = [letter for letter in letters if letter.coordinate.offset >= starts.get(letter.topic_partition, 0)]
    tallies = {partition: ReplayCounts.of(point.metadata) for partition, point in points.items()}
    replay = PhaseReplay(
        plan,
        phase,
        reader=FakeReader(left, at_once, made_anew),
        writer=broker,
        fetch=lambda _: None,
        parked_partitions=1,
        rate_limit=RateLimit(rate),
        timing=clock.timing(),
        counts=tallies,
        advance=lambda _: None,
    )
    assert replay.run()
    return ReplayCounts.sum(tallies.values())


def _run_until_done(
    plan: ReplayPlan, letters: list[Record], broker: FakeBroker, *, rate: float | None = None, at_once: int = 7
) -> ReplayCounts:
    clock, tallies = FakeTime(), []
    for phase in plan.phases:
        while True:
            try:
                tallies.append(_run(plan, phase, letters, broker, clock, rate, at_once))
            except KilledError:
                continue
            break
    return ReplayCounts.sum(tallies)


@given(
    st.integers(1, 80),
    st.dictionaries(st.integers(1, 30), st.booleans(), max_size=12),
    st.integers(0, KEYS - 1),
    st.sampled_from([Selection(), Selection(codes=frozenset({"POISON"}))]),
    st.integers(1, 20),
)
def test_kills_lose_and_repeat_nothing_and_keep_the_order_of_keys(
    count: int, kills: dict[int, bool], canaries: int, selection: Selection, at_once: int
) -> None:
    letters = _letters(count)
    plan, broker = _plan(letters, selection, canaries), FakeBroker(kills)

    tally = _run_until_done(plan, letters, broker, rate=40, at_once=at_once)

    wanted = [letter for letter in letters if selection.matches(DeadLetter.of(letter), 0)]
    got = [record.value for record, _ in broker.written]
    assert sorted(got, key=str) == sorted((letter.value for letter in wanted), key=str)
    for key in range(KEYS):
        name = f"{key}".encode()
        assert [r.value for r, _ in broker.written if r.key == name] == [r.value for r in wanted if r.key == name]
        assert {partition for r, partition in broker.written if r.key == name} <= {key}
    assert tally.total(LetterOutcome.REPLAYED) == len(wanted)


def test_nothing_is_written_of_letters_whose_topic_was_made_anew_meanwhile() -> None:
    letters, broker = _letters(10), FakeBroker()

    with pytest.raises(BrokerError, match="made anew"):
        _run(_plan(letters, Selection()), ReplayPhase.REST, letters, broker, FakeTime(), None, 7, made_anew=True)

    assert (broker.transactions, broker.written, broker.positions) == (0, [], {})


def test_canaries_go_before_the_rest() -> None:
    letters = _letters(60)
    plan, broker = _plan(letters, Selection(), canaries=1), FakeBroker()

    _run(plan, ReplayPhase.CANARY, letters, broker, FakeTime(), None, 7)

    assert len(broker.written) == 60 / KEYS
    assert len({record.key for record, _ in broker.written}) == 1


@pytest.mark.parametrize("rate", [3.0, 50.0, 400.0])
def test_the_rate_holds_in_small_transactions(rate: float) -> None:
    letters = _letters(200)
    plan, broker, clock = _plan(letters, Selection()), FakeBroker(), FakeTime()

    _run(plan, ReplayPhase.REST, letters, broker, clock, rate, 100)

    assert clock.now == pytest.approx(200 / rate, rel=0.05, abs=0.3)
    assert max(broker.sizes) <= max(1, rate * 0.25 + 1)


def test_letters_that_were_replayed_too_often_are_parked_in_the_same_transaction() -> None:
    letters = _letters(10, replays={4: 3, 7: 2})
    plan, broker = _plan(letters, Selection()), FakeBroker()

    tally = _run_until_done(plan, letters, broker)

    assert [record.value for record, _ in broker.written if record.topic == "parked"] == [b"4"]
    assert (tally.total(LetterOutcome.PARKED), tally.total(LetterOutcome.REPLAYED)) == (1, 9)
    assert broker.sizes[0] == 10


def test_a_letter_whose_payload_is_gone_or_changed_is_counted_and_named() -> None:
    letters = _letters(3)
    letters[1] = replace(letters[1], value=b"changed")
    plan, broker = _plan(letters, Selection()), FakeBroker()

    tally = _run_until_done(plan, letters, broker)

    assert tally.document()["unavailable"] == {"IMAGE_CORRUPT": 1}
    assert [record.value for record, _ in broker.written] == [b"0", b"2"]
