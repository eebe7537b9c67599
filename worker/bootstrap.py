"""The composition root: settings and adapters become a worker, here and nowhere else."""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from worker import __version__
from worker.adapters.blob.store import UriStore
from worker.adapters.cache.memory import MemoryCache
from worker.adapters.cache.redis import RedisCache
from worker.adapters.clock import SystemClock
from worker.adapters.garbage import pass_over_lasting_objects
from worker.adapters.idle_thread import run_when_idle
from worker.adapters.isolation.child import attach, serve
from worker.adapters.isolation.isolation import ChildIsolation
from worker.adapters.isolation.memory import choose_first_when_memory_runs_out, limit_memory
from worker.adapters.kafka.admin import describe_topics
from worker.adapters.kafka.control_log import KafkaControlLog
from worker.adapters.kafka.permissions import KafkaAccess
from worker.adapters.kafka.sink import KafkaSink
from worker.adapters.kafka.source import KafkaSource
from worker.adapters.kafka.transactions import KafkaTransactions
from worker.adapters.kafka.validate import validate_options
from worker.adapters.telemetry.fanout import Fanout
from worker.adapters.telemetry.http import HealthServer
from worker.adapters.telemetry.logs import EventLog, configure
from worker.adapters.telemetry.metrics import Metrics
from worker.adapters.telemetry.standard_error import drain
from worker.adapters.telemetry.tracing import OpenTelemetryTracer, open_tracer
from worker.adapters.triton.client import TritonBackend
from worker.domain.errors import BrokerError, SettingsError
from worker.domain.records import Record
from worker.domain.redaction import WHOLE, Redaction
from worker.domain.result import LabelText
from worker.domain.retry import RetryPolicy
from worker.pipeline.extract.custom.fields_file import CustomFields, load_custom_fields
from worker.pipeline.extract.options import FieldOptions
from worker.pipeline.header.reading import read_header
from worker.pipeline.malloc import return_large_blocks
from worker.pipeline.models import ModelSet, check_device, with_line_widths
from worker.pipeline.options import ImageLimits, PipelineOptions, QualityOptions
from worker.pipeline.pipeline import Pipeline
from worker.ports import (
    UNTRACED,
    BlobStore,
    Clock,
    ClusterAccess,
    ControlLog,
    EventSink,
    InferenceAccess,
    InferenceBackend,
    Isolation,
    RecordSink,
    RecordSource,
    ResultCache,
    Tracer,
    TransactionalSink,
)
from worker.runtime.admission import Admission
from worker.runtime.budget import AttemptBudget
from worker.runtime.cores import usable_cores
from worker.runtime.dead_letter_limit import DeadLetterLimit, WaitingBounds
from worker.runtime.delivery import Delivery, Destination, IntakeControls, Observers, WorkerIdentity
from worker.runtime.fetch_memory import FetchMemory
from worker.runtime.health import Health
from worker.runtime.job_processor import JobProcessor
from worker.runtime.lifecycle import CONDITIONS, Lifecycle, ModelMonitor, TopicMonitor, TopicNeeds
from worker.runtime.loop import IntakeLimits, Loop, LoopTimes
from worker.runtime.model_client import ModelClient
from worker.runtime.ordering import KeyOrder
from worker.runtime.outbox import DirectOutbox, Outbox, TransactionalOutbox
from worker.runtime.outcome_health import OutcomeHealth
from worker.runtime.partitions import Partitions
from worker.runtime.reading_cache import ReadingCache
from worker.runtime.rollout.follower import ROLLOUT, RolloutFollower
from worker.runtime.rollout.router import ModelRouter
from worker.runtime.stored_reading import STORED_SCHEMA
from worker.runtime.triton_guard import TritonGuard
from worker.runtime.work_ahead import WorkAhead
from worker.settings import CacheSettings, Settings

_LOGGER = logging.getLogger("labelwire")

