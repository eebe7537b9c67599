"""Audits with a state find what one full audit finds, wherever the history is cut."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audit.histories import TOPICS, Logs
from worker.audit.account import account
from worker.audit.consistent_cut import ConsistentCut, find_removals
from worker.audit.report import AuditReport
from worker.audit.state import AuditStateError, Scope, opened_state
from worker.audit.verdict import JobState
from worker.domain.records import Coordinate, Record, TopicPartition
from worker.settings import TopicSettings

SCOPE = Scope.of("cluster", "group", TOPICS)
FOR_EVER_SECONDS = 1e9
# Audits are a second apart, so that each forgets what the one before has read.
ONE_AUDIT_SECONDS = 1.0
STATES = ("completed", "dead_lettered", "parked", "pending", "lost", "unverifiable")
# How an audit came to its report, not what it says.
_OF_THE_RUN = {"seconds", "records_read", "since", "until", "state", "offenders"}


class Killed(BaseException):
    """The audit's process ends."""


@dataclass
class Timeline:
    """What workers, replays and strangers write, step by step; several jobs are under way at once."""

    draw: st.DrawFn
    with_trouble: bool
    logs: Logs = field(default_factory=Logs)
    _under_way: list[Iterator[None]] = field(default_factory=list)

    def go_on(self, steps: int) -> None:
        """Let so many things happen."""
        for _ in range(steps):
            if not self._under_way or (len(self._under_way) < 5 and self.draw(st.booleans())):
                self._under_way.append(self._job())
            chosen = self.draw(st.integers(0, len(self._under_way) - 1))
            if next(self._under_way[chosen], self) is self:
                del self._under_way[chosen]

    def _job(self) -> Iterator[None]:
        if self.with_trouble and self.draw(st.integers(0, 9)) == 0:
            self.logs.stranger(self.draw(st.sampled_from([TOPICS.results, TOPICS.dead_letters])))
        current = self._taken(self.logs.job(as_json=self.draw(st.booleans())))
        yield
        for generation in range(3):
            for level in range(self.draw(st.integers(0, 2))):
                before, current = current, self._taken(self.logs.retry(current, level + 1))
                yield
                self.logs.open.discard(before.coordinate)
            how = self.draw(st.sampled_from(["result", "result", "dead letter", "nothing"]))
            if how == "nothing":  # for ever pending, or lost
                yield
                if self.with_trouble and self.draw(st.booleans()):
                    self.logs.open.discard(current.coordinate)
                return
            if how == "result":
                yield from self._ends(self.logs.result(current), current)
                return
            letter = self.logs.dead_letter(current)
            yield from self._ends(letter, current)
            if not self.draw(st.booleans()):
                return
            yield
            if generation == 2:
                self.logs.park(letter)
                return
            current = self._taken(self.logs.replay(letter, to_origin=self.draw(st.booleans())))
            yield

    def _ends(self, outcome: Record, current: Record) -> Iterator[None]:
        """Commit some time after the outcome; a worker that was killed in between repeats it."""
        repeat = self.logs.result if outcome.coordinate.topic == TOPICS.results else self.logs.dead_letter
        yield
        if self.draw(st.booleans()):
            repeat(current)
            yield
        self.logs.open.discard(current.coordinate)
        if self.with_trouble and self.draw(st.integers(0, 5)) == 0:
            yield
            self._spoil(outcome, current)
        elif outcome.coordinate.topic == TOPICS.results and self.draw(st.integers(0, 3)) == 0:
            yield
            repeat(current)  # by a worker that was thought dead

    def _spoil(self, outcome: Record, current: Record) -> None:
        match self.draw(st.sampled_from(["reading", "identity", "dead letter", "unreadable"])):
            case "reading":
                self.logs.result(current, "PARCE1")
            case "identity":
                self.logs.result(current, result_id="f" * 32)
            case "dead letter":
                self.logs.dead_letter(current)
            case "unreadable" if outcome.coordinate.topic == TOPICS.results:
                self.logs.alter(self.logs.result(current), b'{"pages": [')

    def _taken(self, record: Record) -> Record:
        self.logs.open.add(record.coordinate)
        return record

    def cut(self) -> ConsistentCut:
        """Cut in the audit's order while things go on."""
        jobs = TopicPartition(TOPICS.jobs, 0)
        jobs_end = self.logs.cut().ends[jobs]
        self.go_on(self.draw(st.integers(0, 2)))
        positions = self.logs.positions()
        self.go_on(self.draw(st.integers(0, 2)))
        return ConsistentCut(positions, {**self.logs.cut().ends, jobs: jobs_end})

    def read(self, cut: ConsistentCut, starts: Mapping[TopicPartition, int]) -> list[Record]:
        """Return the records from the starts to the cut."""
        return [
            record
            for record in self.logs.records.values()
            if starts.get(record.topic_partition, 0) <= record.coordinate.offset < cut.ends[record.topic_partition]
        ]


