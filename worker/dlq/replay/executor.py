"""Carrying out a plan: canaries, the stop if too many of them fail, the rest, and the record of it all.

Invariants: a run's first transaction holds its plan and the positions that it begins from, so a plan without positions
is one whose positions have expired. At most one process works on a run: opening its writer fences the one before.
"""

from collections.abc import Mapping

from worker.adapters.kafka.offline.bounded_reader import BoundedReader, TopicRecreatedError
from worker.adapters.kafka.offline.record_fetcher import RecordFetcher
from worker.adapters.kafka.offline.replay_writer import REPLAY_NAMES, ReplayWriter
from worker.dlq.replay.canary_outcomes import CanaryMonitor
from worker.dlq.replay.counts import ReplayCounts
from worker.dlq.replay.phase import PhaseReplay, StoppableClock, group_id
from worker.dlq.replay.plan import LetterOutcome, LettersGoneError, ReplayError, ReplayPhase
from worker.dlq.replay.planner import PreparedReplay, ReplayPlanner
from worker.dlq.replay.rate_limit import RateLimit
from worker.dlq.replay.result import (
    ReplayListener,
    ReplayParameters,
    ReplayResult,
    format_aborted,
    format_unheard,
    resume_command,
)
from worker.dlq.replay.runs import RunRecord, RunState
from worker.domain.errors import BrokerError
from worker.domain.records import CommitPoint, TopicPartition
from worker.ports import Clock, FencedError
from worker.settings import Settings


def carry_out(
    settings: Settings,
    prepared: PreparedReplay,
    parameters: ReplayParameters,
    listener: ReplayListener,
    clock: Clock,
    timing: StoppableClock,
) -> ReplayResult:
    """Carry out a plan, or resume it, until it ends or is stopped.

    Raises ReplayError where another process took it over, its positions are gone, or the broker failed.
    """
    run_id = prepared.plan.run_id
    if prepared.earlier is not None and prepared.earlier.state is RunState.ABORTED and parameters.canary is not None:
        raise ReplayError(
            f"The replay {run_id} was stopped because too many canaries failed again. A new replay takes the other "
            f"letters, with new canaries; to replay them now all the same: {resume_command(run_id)} --no-canary"
        )
    groups = [group_id(run_id, phase) for phase in ReplayPhase]
    try:
        with ReplayWriter(settings.kafka, f"{REPLAY_NAMES}{run_id}", groups) as writer:
            return _Execution(settings, prepared, parameters, listener, clock, timing, writer).run()
    except FencedError as error:
        raise ReplayError(
            f"Another process took over the replay {run_id}, or this one was paused for too long; its last transaction "
            f"was not written. If no other process works on it, resume with: {resume_command(run_id)}"
        ) from error
    except TopicRecreatedError as error:
        raise LettersGoneError(run_id, prepared.plan.topic) from error
    except BrokerError as error:
        raise ReplayError(f"{error} What was replayed so far is kept; resume with: {resume_command(run_id)}") from error


