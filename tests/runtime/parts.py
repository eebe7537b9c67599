"""A worker's parts over memory, put together as the composition root does it, with what a test wants to change."""

import json
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

from worker.domain.offsets import OffsetTracker
from worker.domain.records import CONTENT_TYPE_HEADER, Coordinate, Headers, Record
from worker.domain.retry import RetryPolicy
from worker.domain.uri import AllowedPrefixes
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import ModelSet
from worker.pipeline.options import ImageLimits
from worker.pipeline.pipeline import Pipeline
from worker.ports import UNTRACED, Clock, InferenceBackend, ResultCache, Tracer
from worker.runtime.admission import Admission
from worker.runtime.budget import AttemptBudget
from worker.runtime.dead_letter_limit import DEAD_LETTERS, DeadLetterLimit, WaitingBounds
from worker.runtime.delivery import Delivery, Destination, IntakeControls, Observers, WorkerIdentity
from worker.runtime.fetch_memory import FetchMemory
from worker.runtime.health import Health
from worker.runtime.job import InflightJob
from worker.runtime.job_processor import JobProcessor
from worker.runtime.lifecycle import TOPICS, TopicMonitor, TopicNeeds
from worker.runtime.model_client import ModelClient
from worker.runtime.outbox import DirectOutbox
from worker.runtime.outcome_health import OUTCOMES, OutcomeHealth
from worker.runtime.reading_cache import ReadingCache
from worker.runtime.work_ahead import WorkAhead
from worker.testing.backend import FakeBackend
from worker.testing.blob import MemoryBlobStore
from worker.testing.block_font import BlockLine, draw_blocks, encode_png
from worker.testing.broker import MemoryBroker
from worker.testing.clock import ManualClock
from worker.testing.events import RecordedEvents
from worker.testing.isolation import FakeIsolation
from worker.testing.sink import MemorySink

JOBS, RESULTS, LETTERS = "label-images", "label-text", "label-images.dlq"
RETRIES = ("label-images.retry.1", "label-images.retry.2", "label-images.retry.3")
DELAYS_SECONDS = (5.0, 60.0, 600.0)
LIMITS = ImageLimits(max_pixels=1_000_000)
FOLDER = "s3://labels/in/"
URI = f"{FOLDER}a.png"
PNG = (CONTENT_TYPE_HEADER, b"image/png")
PICTURE = encode_png(draw_blocks([BlockLine("HELLO", 30, 40)], width=240, height=120))
BLANK = encode_png(draw_blocks([], width=64, height=64))


def record(value: bytes | None = PICTURE, *headers: tuple[str, bytes], offset: int = 0, key: bytes = b"key") -> Record:
    """Return a job's record; it is a PNG unless headers say otherwise."""
    given: Headers = headers or (PNG,)
    return Record(Coordinate(JOBS, 0, offset), key, value, given, 1_699_999_999_000)


def by_uri(uri: str = URI, *, offset: int = 0, **more: object) -> Record:
    """Return a job's record that names its picture."""
    document = {"job_id": f"job {offset}", "image_uri": uri, **more}
    return record(json.dumps(document).encode(), (CONTENT_TYPE_HEADER, b"application/json"), offset=offset)


def in_hand(record: Record, *, suspect: bool = False) -> InflightJob:
    """Return the record as a loop hands it to a delivery."""
    tracker = OffsetTracker()
    tracker.deliver(record.coordinate.offset)
    return InflightJob(record, tracker, suspect=suspect)


def memory_broker(max_message_bytes: int | None = 1_000_000) -> MemoryBroker:
    """Return a broker with the topics."""
    broker = MemoryBroker()
    for topic in (JOBS, RESULTS, LETTERS, *RETRIES):
        broker.create_topic(topic, 2 if topic == JOBS else 1, max_message_bytes)
    return broker