@dataclass
class Expired:
    """A cluster whose retention has removed what was below `low` of each partition."""

    low: Mapping[TopicPartition, int]

    def partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        return [partition for partition in self.low if partition.topic in topics]

    def lows(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self.low[partition] for partition in partitions}

    def compacted(self, _topics: Collection[str]) -> tuple[str, ...]:
        return ()


@dataclass
class Auditor:
    """Repeats audits with one state, a second apart."""

    timeline: Timeline
    folder: Path
    horizon_seconds: float = FOR_EVER_SECONDS
    until_ms: int = 1_700_000_000_000

    def audit(
        self, cut: ConsistentCut, *, killed_after: int | None = None, lows: Mapping[TopicPartition, int] | None = None
    ) -> AuditReport:
        """Audit what came since the last time; retention has removed what is below `lows`."""
        with opened_state(self.folder, self.horizon_seconds) as state:
            state.claim(SCOPE)
            state.check(cut)
            view: Any = Expired(lows or {})
            new = self.timeline.read(cut, state.starts)
            report = account(
                _interrupted(new, killed_after),
                cut,
                TOPICS,
                find_removals=lambda: find_removals(view, list(TOPICS_READ), state.starts),
                offenders=1000,
                state=state,
                until_ms=self.until_ms,
            )
            assert report.records_read == len(new)
        self.until_ms += 1000
        return report


TOPICS_READ = {partition.topic for partition in Logs().cut().ends}


def _interrupted(records: Iterable[Record], after: int | None) -> Iterator[Record]:
    for number, record in enumerate(records):
        if number == after:
            raise Killed
        yield record
    if after is not None:
        raise Killed


def _said(report: AuditReport) -> dict[str, Any]:
    shown = {name: value for name, value in report.to_dict().items() if name not in _OF_THE_RUN}
    named = {str(offender) for offender in report.offenders if not offender.problem.startswith("conflicting")}
    return {**shown, "named": named}


def _full(timeline: Timeline, cut: ConsistentCut) -> AuditReport:
    return account(timeline.read(cut, {}), cut, TOPICS, offenders=1000)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_wherever_it_is_cut_the_audits_with_a_state_say_what_a_full_one_says(data: st.DataObject) -> None:
    """Also if some are killed, and if retention removes what was accounted for."""
    timeline = Timeline(data.draw, with_trouble=True)  # type: ignore[arg-type]
    lows: dict[TopicPartition, int] = {}
    with TemporaryDirectory() as folder:
        auditor = Auditor(timeline, Path(folder))
        for _ in range(data.draw(st.integers(1, 5))):
            timeline.go_on(data.draw(st.integers(0, 25)))
            if data.draw(st.booleans()):
                with contextlib.suppress(Killed):
                    auditor.audit(timeline.cut(), killed_after=data.draw(st.integers(0, 9)))
            cut = timeline.cut()
            assert _said(auditor.audit(cut, lows=lows)) == _said(_full(timeline, cut))
            lows = {
                partition: data.draw(st.integers(lows.get(partition, 0), end)) for partition, end in cut.ends.items()
            }


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_forgotten_is_counted_once(data: st.DataObject) -> None:
    """Each audit forgets the finished jobs that the one before has read, and late repeats of them are no jobs."""
    timeline = Timeline(data.draw, with_trouble=False)  # type: ignore[arg-type]
    forgotten = dict.fromkeys(STATES, 0)
    with TemporaryDirectory() as folder:
        auditor = Auditor(timeline, Path(folder), ONE_AUDIT_SECONDS)
        for _ in range(data.draw(st.integers(2, 6))):
            timeline.go_on(data.draw(st.integers(0, 20)))
            cut = timeline.cut()
            report, full = auditor.audit(cut), _full(timeline, cut)
            assert {state: getattr(report, state) + forgotten[state] for state in STATES} == {
                state: getattr(full, state) for state in STATES
            }
            assert report.is_sound
            assert report.state is not None
            forgotten = {state: report.state.forgotten[JobState(state)] for state in STATES}


