"""One simulated run, from its seed to its verdict."""

import asyncio
import contextlib
import contextvars
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.building import Doors, settings_of
from tests.simulation.coordinator import Assignor, Coordinator
from tests.simulation.faults import FaultScript
from tests.simulation.jobs import BUCKETS, JOB_LIMIT_BYTES, RESULT_LIMIT_BYTES, TOPICS, Sent, closing_job
from tests.simulation.judge import Judge
from tests.simulation.member import Member
from tests.simulation.ports import Weather
from tests.simulation.scenario import Scenario, scenario
from tests.simulation.source import CONSUMED
from tests.simulation.trace import Trace
from tests.simulation.virtual_time import StandstillError, VirtualClock, VirtualProcess, VirtualTimeLoop
from worker.domain.errors import BrokerError
from worker.domain.records import CommitPoint, Record, TopicPartition
from worker.testing.backend import FakeBackend
from worker.testing.broker import MemoryBroker

_MAX_CALLBACKS = 400_000
_LOOK_SECONDS = 1.0
_RESTART_SECONDS = 1.0
_ROUNDS = 20
_CLOSING_JOBS = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a seed. It is right if there are no failures."""

    seed: int
    failures: tuple[str, ...]
    virtual_seconds: float
    callbacks: int
    jobs: int
    excuses: tuple[str, ...]
    trace: Trace


def simulate(seed: int) -> Verdict:
    """Run a seed to its end, in virtual time."""
    state = random.getstate()
    random.seed(seed)
    loop = VirtualTimeLoop(max_callbacks=_MAX_CALLBACKS)
    loop.set_exception_handler(lambda _loop, _context: None)  # the judge sees what matters
    world = World(loop, scenario(seed))
    try:
        loop.run_until_complete(world.run())
    except StandstillError as error:
        world.judge.fail(str(error))
    finally:
        world.end()
        loop.close()
        random.setstate(state)
    return Verdict(
        seed,
        tuple(world.judge.failures),
        loop.time(),
        loop.callbacks,
        len(world.judge.jobs),
        tuple(sorted(world.judge.excuses)),
        world.trace,
    )


class _Positions(dict[tuple[str, TopicPartition], CommitPoint]):
    """Committed positions that the judge sees before they count."""

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self._judge = judge

    def update(self, points: dict[tuple[str, TopicPartition], CommitPoint]) -> None:  # type: ignore[override]
        if points:
            self._judge.commit_requested()
        for (group, partition), point in sorted(points.items()):  # in whatever order a set gave them
            self[group, partition] = point

    def __setitem__(self, name: tuple[str, TopicPartition], point: CommitPoint) -> None:
        self._judge.committed(name[1], point)
        super().__setitem__(name, point)


class WatchedBroker(MemoryBroker):
    """A broker that shows the judge what workers write."""

    def __init__(self, judge: Judge, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.committed = _Positions(judge)
        self._judge = judge

    def create_topic(self, name: str, partitions: int = 1, max_message_bytes: int | None = None) -> None:
        super().create_topic(name, partitions, max_message_bytes)
        self._judge.topic_made(name, self.topic_id(name))

    def append(self, topic: str, value: bytes | None, **options: object) -> Record:
        record = super().append(topic, value, **options)  # type: ignore[arg-type]
        if topic != TOPICS.jobs:
            self._judge.written(record)
        return record


class World:
    """The broker, Triton, the workers, and what happens to them."""

    def __init__(
        self, loop: VirtualTimeLoop, plan: Scenario, trace: Trace | None = None, assignor: Assignor | None = None
    ) -> None:
        self.plan = plan
        self.trace = trace or Trace(loop.time)
        self.judge = Judge(TOPICS, plan.tuning, self.trace)
        self.broker = self._make_broker(VirtualClock(loop))
        self.triton = FakeBackend(buckets=BUCKETS)
        self.members: list[Member] = []
        self.weather = Weather.of(plan.tuning, random.Random(f"weather {plan.seed}"))  # noqa: S311 - dice
        self.coordinator = Coordinator(
            self.broker,
            self.members,
            plan.tuning,
            self.judge,
            self.trace,
            random.Random(f"coordinator {plan.seed}"),  # noqa: S311 - dice
            lambda: self.weather.metadata_garbled,
            assignor,
        )
        self._settings = settings_of(plan.tuning)
        self.loop = loop
        self._context = contextvars.copy_context()
        self._processes: list[VirtualProcess] = []
        self._lives = 0
        self._over = False
        self._create_topics()

    async def run(self) -> None:
        """Let everything happen, and judge it."""
        coordinating = self.loop.create_task(self.coordinator.run())
        self._begin()
        await asyncio.sleep(self.plan.calm_from_seconds + 0.1)
        self.trace.note("world", "calm")
        await self._until_drained()
        await self._stop_all()
        coordinating.cancel()
        self.judge.conclude()

    def _begin(self) -> None:
        """Start the workers, and let jobs and faults come at their times."""
        for slot in range(self.plan.workers):
            self.start_worker(slot)
        for job in self.plan.jobs:
            self.loop.call_at(job.at_seconds, self._send, job)
        script = FaultScript(self)
        for fault in self.plan.faults:
            self.loop.call_at(fault.at_seconds, script.begin, fault)

    def _make_broker(self, clock: VirtualClock) -> WatchedBroker:
        return WatchedBroker(self.judge, clock)

    def _create_topics(self) -> None:
        self._create_jobs_topic()
        for topic in CONSUMED[1:]:
            self.broker.create_topic(topic, 1, JOB_LIMIT_BYTES)
        self.broker.create_topic(TOPICS.results, 2, RESULT_LIMIT_BYTES)
        self.broker.create_topic(TOPICS.dead_letters, 1, JOB_LIMIT_BYTES)

    def _create_jobs_topic(self) -> None:
        self.broker.create_topic(TOPICS.jobs, self.plan.partitions, JOB_LIMIT_BYTES)

    def recreate_jobs_topic(self) -> None:
        """Delete the jobs with their topic, and create it again."""
        self.broker.delete_topic(TOPICS.jobs)
        self._create_jobs_topic()

    def _send(self, job: Sent) -> None:
        record = self.broker.append(
            TOPICS.jobs, job.value, key=job.key, headers=job.headers, partition=job.partition, gap=job.gap
        )
        self.judge.sent(record, job)

    # Workers.

    def start_worker(self, slot: int) -> None:
        """Begin a new life of the worker of a slot."""
        if self._over or (slot < len(self.members) and self.members[slot].living):
            return
        self._lives += 1
        name = f"worker-{slot}.{self._lives}"
        process = VirtualProcess(self.loop, name)
        self._processes.append(process)
        doors = Doors(
            name=name,
            loop=self.loop,
            broker=self.broker,
            triton=self.triton,
            weather=self.weather,
            tuning=self.plan.tuning,
            judge=self.judge,
            trace=self.trace,
            settings=self._settings,
            crash=lambda: self.kill(slot, "by a picture"),
        )
        member = Member.start(doors, process, self.coordinator.changed)
        self.trace.note(name, "starts")
        self.members[slot : slot + 1] = [member]
        member.task.add_done_callback(lambda task: self._ended(slot, member, task))

    def kill(self, slot: int, why: str, *, away_seconds: float = _RESTART_SECONDS) -> None:
        """End a worker's process as SIGKILL does, and start it again after a time."""
        member = self.members[slot]
        if not member.living:
            return
        self.trace.note(member.name, "killed", why)
        self.judge.excuse("a worker was killed")
        member.process.kill()
        self.later(self.plan.tuning.session_seconds, self._bury, member)
        self.later(away_seconds, self.start_worker, slot)

    def _bury(self, member: Member) -> None:
        member.source.crash()
        member.source.joined = False
        self.coordinator.changed()

    def _ended(self, slot: int, member: Member, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        self.trace.note(member.name, "ended", repr(error) if error else "")
        if error is not None and not _only_broker_errors(error):
            self.judge.fail(f"{member.name} ended with {error!r}.")
        self._bury(member)
        self.later(member.away_seconds, self.start_worker, slot)

    # The end.

    async def _until_drained(self) -> None:
        limit_seconds, looks = self.loop.time() + self._patience_seconds, 0
        while not self._drained:
            await asyncio.sleep(_LOOK_SECONDS)
            looks += 1
            if self.judge.open_jobs and (looks < _CLOSING_JOBS or looks % _CLOSING_JOBS == 0):
                # Whether a job itself is to blame shows only where others succeed.
                self._send(closing_job(looks, looks % self.plan.partitions))
            if self.loop.time() > limit_seconds:
                self.judge.fail(f"Not drained {self._patience_seconds:g} s after the last fault: {self._remaining}.")
                return

    @property
    def _patience_seconds(self) -> float:
        tuning, jobs = self.plan.tuning, len(self.plan.jobs)
        failing = sum(1 for job in self.plan.jobs if job.codes)
        one_job = 6 * tuning.inference_seconds + 8 * tuning.ack_seconds + 1
        letters = 35.0 * failing if tuning.dead_letters_per_minute else 0.0
        attempts = 4 * tuning.attempt_seconds + 2 * sum(tuning.retry_delays_seconds)
        return 90 + jobs * one_job + attempts + 4 * tuning.retry_max_seconds + letters

    @property
    def _remaining(self) -> list[str]:
        return [
            *(f"{at} has no outcome" for at in self.judge.open_jobs),
            *(
                f"{partition} is committed up to {self.judge.position(partition)} of {self._end(partition)}"
                for topic in CONSUMED
                for partition in self.broker.partitions(topic)
                if self.judge.position(partition) < self._end(partition)
            ),
        ]

    @property
    def _drained(self) -> bool:
        return not self._remaining

    def _end(self, partition: TopicPartition) -> int:
        """Return the place after the last record; the end of a transaction may stand behind that."""
        records = self.broker.read(partition, 0, self.broker.end(partition))
        return records[-1].coordinate.offset + 1 if records else 0

    async def _stop_all(self) -> None:
        self._over = True
        living = [member for member in self.members if member.living]
        for member in living:
            member.stopping.set()
        tasks = [member.task for member in living]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self.plan.tuning.drain_seconds + 5)
        if late:
            self.judge.fail(f"{len(late)} workers did not stop in time.")

    def end(self) -> None:
        """Let go of what was killed or still runs, which nobody watches any more."""
        self._over = True
        self.judge.close()
        for process in self._processes:
            process.release()
        for _ in range(_ROUNDS):
            tasks = asyncio.all_tasks(self.loop)
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            with contextlib.suppress(StandstillError):
                self.loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))

    def later(self, seconds: float, act: Callable[..., object], *arguments: object) -> None:
        """Do something after so many seconds."""
        # In the world's own context: what a dying process asks for must not die with it.
        self.loop.call_later(seconds, act, *arguments, context=self._context)


def _only_broker_errors(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_only_broker_errors(inner) for inner in error.exceptions)
    return isinstance(error, BrokerError)
