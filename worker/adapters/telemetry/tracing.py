"""Traces of sampled jobs by OpenTelemetry, after its conventions for messaging (v1.27 and later).

Each job is a trace of its own, linked with its producer's: a topic stands between them, for seconds or for days, and a
job may come again. Jobs whose producer's trace is sampled are sampled, and a share of the others.

Invariants: no job waits for the receiver of traces; what does not fit into a bounded queue is left out. No text of a
label, no key and no value of a record gets into a span.
"""

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import singledispatchmethod
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers
from opentelemetry.util.types import Attributes, AttributeValue

from worker import __version__
from worker.domain import events
from worker.domain.errors import JobError, SettingsError, Stage
from worker.domain.headers import ATTEMPT_TRACE_PARENT, TRACE_PARENT, TRACE_STATE
from worker.domain.records import Record
from worker.ports import InferenceRequest
from worker.settings import TracingSettings

# A huge picture has a thousand spans. They are sent within a second or two. Until then a job's take 3 KiB each, 9 KiB
# with the longest trace state, and a poll with all its links takes 25 KiB.
_MAX_QUEUED_SPANS: Final = 8192
_EXPORT_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 3.0
_NANOSECONDS: Final = 1_000_000_000
# A batch may bring hundreds of records, and a span should stay small.
_MAX_POLL_LINKS: Final = 32
_MAX_HEADER_CHARACTERS: Final = 512
_W3C: Final = TraceContextTextMapPropagator()
_HEADER_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_HEADER_TEXT: Final = re.compile(r"[\x20-\x7e]+")
# It logs whole headers that it cannot read, and they hold credentials; `_check_headers` names them instead.
logging.getLogger("opentelemetry.util.re").disabled = True