@dataclass
class Rounds:
    """A few jobs a round, each with its result, written and audited."""

    folder: Path
    horizon_seconds: float = ONE_AUDIT_SECONDS
    logs: Logs = field(default_factory=Logs)
    last: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.auditor = Auditor(Timeline(None, with_trouble=False, logs=self.logs), self.folder, self.horizon_seconds)  # type: ignore[arg-type]

    def audit(self, jobs: int = 3, *, lows: Mapping[TopicPartition, int] | None = None) -> AuditReport:
        """Write jobs with their results, and audit."""
        self.last = [self.logs.job() for _ in range(jobs)]
        for job in self.last:
            self.logs.result(job)
        return self.auditor.audit(self.logs.cut(), lows=lows)


def test_a_repeat_within_the_horizon_is_found_and_a_later_one_is_said_to_be_late(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path)
    rounds.audit()
    first = rounds.last[0]
    rounds.logs.result(first)
    report = rounds.audit()
    assert (report.jobs, report.duplicates, report.late) == (6, 1, 0)
    rounds.audit()
    rounds.audit()
    rounds.logs.result(first)
    report = rounds.audit()
    assert (report.duplicates, report.late, report.unverifiable, report.is_sound) == (0, 1, 0, True)


def test_a_forgotten_job_that_is_begun_again_is_followed_as_a_job_of_its_own(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path)
    rounds.audit()
    first = rounds.last[0]
    rounds.audit()
    rounds.audit()
    retry = rounds.logs.retry(first)
    rounds.logs.open.add(retry.coordinate)
    assert (rounds.audit(0).pending, rounds.audit(0).pending) == (1, 1)
    rounds.logs.open.clear()
    report = rounds.audit(0)
    assert [offender.records for offender in report.offenders] == [(retry.coordinate,)]
    assert (report.lost, report.late, report.is_sound) == (1, 0, False)


def test_a_dead_letter_is_remembered_as_long_as_it_can_be_replayed(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path)
    letter = rounds.logs.dead_letter(rounds.logs.job())
    for _ in range(3):
        assert rounds.audit().dead_lettered == 1
    replayed = rounds.logs.replay(letter)
    rounds.logs.result(replayed)
    assert (rounds.audit(0).dead_lettered, rounds.audit(0).late) == (0, 0)
    lows = {TopicPartition(TOPICS.dead_letters, 0): 2}
    rounds.logs.dead_letter(rounds.logs.job())
    rounds.audit(lows=lows)
    assert rounds.audit(lows=lows).dead_lettered == 1
    report = rounds.audit(lows=lows)
    assert (report.dead_lettered, report.is_sound) == (0, True)
    assert report.state is not None
    assert report.state.forgotten[JobState.DEAD_LETTERED] == 1


def test_a_job_that_is_replayed_after_many_audits_is_open_since_its_replay(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path)
    rounds.audit()
    letter = rounds.logs.dead_letter(rounds.logs.job())
    for _ in range(4):
        rounds.audit()
    rounds.logs.open.add(rounds.logs.replay(letter).coordinate)
    until = rounds.audit(0).to_dict()["until"]
    shown = rounds.audit(0).to_dict()
    assert (shown["pending"], shown["state"]["open_since"]) == (1, until)


