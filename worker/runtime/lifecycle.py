"""The life of a worker: wait until Triton and the topics fit, work, and stop in time.

Invariant: no record is taken while a condition that the work needs is unmet; the worker continues by itself when all
are met again.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Protocol, Self

from worker.domain.errors import BrokerError, JobError, ServerMismatchError
from worker.domain.records import ClusterDescription, TopicLimits
from worker.ports import Clock, ClusterAccess, InferenceAccess, RecordSink, RecordSource
from worker.runtime.dead_letter_limit import DEAD_LETTERS, DeadLetterLimit
from worker.runtime.delivery import Destination
from worker.runtime.health import Health
from worker.runtime.loop import PARTITIONS, Loop
from worker.runtime.outcome_health import OUTCOMES, OutcomeHealth
from worker.runtime.rollout.follower import ROLLOUT, RolloutFollower
from worker.runtime.triton_guard import TritonGuard
from worker.settings import Settings

TRITON = "triton"
TOPICS = "topics"
CIRCUITS = "circuits"
CONDITIONS = (TRITON, CIRCUITS, TOPICS, ROLLOUT, OUTCOMES, DEAD_LETTERS, PARTITIONS)
_INTAKE_CONDITIONS = (TRITON, CIRCUITS, TOPICS, ROLLOUT, OUTCOMES, DEAD_LETTERS)

# Checking the topics takes a connection of its own, so it is done less often than checking Triton.
_TOPICS_EVERY = 5
# Many records may be refused at once, so checks on their behalf keep this distance from the check before.
_MIN_RECHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class TopicNeeds:
    """The topics that must be there, and the size that the results' topic must take at least.

    `returning` are those on which jobs come again: the retry and replay topics.
    """

    jobs: str
    results: str
    dead_letters: str
    min_result_bytes: int
    returning: tuple[str, ...] = ()
    retries: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what a worker with these settings needs."""
        topics = settings.topics
        return cls(
            topics.jobs,
            topics.results,
            topics.dead_letters,
            topics.min_result_bytes,
            returning=(*topics.retry_topics, topics.replay_topic),
            # Jobs of a key that are in order are tried again in place.
            retries=() if settings.runtime.ordering == "key" else topics.retry_topics,
        )

    @property
    def reads(self) -> tuple[str, ...]:
        """The topics that the worker reads."""
        return (self.jobs, *self.returning)

    @property
    def writes(self) -> tuple[str, ...]:
        """The topics that the worker writes: `retries` are those of `returning` that it does."""
        return (self.results, self.dead_letters, *self.retries)

    @property
    def all(self) -> tuple[str, ...]:
        """Every topic."""
        return (self.jobs, self.results, self.dead_letters, *self.returning)


class TopicMonitor:
    """Checks whether the broker's topics are as the worker needs them."""

    def __init__(
        self,
        sink: RecordSink,
        needs: TopicNeeds,
        destination: Destination,
        health: Health,
        clock: Clock,
        access: ClusterAccess | None = None,
    ) -> None:
        self._sink = sink
        self._access = access
        self._needs = needs
        self._destination = destination
        self._health = health
        self._clock = clock
        self._lock = asyncio.Lock()  # an older check must not end after a newer one
        self._checks_begun = self._checks_ended = 0
        self._last_check_at = -math.inf
        self._obstacle = ""

    async def check(self) -> None:
        """Update the condition `topics` and the destination's limits."""
        async with self._lock:
            await self._check()

    async def recheck(self) -> str:
        """Check, and return why the topics do not fit; one check serves all who asked before it began."""
        asked = self._checks_begun
        async with self._lock:
            if self._checks_ended <= asked:
                pause = self._last_check_at + _MIN_RECHECK_SECONDS - self._clock.monotonic()
                if pause > 0:
                    await self._clock.sleep(pause)
                await self._check()
            return self._obstacle

    async def _check(self) -> None:
        self._checks_begun += 1
        self._last_check_at = self._clock.monotonic()
        self._obstacle = await self._find_obstacle()
        self._checks_ended = self._checks_begun
        if self._obstacle:
            self._health.unmet(TOPICS, self._obstacle)
        else:
            self._health.met(TOPICS)

    async def _find_obstacle(self) -> str:
        """Update the destination's limits and return why the topics do not fit, empty if they do."""
        try:
            # Rights first: a topic that may not be described seems not to exist.
            obstacle = await self._access.obstacle(self._needs.reads, self._needs.writes) if self._access else ""
            if obstacle:
                return obstacle
            cluster = await self._sink.describe(self._needs.all)
        except BrokerError as error:
            return str(error)
        self._destination.cluster_id = cluster.cluster_id
        self._destination.max_result_bytes = _limit(cluster, self._needs.results)
        self._destination.max_dead_letter_bytes = _limit(cluster, self._needs.dead_letters)
        return self._misfit(cluster)

    def _misfit(self, cluster: ClusterDescription) -> str:
        needs = self._needs
        missing = [topic for topic in needs.all if cluster.topics[topic] is None]
        if missing:
            return f"{', '.join(missing)} does not exist on the broker; create it with `labelwire topics apply`."
        results, jobs = _limit(cluster, needs.results), _limit(cluster, needs.jobs)
        if results is not None and results < needs.min_result_bytes:
            return (
                f"{needs.results} takes messages of {results} bytes and results need {needs.min_result_bytes};"
                " raise its max.message.bytes."
            )
        for topic in (needs.dead_letters, *needs.returning):
            limit = _limit(cluster, topic)
            if jobs is not None and limit is not None and limit < jobs:
                return (
                    f"{topic} takes messages of {limit} bytes and {needs.jobs} of {jobs};"
                    " raise its max.message.bytes, or it does not take every job."
                )
        return ""