# Jobs of the small lane in flight for each core: enough to keep Triton busy while other jobs decode and crop.
_JOBS_PER_CORE = 4
_PULSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Ports:
    """The worker's ports.

    With `transactions`, outcomes are written through these and not through `sink`. Without `control` there are no
    rollouts.
    """

    source: RecordSource
    sink: RecordSink
    backend: InferenceBackend
    isolation: Isolation
    clock: Clock
    events: EventSink
    blobs: BlobStore
    transactions: TransactionalSink | None = None
    access: ClusterAccess | None = None
    control: ControlLog | None = None
    cache: ResultCache | None = None
    tracer: Tracer = UNTRACED
    inference_access: InferenceAccess | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that is built and not yet running."""

    lifecycle: Lifecycle
    health: Health
    guard: TritonGuard
    router: ModelRouter | None


def pipeline_options(settings: Settings) -> PipelineOptions:
    """Return the pipeline's options."""
    return PipelineOptions(**settings.pipeline.model_dump())


def field_options(settings: Settings, own: CustomFields | None = None) -> FieldOptions:
    """Return which fields are looked for; `own` are the deployment's, read from their file unless given.

    Raises SettingsError for a wrong file of fields or an unknown type.
    """
    chosen, own = settings.fields, own or own_fields(settings)
    known = sorted(own.types)
    if unknown := [name for name in chosen.types if name not in known]:
        raise SettingsError(
            f"LABELWIRE_FIELDS__TYPES names {', '.join(unknown)}, no type of field; there are {', '.join(known)}."
        )
    return FieldOptions(frozenset(chosen.types) or None, chosen.phone_region, own.patterns, own.catalog)


def redaction(settings: Settings) -> Redaction:
    """Return what results leave out.

    Raises SettingsError for a type of field that is not looked for, whose text would stay.
    """
    names = frozenset(settings.privacy.redact)
    if types := names - WHOLE:
        sought = set(settings.fields.types) or own_fields(settings).types
        if unknown := sorted(types - set(sought)):
            raise SettingsError(
                f"LABELWIRE_PRIVACY__REDACT names {', '.join(unknown)}, no type of field that is looked for; there are"
                f" {', '.join(sorted(sought))}, and for all texts {' and '.join(sorted(WHOLE))}."
            )
    return Redaction(names)


def own_fields(settings: Settings) -> CustomFields:
    """Return the fields that the deployment declares. Raises SettingsError for a wrong file."""
    return load_custom_fields(Path(settings.fields.file)) if settings.fields.file else CustomFields()


def quality_options(settings: Settings) -> QualityOptions:
    """Return how pictures that can hardly be read are handled."""
    return QualityOptions(settings.quality.mode, settings.quality.floor)


def image_limits(settings: Settings) -> ImageLimits:
    """Return how large a picture may be."""
    limits = settings.limits
    return ImageLimits(
        max_pixels=limits.max_image_pixels,
        max_decoded_bytes=limits.max_decoded_bytes,
        max_pages=limits.max_pages,
        pdf_dots_per_inch=limits.pdf_dots_per_inch,
    )


def threads(settings: Settings) -> int:
    """Return how many threads decode and crop pictures."""
    return settings.runtime.threads or usable_cores()


