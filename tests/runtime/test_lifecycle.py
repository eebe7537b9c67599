"""A worker waits for its surroundings, says what it waits for, and goes on by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.runtime.looping import until
from tests.runtime.parts import JOBS, LETTERS, PICTURE, PNG, RESULTS, RETRIES, Parts
from worker.adapters.cache.memory import MemoryCache
from worker.bootstrap import Ports, Worker, build
from worker.domain.errors import ErrorCode, JobError
from worker.domain.result import LabelText
from worker.ports import ResultCache
from worker.settings import RuntimeSettings, Settings
from worker.testing.access import MemoryAccess
from worker.testing.backend import fake_models
from worker.testing.broker import MemoryBroker
from worker.testing.clock import ManualClock
from worker.testing.source import MemorySource

KIBIBYTE = 1024
UNAVAILABLE = JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton does not answer.")


class Life:
    """A whole worker over memory; `turn` lets the time of one look pass."""

    def __init__(self, parts: Parts, cache: ResultCache | None = None) -> None:
        self.parts = Parts(parts.executor, broker=MemoryBroker(), clock=ManualClock(sleeps_pass=False))
        self.broker = self.parts.broker
        later = (LETTERS, *RETRIES, f"{JOBS}.replay")
        for topic, size in ((JOBS, 1024), (RESULTS, 1024), *((topic, 2048) for topic in later)):
            self.broker.create_topic(topic, 1, size * KIBIBYTE)
        self.backend = self.parts.backend
        self.source = MemorySource(self.broker, [JOBS])
        self.stopping = asyncio.Event()
        isolation = self.parts.isolation
        self.access = MemoryAccess()
        ports = Ports(
            self.source,
            self.parts.sink,
            self.backend,
            isolation,
            self.parts.clock,
            self.parts.events,
            self.parts.blobs,
            access=self.access,
            cache=cache,
        )
        # The clock leaps while real threads decode, so an attempt must not end by it.
        settings = Settings(runtime=RuntimeSettings(attempt_seconds=1e9))
        self.worker: Worker = build(settings, ports, parts.executor)
        self.health = self.worker.health

    async def turn(self, seconds: float = 2.0) -> None:
        await self.parts.clock.until_sleeping()
        self.parts.clock.advance(seconds)
        for _ in range(30):
            await asyncio.sleep(0)

    async def turn_until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                await self.turn()

    def submit(self) -> None:
        self.broker.append(JOBS, PICTURE, headers=(PNG,))

    def results(self) -> list[LabelText]:
        return [LabelText.model_validate_json(record.value or b"") for record in self.broker.records(RESULTS)]


@pytest.fixture
def life(parts: Parts) -> Life:
    return Life(parts)


@asynccontextmanager
async def living(life: Life) -> AsyncIterator[None]:
    task = asyncio.create_task(life.worker.lifecycle.run(life.stopping))
    try:
        yield
    finally:
        life.stopping.set()
        async with asyncio.timeout(30):
            while not task.done():
                life.parts.clock.advance(100)
                await asyncio.wait([task], timeout=0.01)
        task.result()


async def test_a_worker_whose_surroundings_fit_is_ready_and_works(life: Life) -> None:
    life.submit()
    async with living(life):
        await life.turn_until(lambda: life.health.ready)
        await life.turn_until(lambda: len(life.results()) == 1)
    assert life.results()[0].pages[0].lines[0].text == "HELLO"
    assert life.broker.committed["labelwire", life.broker.partitions(JOBS)[0]].offset == 1


async def test_a_worker_that_was_given_a_cache_reads_a_picture_once(parts: Parts) -> None:
    life = Life(parts, MemoryCache(1024 * 1024, 1e9, parts.clock))
    async with living(life):
        await life.turn_until(lambda: life.health.ready)
        sent: list[int] = []
        for _ in range(3):
            life.submit()
            await life.turn_until(lambda: len(life.results()) > len(sent))
            sent.append(len(life.backend.calls))
    assert sent[0] > 0
    assert sent == [sent[0]] * 3
    assert [list(result.timing_ms) for result in life.results()[1:]] == [["cache"]] * 2
    assert [result.pages for result in life.results()] == [life.results()[0].pages] * 3


def without_a_model(life: Life) -> None:
    del life.backend.models["text_recognizer"]


def with_another_signature(life: Life) -> None:
    model = life.backend.models["text_detector"]
    life.backend.models["text_detector"] = replace(model, outputs=())


def away(life: Life) -> None:
    life.backend.broken = UNAVAILABLE


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (away, "triton: the server does not answer"),
        (without_a_model, "triton: Triton has no model text_recognizer"),
        (with_another_signature, "triton: text_detector has the outputs none instead of probability"),
    ],
)
async def test_while_triton_does_not_fit_the_worker_says_so_and_takes_nothing_and_then_goes_on(
    life: Life, spoil: Callable[[Life], None], says: str
) -> None:
    spoil(life)
    life.submit()
    async with living(life):
        for _ in range(100):
            await life.turn()
        assert says in life.health.reason
        assert not life.health.ready
        assert life.health.alive, "a Triton that does not fit is no reason to restart the worker"
        assert life.source.delivered == 0
        life.backend.models, life.backend.broken = fake_models(), None
        await life.turn_until(lambda: len(life.results()) == 1)
        assert life.health.ready


def without_results(broker: MemoryBroker) -> None:
    broker.delete_topic(RESULTS)


def with_small_results(broker: MemoryBroker) -> None:
    broker.create_topic(RESULTS, 1, 100 * KIBIBYTE)


def with_small_letters(broker: MemoryBroker) -> None:
    broker.create_topic(LETTERS, 1, 512 * KIBIBYTE)


def unreachable(broker: MemoryBroker) -> None:
    broker.reachable = False


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without_results, "label-text does not exist on the broker; create it with `labelwire topics apply`."),
        (with_small_results, "label-text takes messages of 102400 bytes and results need 262144"),
        (with_small_letters, "label-images.dlq takes messages of 524288 bytes and label-images of 1048576"),
        (unreachable, "does not answer"),
    ],
)
async def test_while_the_topics_do_not_fit_the_worker_says_so_and_takes_nothing_and_then_goes_on(
    life: Life, spoil: Callable[[MemoryBroker], None], says: str
) -> None:
    life.submit()
    spoil(life.broker)
    async with living(life):
        for _ in range(100):
            await life.turn()
        assert f"topics: {says}" in life.health.reason or (says in life.health.reason)
        assert life.health.alive
        assert life.source.delivered == 0
        life.broker.reachable = True
        life.broker.create_topic(RESULTS, 1, 1024 * KIBIBYTE)
        life.broker.create_topic(LETTERS, 1, 2048 * KIBIBYTE)
        await life.turn_until(lambda: len(life.results()) == 1)
        assert life.health.ready


async def test_limits_that_the_broker_does_not_tell_are_no_obstacle(life: Life) -> None:
    life.parts.sink.shows_limits = False
    life.submit()
    async with living(life):
        await life.turn_until(lambda: len(life.results()) == 1)
        assert life.health.ready


async def test_a_triton_that_goes_away_stops_the_intake_and_loses_nothing(life: Life) -> None:
    async with living(life):
        await life.turn_until(lambda: life.health.ready)
        life.backend.broken = UNAVAILABLE
        await life.turn_until(lambda: not life.health.ready)
        life.submit()
        for _ in range(20):
            await life.turn()
        assert life.source.delivered == 0
        life.backend.broken = None
        await life.turn_until(lambda: len(life.results()) == 1)
    assert life.broker.records(LETTERS) == []


async def test_a_worker_that_is_stopped_while_it_waits_stops(life: Life) -> None:
    life.backend.broken = UNAVAILABLE
    async with living(life):
        await life.turn()
    assert life.source.delivered == 0
    assert life.source.held == frozenset()


async def test_a_source_that_no_longer_polls_makes_the_worker_dead(life: Life) -> None:
    async with living(life):
        await life.turn_until(lambda: life.health.ready)
        life.source.polls = False
        for _ in range(40):
            await life.turn()
        assert not life.health.alive
        life.source.polls = True
        await life.turn()
        assert life.health.alive


async def test_a_stop_drains_what_is_under_way(life: Life) -> None:
    life.submit()
    life.parts.sink.hold()
    async with living(life):
        await life.turn_until(lambda: life.parts.sink.waiting == 1)
        life.stopping.set()
        await until(lambda: life.source.allowed_total == life.source.delivered)
        life.parts.sink.release()
        await until(lambda: len(life.results()) == 1)
    assert life.broker.committed["labelwire", life.broker.partitions(JOBS)[0]].offset == 1


async def test_while_no_outcome_can_be_written_the_worker_is_not_ready_and_takes_nothing_more(life: Life) -> None:
    async with living(life):
        await life.turn_until(lambda: life.health.ready)
        life.parts.sink.broken = JobError(ErrorCode.BROKER_UNAVAILABLE, "Kafka does not take it.")
        life.submit()
        await life.turn_until(lambda: "outcomes: Kafka does not take it." in life.health.reason)
        taken = life.source.delivered
        for _ in range(3):
            life.submit()
        for _ in range(30):
            await life.turn()
        assert life.source.delivered == taken
        assert life.health.alive
        life.parts.sink.broken = None
        await life.turn_until(lambda: len(life.results()) == 4)
        await life.turn_until(lambda: life.health.ready)
    assert life.broker.records(LETTERS) == []


async def test_an_acknowledgement_that_does_not_come_makes_the_worker_unready(life: Life) -> None:
    async with living(life):
        await life.turn_until(lambda: life.health.ready)
        life.parts.sink.hold()
        life.submit()
        await life.turn_until(lambda: f"outcomes: Topic {RESULTS} has acknowledged no record" in life.health.reason)
        life.parts.sink.release()
        await life.turn_until(lambda: life.health.ready)
    assert len(life.results()) == 1


async def test_an_outcome_that_another_member_will_write_is_no_reason_any_more(life: Life) -> None:
    async with living(life):
        await life.turn_until(lambda: life.health.ready)
        life.parts.sink.broken = JobError(ErrorCode.BROKER_UNAVAILABLE, "Kafka does not take it.")
        life.submit()
        await life.turn_until(lambda: "outcomes:" in life.health.reason)
        life.source.lose(life.source.held)
        await life.turn_until(lambda: "outcomes:" not in life.health.reason)
        life.parts.sink.broken = None


async def test_what_the_worker_may_not_do_is_said_before_what_does_not_exist(life: Life) -> None:
    life.access.obstacles[LETTERS] = "Kafka does not let it."
    life.broker.delete_topic(LETTERS)
    life.submit()
    async with living(life):
        for _ in range(50):
            await life.turn()
        assert life.health.reason.startswith("topics: Kafka does not let it.")
        assert life.source.delivered == 0
        life.access.obstacles.clear()
        await life.turn_until(lambda: "does not exist" in life.health.reason)
        life.broker.create_topic(LETTERS, 1, 2048 * KIBIBYTE)
        await life.turn_until(lambda: len(life.results()) == 1)
