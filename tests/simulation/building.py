"""A real worker on the doors of the simulated world, put together by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tests.simulation.jobs import LARGE_FROM_PIXELS, MAX_IMAGE_PIXELS, TOPICS, is_poison
from tests.simulation.judge import Judge
from tests.simulation.ports import (
    SimulatedBackend,
    SimulatedEvents,
    SimulatedExecutor,
    SimulatedSink,
    SimulatedTransactions,
    Weather,
)
from tests.simulation.scenario import Tuning
from tests.simulation.source import SimulatedSource
from tests.simulation.trace import Trace
from tests.simulation.virtual_time import VirtualClock, VirtualTimeLoop
from worker.bootstrap import Ports, Worker, build, fetch_memory, make_model_client
from worker.domain.image import ImageHeader, PageText, Pixels, TextLine
from worker.pipeline.decode.whole import decode
from worker.pipeline.inference import PageRequests
from worker.pipeline.pipeline import PictureReading, Pipeline
from worker.pipeline.recognize.ctc import decode_ctc
from worker.pipeline.stages import Stages
from worker.runtime.budget import AttemptBudget
from worker.runtime.job_processor import JobProcessor
from worker.settings import KafkaSettings, LimitSettings, RuntimeSettings, Settings
from worker.testing.backend import FakeBackend
from worker.testing.blob import MemoryBlobStore
from worker.testing.broker import MemoryBroker
from worker.testing.isolation import FakeIsolation
from worker.testing.sink import MemorySink
from worker.testing.transactions import MemoryTransactions


@dataclass(frozen=True, slots=True)
class Doors:
    """The world as one worker sees it; `crash` is what a picture does that ends its reader."""

    name: str
    loop: VirtualTimeLoop
    broker: MemoryBroker
    triton: FakeBackend
    weather: Weather
    tuning: Tuning
    judge: Judge
    trace: Trace
    settings: Settings
    crash: Callable[[], None]


def settings_of(tuning: Tuning) -> Settings:
    """Return the worker's settings; budgets may be smaller than a deployment could set them."""
    limits = LimitSettings(
        max_jobs=tuning.max_jobs,
        max_image_pixels=MAX_IMAGE_PIXELS,
        large_image_pixels=LARGE_FROM_PIXELS,
        partition_window=tuning.partition_window,
        dead_letters_per_minute=tuning.dead_letters_per_minute,
    )
    return Settings.model_construct(
        kafka=KafkaSettings(commit_interval_seconds=tuning.commit_interval_seconds),
        topics=TOPICS,
        limits=limits.model_copy(update={"max_inflight_pixels": tuning.max_inflight_pixels}),
        runtime=RuntimeSettings(
            delivery="exactly-once" if tuning.exactly_once else "at-least-once",
            ordering="key" if tuning.key_order else "unordered",
            attempt_seconds=tuning.attempt_seconds,
            retry_initial_seconds=tuning.retry_initial_seconds,
            retry_max_seconds=tuning.retry_max_seconds,
            retry_delays_seconds=tuning.retry_delays_seconds,
            drain_seconds=tuning.drain_seconds,
            readiness_interval_seconds=tuning.readiness_interval_seconds,
        ),
    )


def build_worker(doors: Doors, source: SimulatedSource) -> Worker:
    """Return a worker that is built and not yet running."""
    settings, tuning = doors.settings, doors.tuning
    clock = VirtualClock(doors.loop)
    memory = MemorySink(doors.broker)
    memory.shows_limits = tuning.limits_told
    executor = SimulatedExecutor(doors.name, doors.loop, doors.weather, doors.judge, doors.crash)
    backend = SimulatedBackend(doors.name, doors.triton, doors.weather, doors.trace)

    pipeline = Pipeline if tuning.whole_pipeline else ShortPipeline
    apart = SimulatedExecutor(doors.name, doors.loop, doors.weather, doors.judge, None)
    reader = make_model_client(settings, backend, apart, clock, pipeline)
    blobs = MemoryBlobStore()
    reading = JobProcessor(reader, apart, clock, AttemptBudget(tuning.attempt_seconds), blobs, fetch_memory(settings))
    transactions = MemoryTransactions(doors.broker, source) if tuning.exactly_once else None
    ports = Ports(
        source=source,
        sink=SimulatedSink(doors.name, memory, doors.weather, doors.judge, doors.trace),
        backend=backend,
        isolation=FakeIsolation(reading.read, deadly=is_poison),
        clock=clock,
        events=SimulatedEvents(doors.name, doors.judge, doors.trace),
        blobs=blobs,
        transactions=transactions
        and SimulatedTransactions(doors.name, transactions, source.generation, doors.weather, doors.judge, doors.trace),
    )
    return build(settings, ports, executor, pipeline)


class ShortPipeline(Pipeline):
    """Reads a picture that is one line in the block font, with the requests of the whole pipeline and little else."""

    async def process(
        self, picture: bytes, header: ImageHeader, *, timeout_seconds: float, request_id: str = ""
    ) -> PictureReading:
        """Read the line. Raises JobError."""
        requests = PageRequests(self._backend, self._clock, timeout_seconds=timeout_seconds, request_id=request_id)
        pixels = await Stages(self._executor, self._clock).on_cpu(_pixels, picture, header)
        found = await requests.infer(self._models.detector, {"image": pixels[np.newaxis]}, ["probability"])
        lines = await self._line(pixels, requests) if found["probability"].any() else ()
        return PictureReading((PageText(*header.pages[0].upright_size, lines),), {})

    async def _line(self, pixels: Pixels, requests: PageRequests) -> tuple[TextLine, ...]:
        height, width = pixels.shape[:2]
        side = await requests.infer(self._models.orientation, {"line": pixels[np.newaxis]}, ["upside_down"])
        inputs = {"line": pixels[np.newaxis], "upside_down": side["upside_down"]}
        read = await requests.infer(self._models.recognizers[width], inputs, ["token", "confidence"])
        tokens, confidences = np.asarray(read["token"], np.int32), np.asarray(read["confidence"], np.float32)
        (line,) = decode_ctc(tokens, confidences, self._models.dictionary)
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
        return (TextLine(line.text, line.confidence, corners, 0.0),)


@lru_cache(maxsize=2000)
def _pixels(picture: bytes, header: ImageHeader) -> Pixels:
    return decode(picture, header).pixels