def build(
    settings: Settings,
    ports: Ports,
    executor: Executor,
    pipeline: type[Pipeline] = Pipeline,
    *,
    background: Executor | None = None,
) -> Worker:
    """Build a worker from settings and ports; only a simulation gives another `pipeline`.

    `background` does the image processing that may wait; `executor` does it if there is none.
    """
    limits, runtime = settings.limits, settings.runtime
    health = Health(CONDITIONS, ports.clock, ports.events, pulse_seconds=_PULSE_SECONDS)
    dead_letter_limit = _dead_letter_limit(settings, ports, health)
    outcome_health = OutcomeHealth(ports.clock, health)
    work = WorkAhead(threads(settings))
    guard = TritonGuard(ports.backend, settings.triton, ports.clock, ports.events, work=work)
    admission = _admission(settings, work)
    rollouts = _rollouts(settings, ports, health)
    models: ModelClient | ModelRouter
    if rollouts is None:
        models = make_model_client(settings, guard, executor, guard.working_time, pipeline, tracer=ports.tracer)
        router = None
    else:
        own = own_fields(settings)  # read once, so that models are compared and promoted with the same fields
        make_client = _ClientMaker(settings, guard, executor, background or executor, pipeline, own, ports.tracer)
        models = router = ModelRouter(make_client, rollouts, guard, ports.clock, ports.events, admission.has_room)
    budget = AttemptBudget(runtime.attempt_seconds)
    guard.on_pause(budget.set_paused)
    intake = IntakeLimits(records=2 * max_jobs(settings), held_bytes=limits.max_inflight_bytes)
    partitions = Partitions(limits.partition_window, intake.records)
    outbox = _outbox(ports, partitions)
    destination = Destination(
        *(settings.topics.results, settings.topics.dead_letters, settings.topics.retry_topics),
        redaction=redaction(settings),
        copies_payload=settings.privacy.dead_letter_payload == "copy",
    )
    readings = None
    if ports.cache is not None:
        readings = ReadingCache(ports.cache, settings.cache.max_entry_bytes, executor, ports.clock, ports.events)
    memory = fetch_memory(settings)
    processor = JobProcessor(models, executor, ports.clock, budget, ports.blobs, memory, readings, ports.tracer)
    topics = TopicMonitor(ports.sink, TopicNeeds.of(settings), destination, health, ports.clock, ports.access)
    intake_controls = IntakeControls(dead_letter_limit, outcome_health, topics)
    loop = Loop(
        source=ports.source,
        delivery=_delivery(settings, ports, processor, admission, outbox, intake_controls, destination),
        outbox=outbox,
        partitions=partitions,
        limits=intake,
        health=health,
        clock=ports.clock,
        event_sink=ports.events,
        times=LoopTimes(settings.kafka.commit_interval_seconds, runtime.drain_seconds),
        key_order=KeyOrder() if _in_key_order(settings) else None,
    )
    lifecycle = Lifecycle(
        loop=loop,
        topics=topics,
        models=ModelMonitor(guard, models, health, ports.inference_access),
        rollouts=rollouts,
        dead_letter_limit=dead_letter_limit,
        outcome_health=outcome_health,
        source=ports.source,
        health=health,
        clock=ports.clock,
        interval_seconds=runtime.readiness_interval_seconds,
    )
    guard.on_open(lifecycle.circuits_changed)
    return Worker(lifecycle, health, guard, router)


@dataclass(frozen=True, slots=True)
class _ClientMaker:
    """Makes clients for model sets: of those in use through the guard, of optional ones past its waiting."""

    settings: Settings
    guard: TritonGuard
    executor: Executor
    background: Executor
    pipeline: type[Pipeline]
    own: CustomFields
    tracer: Tracer

    def __call__(self, model_set: str, *, optional: bool = False, background: bool = False) -> ModelClient:
        backend = self.guard.optional_models() if optional else self.guard
        executor = self.background if background else self.executor
        settings = _with_model_set(self.settings, model_set)
        clock = self.guard.working_time
        return make_model_client(settings, backend, executor, clock, self.pipeline, self.own, tracer=self.tracer)


def _with_model_set(settings: Settings, model_set: str) -> Settings:
    return settings.model_copy(update={"triton": settings.triton.model_copy(update={"model_set": model_set})})


def _rollouts(settings: Settings, ports: Ports, health: Health) -> RolloutFollower | None:
    if ports.control is None:
        health.met(ROLLOUT)
        return None
    writer = secrets.token_hex(8)
    return RolloutFollower(
        ports.control, writer, ports.clock, ports.events, health, default_set=settings.triton.model_set
    )


def _admission(settings: Settings, work: WorkAhead) -> Admission:
    limits = settings.limits
    return Admission(
        work,
        max_jobs=max_jobs(settings),
        max_pixels=limits.max_inflight_pixels,
        large_from_pixels=limits.large_image_pixels,
        max_large_jobs=limits.max_large_jobs,
    )


