"""A chaos run: calm, load with faults, calm again, judgment."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from worker.adapters.kafka.offline.bounded_reader import BoundedReader
from worker.audit.report import AuditReport
from worker.audit.run import audit
from worker.domain.errors import LabelwireError
from worker.lab.chaos.answers import Watch, WorkerAnswer, answer_of
from worker.lab.chaos.errors import ChaosError
from worker.lab.chaos.faults import FaultTargets, Restart, inject
from worker.lab.chaos.fleet import WorkerExit
from worker.lab.chaos.judging import Expectations, Verdict, expect, judge
from worker.lab.chaos.pictures import Picture
from worker.lab.chaos.schedule import FaultKind, ScheduledFault, draw_schedule
from worker.settings import KafkaSettings, TopicSettings

_MIN_JOBS_PER_SECOND, _MAX_JOBS_PER_SECOND = 0.5, 4.0
_CALM_SECONDS = 240.0
_FAULTLESS_READINGS = 2
_TELL_SECONDS = 10.0
_ASK_AGAIN_SECONDS = 3.0
_MAX_FAULTS_AT_ONCE = 8

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ChaosPlan:
    """What to do.

    `pictures` different labels are submitted again and again. Without `jobs_per_second` the load is half of what the
    calm workers do. `drain_seconds` bounds how long they may take for what is left when the load ends.
    """

    seed: int
    duration_seconds: float
    kinds: tuple[FaultKind, ...] = tuple(FaultKind)
    delivery: str = "at-least-once"
    workers: int = 2
    pictures: int = 24
    jobs_per_second: float | None = None
    drain_seconds: float = 300.0

    @property
    def schedule(self) -> tuple[ScheduledFault, ...]:
        """The faults, in their order."""
        return draw_schedule(self.seed, self.duration_seconds, self.kinds)

    @property
    def command(self) -> str:
        """How to do the same again."""
        rate = "" if self.jobs_per_second is None else f" --rate {self.jobs_per_second:g}"
        kinds = "" if set(self.kinds) == set(FaultKind) else "".join(f" --only {kind.value}" for kind in self.kinds)
        return (
            f"labelwire chaos --seed {self.seed} --duration {self.duration_seconds:g} --delivery {self.delivery} "
            f"--workers {self.workers}{rate}{kinds}"
        )


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault that was done: when it began and ended, in epoch milliseconds, and on what; or why it could not be."""

    kind: FaultKind
    began_at_ms: int
    ended_at_ms: int
    words: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class ChaosEnvironment:
    """What a run works on. `kafka` is reached without the disturbed network."""

    targets: FaultTargets
    watch: Watch
    good: Sequence[Picture]
    kafka: KafkaSettings
    topics: TopicSettings


@dataclass(frozen=True, slots=True)
class ChaosRun:
    """What happened, in epoch milliseconds; load and faults lasted from `began_at_ms` to `ended_at_ms`."""

    plan: ChaosPlan
    jobs_per_second: float
    began_at_ms: int
    ended_at_ms: int
    drained_at_ms: int
    faults: tuple[InjectedFault, ...]
    restarts: tuple[Restart, ...]
    exits: tuple[WorkerExit, ...]
    answers: tuple[WorkerAnswer, ...]
    submitted: Mapping[str, Picture]
    verdict: Verdict
    audited: AuditReport
    description: Mapping[str, str]

    @property
    def fault_counts(self) -> dict[str, int]:
        """How many faults of each kind were done."""
        return dict(Counter(fault.kind.value for fault in self.faults if not fault.failure))

    @property
    def shortcomings(self) -> list[str]:
        """Why the run does not pass, in sentences; none if it does."""
        verdict = self.verdict
        found = {
            "jobs were lost": verdict.lost,
            "answers are wrong": verdict.wrong,
            "duplicates remain after dedup": verdict.duplicates_after_dedup,
            "duplicates came although delivery is exactly-once": (
                verdict.duplicates if self.plan.delivery == "exactly-once" else 0
            ),
            "faults could not be done": sum(bool(fault.failure) for fault in self.faults),
            "scheduled faults were left out": len(self.plan.schedule) - len(self.faults),
        }
        return [f"{count} {what}" for what, count in found.items() if count]


