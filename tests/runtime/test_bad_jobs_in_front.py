"""Good jobs behind or among very many bad ones have their results at once; the bad ones have their letters in time.

A whole worker over memory, in virtual time: 150 bad jobs at 15 dead letters a minute take 10 minutes.
"""

import asyncio
from dataclasses import dataclass, field

import pytest

from tests.runtime.parts import JOBS, LETTERS, PICTURE, PNG, RESULTS, RETRIES
from tests.simulation.virtual_time import VirtualClock, VirtualExecutor, VirtualTimeLoop
from worker.bootstrap import Ports, Worker, build
from worker.domain.events import DeadLettersWaiting
from worker.domain.records import Record
from worker.settings import LimitSettings, RuntimeSettings, Settings
from worker.testing.backend import FakeBackend
from worker.testing.blob import MemoryBlobStore
from worker.testing.broker import MemoryBroker
from worker.testing.events import RecordedEvents
from worker.testing.isolation import FakeIsolation
from worker.testing.sink import MemorySink
from worker.testing.source import MemorySource

BAD, GOOD, LIMIT = 150, 10, 15
MINUTE = 60.0


@dataclass
class World:
    """A worker, and when each record came to where outcomes stand."""

    loop: VirtualTimeLoop
    limits: LimitSettings
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    seen: list[tuple[float, Record]] = field(default_factory=list)
    events: RecordedEvents = field(default_factory=RecordedEvents)
    said: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for topic in (JOBS, RESULTS, LETTERS, *RETRIES, f"{JOBS}.replay"):
            self.broker.create_topic(topic, 1, 2**21)
        clock = VirtualClock(self.loop)
        self.source = MemorySource(
            self.broker, [JOBS, *RETRIES], delayed_topics=RETRIES, max_delay_seconds=1200, clock=clock
        )
        isolation = FakeIsolation(lambda _record, _attempt: pytest.fail("no suspects here"))
        self.ports = Ports(
            self.source,
            MemorySink(self.broker),
            FakeBackend(),
            isolation,
            clock,
            self.events,
            MemoryBlobStore(),
        )
        settings = Settings(limits=self.limits, runtime=RuntimeSettings(retry_delays_seconds=(5, 30, 120)))
        self.worker: Worker = build(settings, self.ports, VirtualExecutor(self.loop, lambda: 0.001))

    async def live(self, seconds: float) -> None:
        """Run for so long, or until all is done, and note each second what has come."""
        stopping = asyncio.Event()
        life = asyncio.create_task(self.worker.lifecycle.run(stopping))
        known = dict.fromkeys((RESULTS, LETTERS), 0)
        for _ in range(round(seconds)):
            await asyncio.sleep(1)
            for event in self.events.of(DeadLettersWaiting)[-1:]:
                self.said.append((self.loop.time(), event.seconds))
            for topic, count in known.items():
                came = self.broker.records(topic)[count:]
                self.seen += [(self.loop.time(), record) for record in came]
                known[topic] += len(came)
            if sum(known.values()) == BAD + GOOD and not self.worker.health.notice:
                break
        stopping.set()
        await life

    def times(self, topic: str) -> list[float]:
        return [at for at, record in self.seen if record.coordinate.topic == topic]


def world_of(loop: VirtualTimeLoop, *, mixed: bool, padding: int = 0, **limits: int) -> World:
    world = World(loop, LimitSettings(dead_letters_per_minute=LIMIT, **{"max_jobs": 8, **limits}))
    every = BAD // GOOD if mixed else BAD + GOOD
    for number in range(BAD):
        world.broker.append(JOBS, b"no picture %d" % number + bytes(padding), headers=(PNG,))
        if number % every == every - 1:
            world.broker.append(JOBS, PICTURE, headers=(PNG,))
    for _ in range(0 if mixed else GOOD):
        world.broker.append(JOBS, PICTURE, headers=(PNG,))
    return world


@pytest.mark.parametrize(
    ("mixed", "window"),
    [(True, 8192), (False, 8192), (False, 64)],
    ids=["mixed", "in front", "more than the window holds"],
)
def test_good_jobs_pass_bad_ones_that_wait(*, mixed: bool, window: int) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualTimeLoop)
        world = world_of(loop, mixed=mixed, partition_window=window)
        seconds = 1.3 * MINUTE * BAD / LIMIT if window > BAD else 2 * 3600
        runner.run(world.live(seconds))
    assert len(world.times(RESULTS)) == GOOD
    assert world.times(RESULTS)[-1] < MINUTE / 2, "they waited 10 minutes"
    letters = world.times(LETTERS)
    assert all(later - earlier >= MINUTE - 1 for earlier, later in zip(letters, letters[LIMIT:], strict=False))
    values = [record.value or b"" for _, record in world.seen if record.coordinate.topic == LETTERS]
    assert sorted(values) == sorted(b"no picture %d" % number for number in range(BAD)), "each once, none lost"
    assert world.worker.health.notice == ""


def test_large_bad_jobs_take_no_longer_than_the_worker_says() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualTimeLoop)
        # What may wait in memory are 21 of these: 84 s at the limit, and a round takes 120 s.
        world = world_of(loop, mixed=False, padding=24 * 1024, max_inflight_bytes=2**20, max_jobs=1)
        runner.run(world.live(3600))
    assert len(world.times(LETTERS)) == BAD
    assert world.times(RESULTS)[-1] < MINUTE / 2
    ended = world.times(LETTERS)[-1]
    assert ended < 1.1 * (120 + MINUTE * BAD / LIMIT), "one idle round, and what the limit takes"
    assert all(abs(at + seconds - ended) < MINUTE for at, seconds in world.said if at > 10), "and it said so"
    assert len(world.broker.records(RETRIES[-1])) < BAD, "nobody went round time and again"


def test_where_all_fail_the_intake_stops_and_the_dead_letters_are_no_flood() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualTimeLoop)
        world = world_of(loop, mixed=False, waiting_dead_letters=100, partition_window=64)
        runner.run(world.live(2 * MINUTE))
    assert LIMIT <= len(world.times(LETTERS)) <= 3 * LIMIT
    assert world.source.delivered < 200
    assert world.times(RESULTS) == []