def test_a_job_that_is_open_again_because_offsets_were_set_back_is_pending(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path)
    rounds.audit()
    rounds.logs.dead_letter(rounds.logs.job())
    for _ in range(4):
        rounds.audit()
    lost = rounds.logs.job()
    assert rounds.audit(0).lost == 1
    rounds.logs.open.add(lost.coordinate)
    shown = rounds.audit(0).to_dict()
    assert (shown["pending"], shown["lost"]) == (1, 0)
    assert shown["state"]["open_since"] <= shown["since"]


def test_what_retention_takes_before_an_audit_is_a_gap_until_the_horizon(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path, horizon_seconds=2 * ONE_AUDIT_SECONDS)
    rounds.audit()
    lows = {TopicPartition(TOPICS.jobs, 0): 5}
    report = rounds.audit(lows=lows)
    assert [f"{TOPICS.jobs}/0 below offset 5" in gap for gap in report.gaps] == [True]
    said = [(len(report.gaps), report.is_sound) for report in (rounds.audit(lows=lows) for _ in range(3))]
    assert said == [(1, False), (1, False), (0, True)]


def test_a_job_whose_outcome_was_in_a_gap_is_not_called_lost_however_late_it_is_done(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path)
    waiting = rounds.logs.job()
    rounds.logs.open.add(waiting.coordinate)
    rounds.audit()
    gone = rounds.logs.result(waiting)
    rounds.logs.remove(gone)
    lows = {TopicPartition(TOPICS.results, 0): gone.coordinate.offset + 1}
    assert [rounds.audit(lows=lows).pending for _ in range(4)] == [1, 1, 1, 1]
    rounds.logs.open.clear()
    report = rounds.audit(lows=lows)
    assert (report.unverifiable, report.lost) == (1, 0)


def test_a_job_that_names_a_place_which_never_comes_is_dropped_after_the_horizon(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path)
    rounds.audit()
    made_up = Logs()
    for _ in range(1000):
        last = made_up.job()
    result = made_up.result(last)
    at = Coordinate(TOPICS.results, 0, rounds.logs.cut().ends[TopicPartition(TOPICS.results, 0)])
    rounds.logs.stranger(TOPICS.results)
    rounds.logs.records[at] = Record(at, result.key, result.value, result.headers, result.timestamp_ms)
    kept = [report.state.kept_records for report in (rounds.audit(0) for _ in range(3)) if report.state is not None]
    assert kept == [1, 0, 0]


@pytest.mark.parametrize(
    ("scope", "sentence"),
    [
        (Scope.of("other", "group", TOPICS), "the cluster cluster, and this audit of other"),
        (Scope.of("cluster", "other", TOPICS), "the group group, and this audit of other"),
        (Scope.of("cluster", "group", TopicSettings(results="other")), "the topic of results label-text, and"),
    ],
)
def test_a_state_of_another_deployment_is_refused(tmp_path: Path, scope: Scope, sentence: str) -> None:
    Rounds(tmp_path).audit()
    with pytest.raises(AuditStateError, match=sentence), opened_state(tmp_path) as state:
        state.claim(scope)


def test_a_state_of_a_topic_that_was_made_anew_is_refused(tmp_path: Path) -> None:
    ends = Logs().cut().ends
    with opened_state(tmp_path) as state:
        account([], ConsistentCut({}, ends, topic_ids={TOPICS.jobs: "a"}), TOPICS, state=state)
    with (
        pytest.raises(AuditStateError, match="label-images was deleted and created again"),
        opened_state(tmp_path) as state,
    ):
        state.check(ConsistentCut({}, ends, topic_ids={TOPICS.jobs: "b"}))


def test_a_log_that_ends_before_what_was_read_is_refused(tmp_path: Path) -> None:
    Rounds(tmp_path).audit(4)
    with pytest.raises(AuditStateError, match=r"ends at offset 0, and the state in .* up to 4"):
        Rounds(tmp_path).audit(0)