@dataclass(slots=True)
class Parts:
    """What a delivery is made of."""

    executor: Executor
    broker: MemoryBroker = field(default_factory=memory_broker)
    clock: ManualClock = field(default_factory=ManualClock)
    backend: FakeBackend = field(default_factory=FakeBackend)
    events: RecordedEvents = field(default_factory=RecordedEvents)
    blobs: MemoryBlobStore = field(default_factory=lambda: MemoryBlobStore(AllowedPrefixes.of([FOLDER])))
    room: FetchMemory = field(default_factory=lambda: FetchMemory(1_000_000, 4))
    destination: Destination = field(default_factory=lambda: Destination(RESULTS, LETTERS, RETRIES, "memory"))
    policy: RetryPolicy = field(default_factory=lambda: RetryPolicy(0.5, 30, DELAYS_SECONDS))
    dead_letters_per_minute: int = 0
    waiting_bounds: WaitingBounds = field(default_factory=WaitingBounds)
    attempt_seconds: float = 5.0
    min_result_bytes: int = 0
    readings: ReadingCache | None = None
    tracer: Tracer = UNTRACED
    isolation: FakeIsolation = field(init=False)
    health: Health = field(init=False)
    topics: TopicMonitor = field(init=False)
    budget: AttemptBudget = field(init=False)
    sink: MemorySink = field(init=False)
    reader: ModelClient = field(init=False)
    admission: Admission = field(init=False)

    def __post_init__(self) -> None:
        self.sink = MemorySink(self.broker)
        self.budget = AttemptBudget(self.attempt_seconds)
        self.isolation = FakeIsolation(lambda record, attempt: self.reading().read(record, attempt))
        self.health = Health((DEAD_LETTERS, OUTCOMES, TOPICS), self.clock, self.events, pulse_seconds=60)
        needs = TopicNeeds(JOBS, RESULTS, LETTERS, self.min_result_bytes, returning=RETRIES, retries=RETRIES)
        self.topics = TopicMonitor(self.sink, needs, self.destination, self.health, self.clock)
        self.health.met(TOPICS)  # as after the look at the start
        self.reader = ModelClient(self.backend, self.pipeline_maker(), lambda picture: read_header(picture, LIMITS))
        self.admission = Admission(
            WorkAhead(2), max_jobs=4, max_pixels=10**6, large_from_pixels=500_000, max_large_jobs=1
        )

    def pipeline_maker(self, backend: InferenceBackend | None = None) -> Callable[[ModelSet], Pipeline]:
        return partial(_pipeline, backend or self.backend, self.executor, self.clock, self.tracer)

    def reading(self) -> JobProcessor:
        memory, readings = self.room, self.readings
        return JobProcessor(
            self.reader, self.executor, self.clock, self.budget, self.blobs, memory, readings, self.tracer
        )

    async def keep_readings(self, cache: ResultCache, clock: Clock | None = None) -> None:
        """Let readings be kept in a cache, all of them made with the same options and the models of now."""
        self.readings = ReadingCache(cache, 65_536, self.executor, clock or self.clock, self.events)
        self.reader = ModelClient(
            self.backend, self.pipeline_maker(), lambda picture: read_header(picture, LIMITS), "options"
        )
        await self.reader.refresh()

    def delivery(self) -> Delivery:
        return Delivery(
            processor=self.reading(),
            isolation=self.isolation,
            outbox=DirectOutbox(self.sink),
            admission=self.admission,
            policy=self.policy,
            intake_controls=IntakeControls(
                DeadLetterLimit(
                    self.dead_letters_per_minute, self.clock, self.health, self.events, self.waiting_bounds
                ),
                OutcomeHealth(self.clock, self.health),
                self.topics,
            ),
            destination=self.destination,
            identity=WorkerIdentity("group", "1.2.3"),
            clock=self.clock,
            observers=Observers(self.events, self.tracer),
        )

    async def deliver(self, record: Record, *, suspect: bool = False) -> InflightJob:
        job = in_hand(record, suspect=suspect)
        await self.delivery().deliver(job)
        return job

    def results(self) -> list[Record]:
        return self.broker.records(RESULTS)

    def letters(self) -> list[Record]:
        return self.broker.records(LETTERS)

    def letter(self) -> dict[str, str]:
        """Return the own headers of the one dead letter."""
        (only,) = self.letters()
        own = [(name, value) for name, value in only.headers if name.startswith("labelwire.dlq.")]
        assert len(dict(own)) == len(own)
        return {name.removeprefix("labelwire.dlq."): (value or b"").decode() for name, value in own}


def _pipeline(
    backend: InferenceBackend, executor: Executor, clock: ManualClock, tracer: Tracer, models: ModelSet
) -> Pipeline:
    return Pipeline(backend, models, executor, clock, tracer=tracer)