def _dead_letter_limit(settings: Settings, ports: Ports, health: Health) -> DeadLetterLimit:
    limits = settings.limits
    bounds = WaitingBounds.of(
        limits.dead_letters_per_minute,
        held_bytes=limits.max_inflight_bytes,
        max_waiting=limits.waiting_dead_letters,
        postponement_seconds=settings.runtime.retry_delays_seconds[-1],
        postponement_topic="" if _in_key_order(settings) else settings.topics.retry_topics[-1],
    )
    return DeadLetterLimit(limits.dead_letters_per_minute, ports.clock, health, ports.events, bounds)


def fetch_memory(settings: Settings) -> FetchMemory:
    """Return the memory for fetched pictures: as many are fetched at once as may be read at once."""
    return FetchMemory(settings.blob.max_inflight_bytes, max_jobs(settings))


def max_jobs(settings: Settings) -> int:
    """Return how many small jobs a worker has under way."""
    return settings.limits.max_jobs or _JOBS_PER_CORE * threads(settings)


def _in_key_order(settings: Settings) -> bool:
    return settings.runtime.ordering == "key"


def _delivery(
    settings: Settings,
    ports: Ports,
    processor: JobProcessor,
    admission: Admission,
    outbox: Outbox,
    intake_controls: IntakeControls,
    destination: Destination,
) -> Delivery:
    runtime = settings.runtime
    return Delivery(
        processor=processor,
        isolation=ports.isolation,
        outbox=outbox,
        admission=admission,
        policy=RetryPolicy(
            runtime.retry_initial_seconds,
            runtime.retry_max_seconds,
            runtime.retry_delays_seconds,
            in_place=_in_key_order(settings),
        ),
        intake_controls=intake_controls,
        destination=destination,
        identity=WorkerIdentity(settings.kafka.group_id, __version__),
        clock=ports.clock,
        observers=Observers(ports.events, ports.tracer),
    )


def _outbox(ports: Ports, partitions: Partitions) -> Outbox:
    if ports.transactions is None:
        return DirectOutbox(ports.sink)
    return TransactionalOutbox(ports.transactions, partitions, ports.clock)


def make_model_client(
    settings: Settings,
    backend: InferenceBackend,
    executor: Executor,
    clock: Clock,
    pipeline: type[Pipeline] = Pipeline,
    own: CustomFields | None = None,
    *,
    tracer: Tracer = UNTRACED,
) -> ModelClient:
    """Return a client that reads pictures with the models that the backend serves.

    `own` are the deployment's fields, read from their file unless given. Raises SettingsError for a wrong file of
    fields or an unknown type.
    """
    own = own or own_fields(settings)  # read once, so that every pipeline looks for the fields that the identity names
    fields = field_options(settings, own)

    def make_pipeline(models: ModelSet) -> Pipeline:
        if settings.triton.device != "any":
            check_device(models, settings.triton.device)
        return pipeline(
            backend,
            with_line_widths(models, settings.pipeline.line_widths),
            executor,
            clock,
            pipeline_options(settings),
            fields,
            quality_options(settings),
            tracer,
        )

    identity = options_identity(settings, own.file_sha256)
    header = partial(read_header, limits=image_limits(settings))
    return ModelClient(backend, make_pipeline, header, identity, settings.triton.model_set)


def options_identity(settings: Settings, own_fields_sha256: str) -> str:
    """Name all but the models and the picture that decides how a picture reads, and the form in which that is kept."""
    return json.dumps(
        {
            "worker": __version__,
            "stored": STORED_SCHEMA,
            "pipeline": settings.pipeline.model_dump(mode="json"),
            "fields": settings.fields.model_dump(mode="json", exclude={"file"}) | {"file_sha256": own_fields_sha256},
            "quality": settings.quality.model_dump(mode="json"),
            "limits": asdict(image_limits(settings)),
        },
        sort_keys=True,
    )


def result_cache(settings: CacheSettings, clock: Clock) -> ResultCache | None:
    """Return where readings are kept, None where none are."""
    if settings.backend == "redis":
        return RedisCache(settings)
    if settings.backend == "memory":
        return MemoryCache(settings.max_bytes, settings.ttl_seconds, clock)
    return None