class OpenTelemetryTracer:
    """A `Tracer`, and an `EventSink`: what happens within a span becomes an attribute or an event of it."""

    def __init__(self, exporter: SpanExporter, group_id: str, sample_ratio: float) -> None:
        self._exporter = exporter
        self._group_id = group_id
        # The SDK would let what is given here win over the variable.
        name = os.environ.get("OTEL_SERVICE_NAME") or "labelwire-worker"
        host = socket.gethostname()  # on Kubernetes the pod's name
        resource = Resource.create({"service.name": name, "service.version": __version__, "service.instance.id": host})
        self._provider = TracerProvider(
            sampler=ParentBased(_LinkedOrShare(sample_ratio)), resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=_MAX_QUEUED_SPANS, export_timeout_millis=_EXPORT_SECONDS * 1000)
        )
        self._tracer = self._provider.get_tracer("labelwire", __version__)

    def close(self) -> None:
        """Send what is still here, within a bounded time, and stop."""
        # The SDK would wait for 30 seconds, longer than a worker has to end.
        ending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(_CLOSE_SECONDS)
        if ending.is_alive():
            self._exporter.shutdown()  # it waits for a receiver that is away, and would try again and again
            ending.join(_CLOSE_SECONDS)

    # The tracer.

    @contextmanager
    def process(self, record: Record) -> Iterator[None]:
        """Follow a record in a trace of its own."""
        topic, partition, offset = record.coordinate
        attributes: Attributes = {
            **_messaging("process", "process", topic),
            "messaging.destination.partition.id": str(partition),
            "messaging.consumer.group.name": self._group_id,
            "messaging.kafka.offset": offset,
            "messaging.message.body.size": len(record.value or b""),
        }
        links = _links(record)
        with self._span(f"process {topic}", SpanKind.CONSUMER, attributes, parent=Context(), links=links):
            yield

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Follow a stage of a sampled job."""
        if not _is_sampled():
            yield
            return
        with self._span(stage.value, SpanKind.INTERNAL, {}):
            yield

    @contextmanager
    def infer(self, request: InferenceRequest) -> Iterator[Mapping[str, str]]:
        """Follow a request, which Triton continues if it traces by OpenTelemetry."""
        headers: dict[str, str] = {}
        if not _is_sampled():  # or no job's, as a question that tries a circuit
            yield headers
            return
        attributes: Attributes = {
            "rpc.system": "grpc",
            "rpc.service": "inference.GRPCInferenceService",
            "rpc.method": "ModelInfer",
            "triton.request_id": request.request_id,
            "labelwire.model": request.model,
            "labelwire.batch.size": len(next(iter(request.inputs.values()))),
        }
        with self._span(f"infer {request.model}", SpanKind.CLIENT, attributes):
            _W3C.inject(headers)
            yield headers

    @contextmanager
    def send(self, topic: str) -> Iterator[str]:
        """Follow a record of a sampled job until it is acknowledged."""
        if not _is_sampled():
            yield ""
            return
        with self._span(f"send {topic}", SpanKind.PRODUCER, _messaging("send", "send", topic)):
            headers: dict[str, str] = {}
            _W3C.inject(headers)
            yield headers[TRACE_PARENT]

    @contextmanager
    def _span(
        self,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        *,
        parent: Context | None = None,
        links: Sequence[Link] = (),
    ) -> Iterator[Span]:
        # OpenTelemetry's own record of an exception holds its whole text, whoever's it is.
        with self._tracer.start_as_current_span(
            name, parent, kind, attributes, links, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except Exception as error:
                _fail(span, str(error.code) if isinstance(error, JobError) else type(error).__name__)
                raise

    # The event sink.

    def emit(self, event: events.Event) -> None:
        """Note an event at the span that it happened in; never raises and never blocks."""
        if isinstance(event, events.RecordsPolled):  # of no job's
            self._note_poll(event)
            return
        span = trace.get_current_span()
        if span.is_recording():
            self._note(event, span)

    @singledispatchmethod
    def _note(self, event: object, span: Span) -> None:
        """Note one event; those without a method below say nothing of one job."""

    def _note_poll(self, event: events.RecordsPolled) -> None:
        """Note a poll, linked with the producers of what it brought, unless none of these is sampled."""
        links = [link for link in (_link(producer) for producer in event.producers) if link is not None]
        sampled = [link for link in links if link.context.trace_flags.sampled]
        if not sampled:
            return
        attributes: Attributes = {
            **_messaging("poll", "receive", event.topic),
            "messaging.consumer.group.name": self._group_id,
            "messaging.batch.message_count": event.count,
        }
        now = time.time_ns()
        begun = now - round(event.duration_seconds * _NANOSECONDS)
        span = self._tracer.start_span(
            f"poll {event.topic}", Context(), SpanKind.CLIENT, attributes, sampled[:_MAX_POLL_LINKS], begun
        )
        span.end(now)

    @_note.register
    def _job_finished(self, event: events.JobFinished, span: Span) -> None:
        span.set_attributes(
            {
                "labelwire.job.id": event.job_id,
                "labelwire.job.outcome": event.outcome,
                "labelwire.job.attempt": event.attempt,
                "labelwire.job.lane": event.lane,
                "labelwire.lines": len(event.confidences),
            }
        )
        if event.age_seconds is not None:
            span.set_attribute("labelwire.job.age_seconds", event.age_seconds)
        if event.error_code is not None:
            _fail(span, str(event.error_code))

    @_note.register
    def _job_retried(self, event: events.JobRetried, span: Span) -> None:
        attributes: dict[str, AttributeValue] = {
            "error.type": str(event.error_code),
            "labelwire.job.attempt": event.attempt,
            "labelwire.delay_seconds": event.delay_seconds,
        }
        span.add_event("job tried again", attributes)

    @_note.register
    def _inference_finished(self, event: events.InferenceFinished, span: Span) -> None:
        span.set_attribute("rpc.response.status_code", event.grpc_code)
        if event.version:
            span.set_attribute("labelwire.model.version", event.version)

    @_note.register
    def _inference_retried(self, event: events.InferenceRetried, span: Span) -> None:
        span.add_event("inference retried", {"labelwire.model": event.model, "labelwire.reason": event.reason})

    @_note.register
    def _reader_crashed(self, event: events.ReaderCrashed, span: Span) -> None:
        span.add_event("reader crashed", {"labelwire.how": event.how, "labelwire.count": event.count})


class _LinkedOrShare(Sampler):
    """Samples a root that is linked with a sampled span, and a share of the others by their trace's id."""

    def __init__(self, share: float) -> None:
        self._share = TraceIdRatioBased(share)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: trace.TraceState | None = None,
    ) -> SamplingResult:
        """Decide for a root."""
        if any(link.context.trace_flags.sampled for link in links or ()):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return self._share.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Say what it does."""
        return f"links, or {self._share.get_description()}"


def open_tracer(settings: TracingSettings, group_id: str) -> OpenTelemetryTracer | None:
    """Return a tracer that sends to the settings' receiver, None where they name none.

    Headers and certificates for the receiver come from OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_HEADERS, ...).
    Raises SettingsError for one of them that cannot be used.
    """
    if settings.endpoint is None:
        return None
    _check_headers()
    try:
        exporter = OTLPSpanExporter(f"{settings.endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
        return OpenTelemetryTracer(exporter, group_id, settings.sample_ratio)
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise SettingsError(
            f"OpenTelemetry refuses a variable of its own, such as OTEL_BSP_… ({reason}): correct it, or unset"
            " LABELWIRE_TRACING__ENDPOINT."
        ) from error


def _check_headers() -> None:
    """Raise SettingsError, which repeats no value, for a header that could not be sent as it stands."""
    for variable in _HEADER_VARIABLES:
        given = [header for header in os.environ.get(variable, "").split(",") if header.strip()]
        for number, header in enumerate(given, 1):
            values = parse_env_headers(header, liberal=True).values()
            if not values or not all(map(_HEADER_TEXT.fullmatch, values)):
                raise SettingsError(
                    f"{variable}: header {number} of {len(given)} cannot be sent; give name=value, several with commas"
                    " between them, other than letters and digits percent-encoded."
                )


def trace_ids() -> dict[str, str]:
    """Return the ids of the current trace and span for a log line; empty outside of a sampled job."""
    if not _is_sampled():
        return {}
    found = trace.get_current_span().get_span_context()
    return {"trace_id": trace.format_trace_id(found.trace_id), "span_id": trace.format_span_id(found.span_id)}


def _links(record: Record) -> list[Link]:
    """Return links with the record's producer and with the attempt before this one, as far as its headers name them."""
    producer = _link(record.header(TRACE_PARENT), record.header(TRACE_STATE))
    attempt = _link(record.header(ATTEMPT_TRACE_PARENT))
    return [link for link in (producer, attempt) if link is not None]


def _link(trace_parent: str | None, trace_state: str | None = None) -> Link | None:
    """Return a link with what headers name; None where they name nothing. They may hold anything."""
    headers = {TRACE_PARENT: trace_parent or "", TRACE_STATE: trace_state or ""}
    short = {name: value for name, value in headers.items() if 0 < len(value) <= _MAX_HEADER_CHARACTERS}
    context = trace.get_current_span(_W3C.extract(short, Context())).get_span_context()
    return Link(context) if context.is_valid else None


def _is_sampled() -> bool:
    return trace.get_current_span().get_span_context().trace_flags.sampled


def _messaging(name: str, operation_type: str, topic: str) -> dict[str, AttributeValue]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": name,
        "messaging.operation.type": operation_type,
        "messaging.destination.name": topic,
    }


def _fail(span: Span, error_type: str) -> None:
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))