def test_two_audits_at_once_are_refused_and_the_first_one_counts(tmp_path: Path) -> None:
    with opened_state(tmp_path):
        second = opened_state(tmp_path)
        with pytest.raises(AuditStateError, match="in use by another audit"):
            second.__enter__()
    assert Rounds(tmp_path).audit().since_ms is None


def test_an_audit_that_is_killed_as_it_writes_leaves_the_state_of_the_one_before(tmp_path: Path) -> None:
    Rounds(tmp_path).audit()
    path = tmp_path / "audit.sqlite"
    before = path.stat().st_size
    ended = subprocess.run([sys.executable, "-c", _KILLED, tmp_path], check=False, env={"PYTHONPATH": "."})
    assert ended.returncode == -signal.SIGKILL
    assert path.stat().st_size > 100 * before
    with opened_state(tmp_path) as state:
        assert (state.number, state.ledger().size) == (2, 6)


# More than the database holds in memory, so that it is written before the end.
_KILLED = """
import os, pathlib, signal, sys
from worker.audit.state import opened_state
from worker.audit.verdict import AuditEntry, RecordKind
from worker.domain.records import Coordinate
with opened_state(pathlib.Path(sys.argv[1])) as state:
    ledger = state.ledger()
    for offset in range(500_000):
        at = Coordinate("jobs", 0, offset)
        ledger.add(AuditEntry(at, 0, RecordKind.JOB, True, True, 0, at, 0, identity=b"x" * 16))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_volume_that_takes_no_more_is_no_damage(tmp_path: Path) -> None:
    Rounds(tmp_path).audit()
    ended = subprocess.run(
        [sys.executable, "-c", _FULL + _KILLED, tmp_path], check=False, env={"PYTHONPATH": "."}, capture_output=True
    )
    assert b"AuditStateError: The state of audits in" in ended.stderr
    assert b"check its volume, and audit again" in ended.stderr or b"has no space left" in ended.stderr
    with opened_state(tmp_path) as state:
        assert (state.number, state.ledger().size) == (2, 6)


_FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
"""


@pytest.mark.parametrize("spoilt", ["no database", "cut short", "another one's"])
def test_a_damaged_or_foreign_file_is_never_believed(tmp_path: Path, spoilt: str) -> None:
    Rounds(tmp_path).audit(2000)
    path = tmp_path / "audit.sqlite"
    whole = path.read_bytes()
    match spoilt:
        case "no database":
            path.write_bytes(b"these are not the bytes of a database" * 100)
        case "cut short":
            path.write_bytes(whole[: len(whole) // 2])
        case "another one's":
            path.write_bytes(whole[:68] + b"MINE" + whole[72:])
    with pytest.raises(AuditStateError, match="delete it, and audit everything again"), opened_state(tmp_path):
        pass


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    Rounds(tmp_path).audit()
    path = tmp_path / "audit.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + (7).to_bytes(4, "big") + whole[64:])
    with pytest.raises(AuditStateError, match="has version 7, and this version reads 1"), opened_state(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(AuditStateError, match="cannot hold the state of audits"),
        opened_state(tmp_path / "file" / "state"),
    ):
        pass


def test_the_report_says_which_time_it_covers_and_what_is_open(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path)
    rounds.logs.open.add(rounds.logs.job().coordinate)
    first = rounds.audit().to_dict()
    assert (first["since"], first["until"], first["records_read"]) == (None, "2023-11-14T22:13:20.000+00:00", 7)
    rounds.audit()
    report = rounds.audit()
    shown = report.to_dict()
    assert (shown["since"], shown["until"]) == ("2023-11-14T22:13:21.000+00:00", "2023-11-14T22:13:22.000+00:00")
    assert (shown["records_read"], shown["records"]) == (6, 19)
    assert shown["state"]["open_since"] == shown["state"]["began"] == first["until"]
    assert shown["state"]["forgotten"]["completed"] == 6
    assert shown["state"]["size_bytes"] == (tmp_path / "audit.sqlite").stat().st_size
    assert [sentence.split(" ")[0] for sentence in report.span()] == ["Read", "The", "Not"]