def run_chaos(plan: ChaosPlan, environment: ChaosEnvironment, say: Say, description: Mapping[str, str]) -> ChaosRun:
    """Carry out a plan, and judge it. Raises LabelwireError where that cannot be done at all."""
    targets, clock = environment.targets, environment.targets.clock
    targets.load.start()
    targets.workers.start()
    expected = _read_without_faults(environment, say)
    jobs_per_second = plan.jobs_per_second or _half_of_the_rate(environment.watch.answers)
    began_at_ms = clock.epoch_ms()
    say(f"Faults: {len(plan.schedule)} in {plan.duration_seconds:.0f} s, {jobs_per_second:.1f} jobs a second")
    targets.load.run_steadily(environment.good, targets.undecodable, jobs_per_second)
    faults, ended_at_ms = _inject_all(plan, environment, say)
    _drain(environment, plan.drain_seconds, say)
    drained_at_ms = clock.epoch_ms()
    targets.workers.stop()
    say("The audit")
    audited = audit(environment.kafka, environment.topics)
    answers = _all_answers(environment)
    verdict = judge(targets.load.submitted, targets.load.doubtful, expected, answers, audited)
    return ChaosRun(
        plan,
        jobs_per_second,
        began_at_ms,
        ended_at_ms,
        drained_at_ms,
        faults,
        tuple(targets.restarts),
        tuple(targets.workers.exits),
        answers,
        dict(targets.load.submitted),
        verdict,
        audited,
        description,
    )


def _read_without_faults(environment: ChaosEnvironment, say: Say) -> Expectations:
    """Have every picture read before any fault, in different company, and take that as what is right."""
    load = environment.targets.load
    load.submit([*list(environment.good) * _FAULTLESS_READINGS, *environment.targets.undecodable])
    load.pause()
    missing = environment.watch.wait_for(lambda: load.submitted, _CALM_SECONDS, _ProgressReporter(environment, say))
    if missing:
        raise ChaosError(f"{missing} pictures were not read within {_CALM_SECONDS:.0f} s without any fault.")
    return expect(load.submitted, environment.watch.answers)


def _half_of_the_rate(answers: Sequence[WorkerAnswer]) -> float:
    """Return half of the jobs a second that were done when there was always one to do."""
    times = sorted(answer.at_ms for answer in answers)
    rate = (len(times) - 1) * 1000 / max(1, times[-1] - times[0])
    return min(_MAX_JOBS_PER_SECOND, max(_MIN_JOBS_PER_SECOND, round(rate / 2, 1)))


def _inject_all(plan: ChaosPlan, environment: ChaosEnvironment, say: Say) -> tuple[tuple[InjectedFault, ...], int]:
    """Do all faults while the load runs, and return them, and when the load ended."""
    targets = environment.targets
    begun = targets.clock.monotonic()
    with ThreadPoolExecutor(_MAX_FAULTS_AT_ONCE, thread_name_prefix="fault") as pool:
        try:
            running = []
            for fault in plan.schedule:
                time.sleep(max(0.0, begun + fault.at_seconds - targets.clock.monotonic()))
                say(f"{fault.at_seconds:6.1f} s  {fault.kind}")
                running.append(pool.submit(_inject_one, targets, fault, say))
            time.sleep(max(0.0, begun + plan.duration_seconds - targets.clock.monotonic()))
            targets.load.pause()
            ended_at_ms = targets.clock.epoch_ms()
            say("The load has ended; the workers finish what is left")
            return tuple(one.result() for one in running), ended_at_ms
        except BaseException:
            targets.ending.set()
            raise


def _inject_one(targets: FaultTargets, fault: ScheduledFault, say: Say) -> InjectedFault:
    began_at_ms = targets.clock.epoch_ms()
    try:
        words, failure = inject(targets, fault), ""
    except (LabelwireError, OSError) as error:
        words, failure = "", str(error)
        say(f"{fault.kind} could not be done: {failure}")
    return InjectedFault(fault.kind, began_at_ms, targets.clock.epoch_ms(), words, failure)


def _drain(environment: ChaosEnvironment, seconds: float, say: Say) -> None:
    """Wait until every job has an answer and nothing is on its way, or the time is over."""
    load, clock = environment.targets.load, environment.targets.clock
    deadline = clock.monotonic() + seconds
    environment.watch.wait_for(lambda: load.submitted, seconds, _ProgressReporter(environment, say))
    while clock.monotonic() < deadline and audit(environment.kafka, environment.topics).pending:
        time.sleep(_ASK_AGAIN_SECONDS)


def _all_answers(environment: ChaosEnvironment) -> tuple[WorkerAnswer, ...]:
    topics = environment.topics
    read = [topics.results, topics.dead_letters]
    with BoundedReader(environment.kafka.bootstrap_servers, read) as reader:
        return tuple(answer_of(record, topics.results) for record in reader)


class _ProgressReporter:
    """Reports now and then how many answers are missing."""

    def __init__(self, environment: ChaosEnvironment, say: Say) -> None:
        self._clock = environment.targets.clock
        self._say = say
        self._said_at = self._clock.monotonic()

    def __call__(self, missing: int) -> None:
        now = self._clock.monotonic()
        if missing and now - self._said_at >= _TELL_SECONDS:
            self._said_at = now
            self._say(f"{missing} jobs have no answer yet")