def triton_backend(settings: Settings) -> TritonBackend:
    """Return a client of the real Triton without a worker's guard and events."""
    return TritonBackend(settings.triton, Fanout(), SystemClock())


@contextlib.asynccontextmanager
async def open_model_client(settings: Settings, served: InferenceBackend | None = None) -> AsyncIterator[ModelClient]:
    """Give a client of Triton, or of `served`, for pictures that come from no topic; close its connections then."""
    clock = SystemClock()
    backend = served or triton_backend(settings)
    with _pixel_threads(threads(settings)) as executor:
        try:
            yield make_model_client(settings, backend, executor, clock)
        finally:
            await backend.close()


def check_blob_store(settings: Settings) -> None:
    """Raise SettingsError if an allowed prefix names a bucket that cannot be used here."""
    UriStore(settings.blob)


def check_cache(settings: Settings) -> None:
    """Raise SettingsError if the address of the cache of readings cannot be used; nothing is connected."""
    result_cache(settings.cache, SystemClock())


async def check_cluster(settings: Settings) -> None:
    """Raise BrokerError, with the worker's own message, if a worker could not work with Kafka."""
    needs, rollouts = TopicNeeds.of(settings), settings.topics.rollouts_topic
    # A worker without a topic of rollouts works, and one that may not write there until a rollout runs.
    obstacle = await KafkaAccess(settings.kafka).obstacle((*needs.reads, rollouts), (*needs.writes, rollouts))
    if obstacle:
        raise BrokerError(obstacle)
    client = settings.kafka
    missing = set(needs.all) - set(describe_topics(client.bootstrap_servers, needs.all, client.client_options()))
    if missing:
        raise BrokerError(
            f"Topic {', '.join(sorted(missing))} does not exist on the broker; create it with `labelwire topics apply`."
        )


def make_isolation(settings: Settings, clock: Clock, event_sink: EventSink) -> ChildIsolation:
    """Return what reads suspects in a child process, which takes its settings from the same environment."""
    command = (sys.executable, "-P", "-m", "worker.cli.isolated")
    return ChildIsolation(command, attempt_seconds=isolated_seconds(settings), clock=clock, event_sink=event_sink)


def isolated_seconds(settings: Settings) -> float:
    """Return the longest time that a child may take for a job: it fetches the job's picture, too."""
    attempt = AttemptBudget(settings.runtime.attempt_seconds).seconds_for(image_limits(settings).max_total_pixels)
    return attempt + (settings.blob.timeout_seconds if settings.blob.allowed_prefixes else 0.0)


async def run_isolated_reader(settings: Settings) -> None:
    """Run as that child: read the records that come on standard input, until it ends."""
    answers = attach()
    choose_first_when_memory_runs_out()
    configure(settings.log.level, settings.log.format)
    clock = SystemClock()
    backend = TritonBackend(settings.triton, Fanout(), clock)
    blobs = UriStore(settings.blob)
    with _pixel_threads(1) as executor:
        reader = _IsolatedReader(settings, backend, executor, clock, blobs)
        limit_memory(settings.limits.isolated_memory_bytes)
        await serve(reader.read, answers)


class _IsolatedReader:
    """Reads records with the models of the set that each is sent with."""

    def __init__(
        self, settings: Settings, backend: InferenceBackend, executor: Executor, clock: Clock, blobs: BlobStore
    ) -> None:
        self._settings = settings
        self._backend = backend
        self._executor = executor
        self._clock = clock
        self._blobs = blobs
        self._processors: dict[str, JobProcessor] = {}

    async def read(self, record: Record, attempt: int, model_set: str) -> LabelText:
        """Read the job of a record. Raises JobError."""
        return await self._processor(model_set).read(record, attempt)

    def _processor(self, model_set: str) -> JobProcessor:
        if model_set not in self._processors:
            settings = _with_model_set(self._settings, model_set)
            self._processors[model_set] = JobProcessor(
                make_model_client(settings, self._backend, self._executor, self._clock),
                self._executor,
                self._clock,
                AttemptBudget(settings.runtime.attempt_seconds),
                self._blobs,
                fetch_memory(settings),
            )
        return self._processors[model_set]