class _Execution:
    """What one process does of a run."""

    def __init__(
        self,
        settings: Settings,
        prepared: PreparedReplay,
        parameters: ReplayParameters,
        listener: ReplayListener,
        clock: Clock,
        timing: StoppableClock,
        writer: ReplayWriter,
    ) -> None:
        self._settings = settings
        self._prepared = prepared
        self._parameters = parameters
        self._listener = listener
        self._clock = clock
        self._timing = timing
        self._writer = writer
        self._plan = prepared.plan
        self._started_at_ms = clock.epoch_ms()
        self._positions: dict[ReplayPhase, dict[TopicPartition, CommitPoint]] = {}
        self._counts: dict[ReplayPhase, dict[TopicPartition, ReplayCounts]] = {}
        self._replayed_jobs = 0
        self._result = ReplayResult(prepared.plan, RunState.BEGUN, ReplayCounts())

    def run(self) -> ReplayResult:
        """Replay all phases that are left."""
        self._begin()
        for phase in self._plan.phases:
            if not self._take(phase):
                return self._end(RunState.INTERRUPTED, f"Stopped; resume with: {resume_command(self._plan.run_id)}")
            if phase is ReplayPhase.CANARY and (verdict := self._judge_canaries()) is not None:
                return self._end(*verdict)
        return self._end(RunState.FINISHED)

    def _begin(self) -> None:
        """Take over the run from an earlier process, if there was one, and write a record of that."""
        earlier = self._prepared.earlier
        positions = self._committed()
        if earlier is None and any(positions.values()):
            # Another process has begun the same plan since this one was made: its plan counts.
            earlier = (
                ReplayPlanner(self._settings, self._clock).runs(self._plan.cluster_id).resumable(self._plan.run_id)
            )
            self._plan = self._result.plan = earlier.plan
            positions = self._committed()
        if earlier is None:
            starts = {self._partition(p): CommitPoint(start) for p, start in self._plan.claim.starts.items()}
            positions = {phase: dict(starts) for phase in self._plan.phases}
            self._record(RunState.BEGUN, "", positions)
        else:
            self._check_positions(positions)
            self._started_at_ms = earlier.started_at_ms
        self._positions = positions
        self._counts = {
            phase: {partition: ReplayCounts.of(point.metadata) for partition, point in points.items()}
            for phase, points in positions.items()
        }
        if earlier is not None:
            self._record(RunState.BEGUN, "resumed")
        self._listener.began(self._plan, self._total().total())

    def _committed(self) -> dict[ReplayPhase, dict[TopicPartition, CommitPoint]]:
        partitions = [self._partition(p) for p in self._plan.claim.starts]
        return {
            phase: self._writer.committed(group_id(self._plan.run_id, phase), partitions) for phase in self._plan.phases
        }

    def _check_positions(self, positions: Mapping[ReplayPhase, Mapping[TopicPartition, CommitPoint]]) -> None:
        wanted = {self._partition(p) for p in self._plan.claim.starts}
        if any(points.keys() != wanted for points in positions.values()):
            run_id = self._plan.run_id
            raise ReplayError(
                f"The broker no longer has the positions of the replay {run_id} (offsets.retention.minutes), so it is "
                "not known what was replayed already. `labelwire audit` counts the jobs that are still dead-lettered; "
                "--again with a filter replays the rest."
            )

    def _take(self, phase: ReplayPhase) -> bool:
        """Take the letters of a phase that are left; False where it was stopped before its end."""
        plan, kafka = self._plan, self._settings.kafka
        starts = {partition: point.offset for partition, point in self._positions[phase].items()}
        ends = {self._partition(p): end for p, end in plan.claim.ends.items()}
        began = self._timing.monotonic()
        where = (kafka.bootstrap_servers, [plan.topic], kafka.client_options())
        with (
            BoundedReader(*where, starts=starts, ends=ends) as reader,
            RecordFetcher(kafka.bootstrap_servers, kafka.client_options()) as fetcher,
        ):
            self._check_letters(reader)
            replay = PhaseReplay(
                plan,
                phase,
                reader=reader,
                writer=self._writer,
                fetch=fetcher.fetch,
                parked_partitions=self._prepared.parked_partitions,
                rate_limit=RateLimit(self._parameters.rate),
                timing=self._timing,
                counts=self._counts[phase],
                advance=self._advance,
            )
            ended = replay.run()
        self._result.seconds += self._timing.monotonic() - began
        self._result.notices += replay.notices
        self._replayed_jobs = len(replay.replayed_origins)
        return ended

    def _check_letters(self, reader: BoundedReader) -> None:
        if not self._plan.claim.is_on(reader.topic_ids[self._plan.topic]):
            raise LettersGoneError(self._plan.run_id, self._plan.topic)

    def _advance(self, letters: int) -> None:
        self._result.written += letters
        self._listener.advanced(letters)

    def _judge_canaries(self) -> tuple[RunState, str] | None:
        """Wait for the canaries' outcomes, and say how the run ends; None where it goes on."""
        limits, plan = self._parameters.canary, self._plan
        done = ReplayCounts.sum(self._counts[ReplayPhase.CANARY].values()).total(LetterOutcome.REPLAYED)
        if limits is None or not done or self._has_begun_the_rest():
            return None
        # Two letters of one job have one outcome; where an earlier process replayed some, that is not known.
        began_here = not any(point.metadata for point in self._positions[ReplayPhase.CANARY].values())
        replayed = self._replayed_jobs if began_here else done
        monitor = CanaryMonitor(self._settings.kafka, plan, self._settings.topics.results)
        outcomes = monitor.wait(replayed, limits, self._timing, self._listener.watched)
        self._result.canaries = outcomes
        if outcomes.too_many_failed(limits.max_failure_ratio):
            return RunState.ABORTED, format_aborted(plan.run_id, outcomes, limits)
        if self._timing.is_stopped():
            return RunState.INTERRUPTED, f"Stopped; resume with: {resume_command(plan.run_id)}"
        if not outcomes.known:
            return RunState.INTERRUPTED, format_unheard(plan, outcomes, limits)
        return None

    def _has_begun_the_rest(self) -> bool:
        rest = self._positions[ReplayPhase.REST]
        return any(rest[self._partition(p)].offset > start for p, start in self._plan.claim.starts.items())

    def _end(self, state: RunState, reason: str = "") -> ReplayResult:
        result = self._result
        result.state, result.reason, result.counts = state, reason, self._total()
        if state is RunState.FINISHED:
            result.gone = max(0, self._plan.letters - result.counts.total())
        self._record(state, reason)
        return result

    def _record(
        self,
        state: RunState,
        reason: str,
        positions: Mapping[ReplayPhase, Mapping[TopicPartition, CommitPoint]] | None = None,
    ) -> None:
        """Write the audit record, together with positions where there are any."""
        run_id = self._plan.run_id
        record = RunRecord(
            plan=self._plan,
            state=state,
            by=self._parameters.by,
            started_at_ms=self._started_at_ms,
            at_ms=self._clock.epoch_ms(),
            counts=self._total().document(),
            reason=reason,
        )
        outgoing = record.outgoing(self._settings.topics.replay_runs_topic)
        by_group = {group_id(run_id, phase): points for phase, points in (positions or {}).items()}
        self._writer.commit([(outgoing, None)], by_group)

    def _total(self) -> ReplayCounts:
        return ReplayCounts.sum(counts for phase in self._counts.values() for counts in phase.values())

    def _partition(self, number: int) -> TopicPartition:
        return TopicPartition(self._plan.topic, number)
