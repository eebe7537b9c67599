"""Many workers on many partitions: what they ask of the broker, measured while they come, go and wait.

A scale run has phases. Half of the workers begin; the others join at once; half of them leave; some are killed; Triton
is away. Jobs come at one rate all the time. The rules of the judge hold as in every run: nothing is lost, and with
`ordering=key` no job of a key begins before the earlier ones have ended.

Partitions are assigned in ranges, as Labelwire asks Kafka to, but anew each time: so they move more than on a broker
whose assignor keeps what it can. All that are revoked in one go are assigned when the last of them is free.
"""

import base64
import hashlib
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

from tests.simulation.coordinator import GROUP
from tests.simulation.jobs import JOB_LIMIT_BYTES, RESULT_LIMIT_BYTES, TOPICS, Sent, body, ends, id_of
from tests.simulation.member import Member
from tests.simulation.scenario import Fault, Scenario, Tuning
from tests.simulation.source import CONSUMED, SimulatedSource
from tests.simulation.trace import Trace
from tests.simulation.virtual_time import VirtualClock, VirtualTimeLoop
from tests.simulation.world import WatchedBroker, World
from worker.domain.offsets import MAX_WINDOW, OffsetTracker
from worker.domain.records import CommitPoint, Coordinate, Record, TopicPartition

_MAX_CALLBACKS = 2_000_000_000
_PHASE_SECONDS = 15.0
PHASES_SECONDS = round(7 * _PHASE_SECONDS)
_BATCHES_A_SECOND = 4
_TEXTS = 200
_NEVER_SECONDS = 1e9
_TRACKED_OFFSETS = 200_000
_FIRST_OFFSET = 10**9
# Of a hundred jobs one is damaged, and of two hundred one fails in all its attempts.
_KINDS = {"good": 985, "corrupt": 10, "cursed": 5}
_TERMINAL = (TOPICS.results, TOPICS.dead_letters)


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """How large a run is. Rates are jobs a second of all workers together."""

    workers: int = 200
    partitions: int = 1000
    jobs_per_second: int = 400
    key_order: bool = False
    seed: int = 0


@dataclass(slots=True)
class Phase:
    """What happened in one part of the run; times in seconds.

    `commits` counts positions, `commit_requests` what carried them. `moved` counts partitions that came to another
    worker, `without_owner` is how long none of them was read. `read_twice` counts records that a second worker has
    begun. `longest_pause` is the longest time in which no job ended, `backlog` how many were open after each second.
    """

    name: str
    began_seconds: float
    workers: int
    ended_seconds: float = 0.0
    jobs: int = 0
    results: int = 0
    dead_letters: int = 0
    retries: int = 0
    commits: int = 0
    commit_requests: int = 0
    moved: int = 0
    read_twice: int = 0
    without_owner_seconds: list[float] = field(default_factory=list)
    metadata_bytes: Counter[int] = field(default_factory=Counter)
    backlog: list[int] = field(default_factory=list)
    busiest_second: int = 0
    longest_pause_seconds: float = 0.0


def _ignore(_seconds: int) -> None:
    """Show nothing."""