async def run(settings: Settings) -> None:
    """Run a worker on the real Kafka and Triton until SIGTERM, SIGINT or SIGHUP; a second signal ends it at once.

    A SIGHUP that is ignored when the process starts (nohup) stays ignored.
    """
    validate_options(settings.kafka)
    configure(settings.log.level, settings.log.format)
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        asyncio.get_running_loop().add_signal_handler(number, _stop, stopping)
    traces = open_tracer(settings.tracing, settings.kafka.group_id)
    sinks: list[EventSink] = [Metrics(registry), EventLog()]
    if traces is not None:
        sinks.append(traces)
    async with _closing(traces), _ports(settings, Fanout(*sinks), traces or UNTRACED) as ports:
        with _pixel_threads(threads(settings)) as executor, _idle_thread() as background:
            worker = build(settings, ports, executor, background=background)
            server = HealthServer(settings.http.host, settings.http.port, worker.health, registry)
            _LOGGER.info("serving /livez, /readyz and /metrics on port %d", server.start())
            pass_over_lasting_objects()
            try:
                await worker.lifecycle.run(stopping)
            finally:
                server.close()
                if worker.router is not None:
                    await worker.router.close()
                await worker.guard.close()


def _stop(stopping: asyncio.Event) -> None:
    if stopping.is_set():
        drain()
        os._exit(1)
    stopping.set()


@contextlib.asynccontextmanager
async def _ports(settings: Settings, event_sink: EventSink, tracer: Tracer) -> AsyncIterator[Ports]:
    clock = SystemClock()
    backend = TritonBackend(settings.triton, event_sink, clock, tracer=tracer)
    isolation = make_isolation(settings, clock, event_sink)
    sink = KafkaSink(settings.kafka)
    topics, runtime = settings.topics, settings.runtime
    source = KafkaSource(
        settings.kafka,
        # Retry topics also with ordered keys, which retry in place: an earlier setting may have left records there.
        [topics.jobs, *topics.retry_topics, topics.replay_topic],
        delayed_topics=topics.retry_topics,
        # Jitter makes a delay a little longer than its setting.
        max_delay_seconds=2 * max(runtime.retry_delays_seconds),
        drain_seconds=runtime.drain_seconds,
        clock=clock,
        event_sink=event_sink,
        tells_membership=runtime.delivery == "exactly-once",  # its transactions are all that asks for it
    )
    blobs, transactions = UriStore(settings.blob), None
    control = KafkaControlLog(settings.kafka, topics.rollouts_topic, sink, clock)
    cache = result_cache(settings.cache, clock)
    if runtime.delivery == "exactly-once":
        transactions = KafkaTransactions(settings.kafka, lambda: source.group_metadata)
    try:
        access = KafkaAccess(settings.kafka, lambda: source.is_group_denied)
        yield Ports(
            *(source, sink, backend, isolation, clock, event_sink, blobs, transactions, access, control, cache, tracer),
            inference_access=backend,
        )
    finally:
        await control.close()
        if cache is not None:
            await cache.close()
        if transactions is not None:
            await transactions.close()
        await isolation.close()
        await blobs.close()
        await sink.close()
        await backend.close()


@contextlib.asynccontextmanager
async def _closing(traces: OpenTelemetryTracer | None) -> AsyncIterator[None]:
    """Send the last traces when all else is closed."""
    try:
        yield
    finally:
        if traces is not None:
            await asyncio.to_thread(traces.close)


@contextlib.contextmanager
def _idle_thread() -> Iterator[Executor]:
    """Give one thread that the kernel runs when no other one of this machine wants the core."""
    executor = ThreadPoolExecutor(1, "background", initializer=run_when_idle)
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _pixel_threads(count: int) -> Iterator[Executor]:
    return_large_blocks()
    # OpenCV's own threads would compete with these for the same cores.
    cv2.setNumThreads(1)
    executor = ThreadPoolExecutor(count, thread_name_prefix="pixels")
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