def _limit(cluster: ClusterDescription, topic: str) -> int | None:
    limits: TopicLimits | None = cluster.topics[topic]
    return limits.max_message_bytes if limits else None


class ServedModels(Protocol):
    """The models that the worker needs."""

    def invalidate(self) -> None:
        """Note that they may have changed."""

    async def refresh(self) -> None:
        """Ask the server for them. Raises ServerMismatchError, JobError INFERENCE_UNAVAILABLE."""


class ModelMonitor:
    """Checks whether Triton serves the models that the worker needs."""

    def __init__(
        self, guard: TritonGuard, models: ServedModels, health: Health, access: InferenceAccess | None = None
    ) -> None:
        self._guard = guard
        self._access = access
        self._models = models
        self._health = health
        health.met(CIRCUITS)  # none is open before the first request

    async def check(self) -> None:
        """Update the condition `triton`, and follow the server's models: they may change while it runs."""
        if not await self._guard.ready():
            self._models.invalidate()
            known = self._access.obstacle() if self._access else ""
            self._health.unmet(TRITON, known or "the server does not answer, or is not ready.")
            return
        if not self._health.is_met(TRITON):
            self._guard.probe_now()
        try:
            await self._models.refresh()
        except (JobError, ServerMismatchError) as error:
            self._health.unmet(TRITON, str(error))
        else:
            self._health.met(TRITON)

    def circuits_changed(self, *, is_open: bool) -> None:
        """Update the condition `circuits`. What was away may come back with other models."""
        if is_open:
            self._models.invalidate()
            self._health.unmet(CIRCUITS, "requests to Triton fail; jobs wait until it answers again.")
        else:
            self._health.met(CIRCUITS)


class Lifecycle:
    """Runs the loop and the monitors side by side."""

    def __init__(
        self,
        *,
        loop: Loop,
        topics: TopicMonitor,
        models: ModelMonitor,
        rollouts: RolloutFollower | None,
        dead_letter_limit: DeadLetterLimit,
        outcome_health: OutcomeHealth,
        source: RecordSource,
        health: Health,
        clock: Clock,
        interval_seconds: float,
    ) -> None:
        self._loop = loop
        self._topics = topics
        self._models = models
        self._rollouts = rollouts
        self._dead_letter_limit = dead_letter_limit
        self._outcome_health = outcome_health
        self._source = source
        self._health = health
        self._clock = clock
        self._interval_seconds = interval_seconds
        dead_letter_limit.on_change(self._update_intake)
        outcome_health.on_change(self._update_intake)

    def circuits_changed(self, *, is_open: bool) -> None:
        """Take no jobs while a circuit is open."""
        self._models.circuits_changed(is_open=is_open)
        self._update_intake()

    def _update_intake(self) -> None:
        self._loop.set_intake(
            is_open=self._health.is_met(*_INTAKE_CONDITIONS), paused_topics=self._dead_letter_limit.paused_topics
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set."""
        async with asyncio.TaskGroup() as tasks:
            monitoring = [tasks.create_task(self._watch_models()), tasks.create_task(self._watch_topics())]
            if self._rollouts is not None:
                monitoring.append(tasks.create_task(self._rollouts.run()))
            stop = tasks.create_task(stopping.wait())
            fit = tasks.create_task(self._wait_until_fit())
            await asyncio.wait({fit, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.is_set():
                await self._loop.run(stopping)
            for task in (*monitoring, fit, stop):
                task.cancel()

    async def _wait_until_fit(self) -> None:
        while not self._health.is_met(TRITON, TOPICS, ROLLOUT):
            await self._clock.sleep(min(0.2, self._interval_seconds))

    async def _watch_models(self) -> None:
        while True:
            await self._models.check()
            self._dead_letter_limit.update()
            self._outcome_health.update()
            self._update_intake()
            if self._source.alive():
                self._health.beat()
            await self._clock.sleep(self._interval_seconds)

    async def _watch_topics(self) -> None:
        while True:
            await self._topics.check()
            met = self._health.is_met(TOPICS, OUTCOMES)
            await self._clock.sleep(self._interval_seconds * (_TOPICS_EVERY if met else 1))