class Meter(Trace):
    """Counts what happens instead of keeping it."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.phases: list[Phase] = []
        self.show: Callable[[int], object] = _ignore
        self._begun: dict[Coordinate, str] = {}
        self._owner: dict[TopicPartition, str] = {}
        self._free_since: dict[TopicPartition, float] = {}
        self._commits_of_second: Counter[int] = Counter()
        self._outcome_at = 0.0
        self._open = 0
        self._ways: dict[str, Callable[..., None]] = {
            "sent": self._sent,
            "begun": self._began,
            "acknowledged": self._acknowledged,
            "commit request": self._requested,
            "metadata": self._committed,
            "revokes": self._revoked,
            "assigns": self._assigned,
            "killed": self._gone,
            "leaves": self._gone,
        }

    def note(self, who: str, what: str, *details: object) -> None:
        """Count what is of interest."""
        way = self._ways.get(what)
        if way is not None and self.phases and not self._closed:
            way(who, *details)

    def begin(self, name: str, workers: int) -> None:
        """Begin a phase, and end the one before."""
        now = self._now()
        self._end(now)
        self._outcome_at = now
        self._commits_of_second.clear()
        self.phases.append(Phase(name, now, workers))

    def end(self) -> None:
        """End the last phase."""
        self._end(self._now())

    def second(self) -> None:
        """Note how many jobs are open."""
        self.phases[-1].backlog.append(self._open)
        self.show(round(self._now()))

    def _end(self, now: float) -> None:
        if self.phases:
            phase = self.phases[-1]
            phase.ended_seconds = now
            phase.busiest_second = max(self._commits_of_second.values(), default=0)
            self._pause(now)

    def _pause(self, now: float) -> None:
        phase = self.phases[-1]
        phase.longest_pause_seconds = max(phase.longest_pause_seconds, now - self._outcome_at)

    def _sent(self, _who: str, *_details: object) -> None:
        self.phases[-1].jobs += 1
        self._open += 1

    def _began(self, worker: str, at: Coordinate) -> None:
        if self._begun.get(at, worker) != worker:
            self.phases[-1].read_twice += 1
        self._begun[at] = worker

    def _acknowledged(self, _who: str, topic: str, *_details: object) -> None:
        phase = self.phases[-1]
        if topic in TOPICS.retry_topics:
            phase.retries += 1
            return
        now = self._now()
        self._pause(now)
        self._outcome_at = now
        self._open -= 1
        if topic == TOPICS.results:
            phase.results += 1
        else:
            phase.dead_letters += 1

    def _requested(self, _who: str) -> None:
        self.phases[-1].commit_requests += 1

    def _committed(self, _who: str, _partition: TopicPartition, size_bytes: int) -> None:
        phase = self.phases[-1]
        phase.commits += 1
        phase.metadata_bytes[size_bytes] += 1
        self._commits_of_second[int(self._now())] += 1

    def _revoked(self, _who: str, _member: str, *partitions: TopicPartition) -> None:
        for partition in partitions:
            self._free_since[partition] = self._now()

    def _gone(self, member: str, *_details: object) -> None:
        self._revoked("", member, *(partition for partition, owner in self._owner.items() if owner == member))

    def _assigned(self, _who: str, member: str, partition: TopicPartition, _point: object) -> None:
        phase, before = self.phases[-1], self._owner.get(partition)
        self._owner[partition] = member
        if before is not None and before != member:
            phase.moved += 1
            phase.without_owner_seconds.append(self._now() - self._free_since.get(partition, self._now()))


class _ScaleBroker(WatchedBroker):
    """Wakes only the member that holds the partition of a record: two hundred need not look each time.

    Its topics have ids as long as those of a real broker, because they are a part of each commit.
    """

    def topic_id(self, name: str) -> str:
        made = super().topic_id(name)
        return (
            base64.urlsafe_b64encode(hashlib.sha256(made.encode()).digest()[:16]).decode().rstrip("=") if made else ""
        )

    def append(self, topic: str, value: bytes | None, **options: object) -> Record:
        watchers, self._watchers = self._watchers, []
        try:
            record = super().append(topic, value, **options)
        finally:
            self._watchers = watchers
        owner = self.owners.get((GROUP, record.topic_partition))
        if isinstance(owner, SimulatedSource):
            owner.wake()
        return record


class ScaleWorld(World):
    """A world whose workers come and go in phases."""

    def __init__(self, loop: VirtualTimeLoop, plan: ScalePlan) -> None:
        self._scale = plan
        self.meter = Meter(loop.time)
        super().__init__(loop, _scenario(plan), self.meter, assign_ranges)

    def _make_broker(self, clock: VirtualClock) -> WatchedBroker:
        return _ScaleBroker(self.judge, clock)

    def _create_topics(self) -> None:
        for topic in CONSUMED:
            self.broker.create_topic(topic, self.plan.partitions, JOB_LIMIT_BYTES)
        self.broker.create_topic(TOPICS.results, self.plan.partitions, RESULT_LIMIT_BYTES)
        self.broker.create_topic(TOPICS.dead_letters, self.plan.partitions, JOB_LIMIT_BYTES)

    def _begin(self) -> None:
        half, tenth = self._scale.workers // 2, max(1, self._scale.workers // 10)
        acts: list[tuple[str, Callable[[], None]]] = [
            (f"{half} workers", lambda: self._start(range(half))),
            (f"{self._scale.workers - half} join", lambda: self._start(range(half, self._scale.workers))),
            ("steady", lambda: None),
            (f"{half} leave", lambda: self._stop(range(half, self._scale.workers))),
            (f"{tenth} are killed", lambda: self._kill(range(tenth))),
            ("Triton is away", lambda: None),
            ("Triton is back", lambda: None),
            ("the rest", lambda: None),
        ]
        for number, (name, act) in enumerate(acts):
            self.loop.call_at(number * _PHASE_SECONDS, self._enter, name, act)
        for second in range(PHASES_SECONDS):
            self.loop.call_at(second + 0.999, self.meter.second)
        super()._begin()

    def _enter(self, name: str, act: Callable[[], None]) -> None:
        act()
        self.meter.begin(name, sum(member.living and not member.stopping.is_set() for member in self.members))

    def _start(self, slots: range) -> None:
        for slot in slots:
            self.start_worker(slot)

    def _stop(self, slots: range) -> None:
        for slot in slots:
            self.trace.note(self.members[slot].name, "leaves")
            self.members[slot].away_seconds = _NEVER_SECONDS
            self.members[slot].stopping.set()

    def _kill(self, slots: range) -> None:
        for slot in slots:
            self.kill(slot, "all at once")


def assign_ranges(partitions: Sequence[TopicPartition], takers: Sequence[Member]) -> dict[Member, list[TopicPartition]]:
    """Give each member one range of each topic's partitions."""
    wanted: dict[Member, list[TopicPartition]] = {member: [] for member in takers}
    for _, of_topic in groupby(partitions, key=lambda partition: partition.topic) if takers else ():
        numbered = list(of_topic)
        for place, partition in enumerate(numbered):
            wanted[takers[place * len(takers) // len(numbered)]].append(partition)
    return wanted


def _scenario(plan: ScalePlan) -> Scenario:
    chance = random.Random(f"scale {plan.seed}")  # noqa: S311 - dice
    outage = Fault("triton-down", 5 * _PHASE_SECONDS, _PHASE_SECONDS, 0, 1.0)
    # Workers are started by the phases.
    return Scenario(plan.seed, plan.partitions, 0, _tuning(plan), tuple(_jobs(chance, plan)), (outage,))


def _tuning(plan: ScalePlan) -> Tuning:
    """Return the defaults of the settings, and the times of a busy server."""
    return Tuning(
        max_jobs=8,
        max_inflight_pixels=64_000_000,
        partition_window=MAX_WINDOW,
        commit_interval_seconds=1.0,
        attempt_seconds=120.0,
        retry_initial_seconds=0.5,
        retry_max_seconds=3.0,
        drain_seconds=25.0,
        readiness_interval_seconds=2.0,
        session_seconds=6.0,
        inference_seconds=0.05,
        work_seconds=0.02,
        ack_seconds=0.01,
        whole_pipeline=False,
        limits_told=True,
        key_order=plan.key_order,
        exactly_once=False,
        retry_delays_seconds=(5.0, 10.0, 20.0),
        dead_letters_per_minute=0,
    )


def _jobs(chance: random.Random, plan: ScalePlan) -> Iterator[Sent]:
    kinds, weights = list(_KINDS), list(_KINDS.values())
    batches = PHASES_SECONDS * _BATCHES_A_SECOND
    for batch in range(batches):
        at_seconds = batch / _BATCHES_A_SECOND
        for _ in range(plan.jobs_per_second // _BATCHES_A_SECOND):
            number, kind = chance.randrange(_TEXTS), chance.choices(kinds, weights)[0]
            value, headers = body(kind, number, at_seconds, 0.0)
            text, codes = ends(kind, number)
            partition = chance.randrange(plan.partitions)
            yield Sent(
                kind=kind,
                at_seconds=at_seconds,
                partition=partition,
                key=b"key %d" % chance.randrange(10 * plan.partitions) if plan.key_order else None,
                value=value,
                headers=headers,
                text=text,
                codes=codes,
                job_id=id_of(kind, number),
            )


@dataclass(frozen=True, slots=True)
class ScaleMeasurement:
    """What a run has shown. It is right if there are no failures."""

    plan: ScalePlan
    failures: tuple[str, ...]
    phases: tuple[Phase, ...]
    virtual_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON; times in seconds, sizes in bytes."""
        return {
            **asdict(self.plan),
            "failures": list(self.failures),
            "virtual_seconds": round(self.virtual_seconds, 1),
            "recovery_seconds": self.recovery_seconds,
            "metadata_bytes": _percentiles(sum((phase.metadata_bytes for phase in self.phases), Counter())),
            "phases": [_summary(phase) for phase in self.phases],
        }

    @property
    def recovery_seconds(self) -> int | None:
        """How long after the outage at most the jobs of one second were open; None if not within its phase."""
        few = self.plan.jobs_per_second
        return next((second + 1 for second, jobs in enumerate(self.phases[6].backlog) if jobs <= few), None)


def measure(plan: ScalePlan, show: Callable[[int], object] = _ignore) -> ScaleMeasurement:
    """Run the phases to their end, in virtual time; the same plan gives the same measurement.

    `show` is called with the virtual seconds that have passed, of `PHASES_SECONDS` until the last phase.
    """
    state = random.getstate()
    random.seed(plan.seed)
    loop = VirtualTimeLoop(max_callbacks=_MAX_CALLBACKS)
    loop.set_exception_handler(lambda _loop, _context: None)  # the judge sees what matters
    world = ScaleWorld(loop, plan)
    world.meter.show = show
    try:
        loop.run_until_complete(world.run())
        world.meter.end()
    finally:
        world.end()
        loop.close()
        random.setstate(state)
    return ScaleMeasurement(plan, tuple(world.judge.failures), tuple(world.meter.phases), loop.time())


def tracker_bytes(open_offsets: int) -> int:
    """Return the memory of one partition's tracker with so many jobs under way."""
    # So many that what Python takes from its lists of freed objects, and does not count, is little.
    count = _TRACKED_OFFSETS // open_offsets
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        trackers = [OffsetTracker(CommitPoint(_FIRST_OFFSET), topic_id="x" * 22) for _ in range(count)]
        for tracker in trackers:
            for offset in range(_FIRST_OFFSET, _FIRST_OFFSET + open_offsets):
                tracker.deliver(offset)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return round((after - before) / count)


def _summary(phase: Phase) -> dict[str, Any]:
    seconds = phase.ended_seconds - phase.began_seconds
    return {
        "name": phase.name,
        "workers": phase.workers,
        "seconds": round(seconds, 1),
        "jobs": phase.jobs,
        "results": phase.results,
        "dead_letters": phase.dead_letters,
        "retries": phase.retries,
        "commits_per_second": round(phase.commits / seconds, 1),
        "commits_in_busiest_second": phase.busiest_second,
        "commit_requests_per_second": round(phase.commit_requests / seconds, 1),
        "metadata_bytes": _percentiles(phase.metadata_bytes),
        "partitions_moved": phase.moved,
        "read_twice": phase.read_twice,
        "without_owner_seconds": _percentiles(Counter(round(each, 2) for each in phase.without_owner_seconds)),
        "longest_pause_seconds": round(phase.longest_pause_seconds, 2),
        "most_open_jobs": max(phase.backlog, default=0),
    }


def _percentiles(counted: Counter[Any]) -> dict[str, Any] | None:
    """Return percentiles of values that were counted; None where there is none."""
    ordered = sorted(counted.elements())
    if not ordered:
        return None
    last = len(ordered) - 1
    return {f"p{part}": ordered[last * part // 100] for part in (50, 95, 99)} | {"max": ordered[-1]}
