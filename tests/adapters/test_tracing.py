"""Spans as OpenTelemetry's own exporter gets them."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from worker.adapters.telemetry.tracing import OpenTelemetryTracer, open_tracer, trace_ids
from worker.domain.errors import ErrorCode, JobError, SettingsError, Stage
from worker.domain.events import InferenceFinished, InferenceRetried, JobFinished, JobOutcome, RecordsPolled
from worker.domain.records import Coordinate, Record
from worker.local.process import free_ports
from worker.ports import UNTRACED, InferenceRequest, Tracer
from worker.settings import TracingSettings

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
REQUEST = InferenceRequest("text_detector", {"image": np.zeros((3, 8, 8, 3), np.uint8)}, ["probability"], "1", "job-7")


class Traced:
    """A tracer, and the spans that it has sent."""

    def __init__(self, share: float = 0.0) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer = OpenTelemetryTracer(self._exporter, "labels", share)

    def spans(self) -> dict[str, ReadableSpan]:
        """Send all that is ended, and return it by its name."""
        self.tracer.close()
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    yield traced
    traced.tracer.close()


def job(*headers: tuple[str, bytes | None]) -> Record:
    return Record(Coordinate("label-images", 3, 17), b"secret key", b"secret picture", headers, 1)


def follow(tracer: Tracer, record: Record) -> tuple[dict[str, str], str]:
    """Bring a record the whole way, and return what went to Triton and into the result."""
    with tracer.process(record):
        with tracer.stage(Stage.DETECT), tracer.infer(REQUEST) as headers:
            sent = dict(headers)
        with tracer.send("label-text") as trace_parent:
            return sent, trace_parent


def test_a_job_is_a_trace_of_its_own_and_linked_with_its_producer(traced: Traced) -> None:
    follow(traced.tracer, job(("traceparent", SAMPLED.encode()), ("tracestate", b"vendor=1")))
    process = traced.spans()["process label-images"]
    assert process.parent is None
    assert process.kind is SpanKind.CONSUMER
    assert process.context.trace_id != int(TRACE, 16)
    assert [(link.context.trace_id, link.context.span_id) for link in process.links] == [
        (int(TRACE, 16), int(SPAN, 16))
    ]
    assert process.links[0].context.trace_state.get("vendor") == "1"
    assert process.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "label-images",
        "messaging.destination.partition.id": "3",
        "messaging.consumer.group.name": "labels",
        "messaging.kafka.offset": 17,
        "messaging.message.body.size": len(b"secret picture"),
    }


def test_all_of_a_job_belongs_to_it(traced: Traced) -> None:
    to_triton, trace_parent = follow(traced.tracer, job(("traceparent", SAMPLED.encode())))
    spans = traced.spans()
    process, detect = spans["process label-images"].context, spans["detect"].context
    parents = {name: span.parent.span_id for name, span in spans.items() if span.parent is not None}
    assert parents == {
        "detect": process.span_id,
        "infer text_detector": detect.span_id,
        "send label-text": process.span_id,
    }
    infer, send, flags = spans["infer text_detector"], spans["send label-text"], f"{process.trace_flags:02x}"
    assert process.trace_flags.sampled
    assert to_triton == {"traceparent": f"00-{process.trace_id:032x}-{infer.context.span_id:016x}-{flags}"}
    assert trace_parent == f"00-{process.trace_id:032x}-{send.context.span_id:016x}-{flags}"
    assert (infer.kind, send.kind) == (SpanKind.CLIENT, SpanKind.PRODUCER)
    assert infer.attributes is not None
    assert infer.attributes["triton.request_id"] == "job-7"
    assert infer.attributes["labelwire.batch.size"] == 3


@pytest.mark.parametrize("headers", [(), (("traceparent", UNSAMPLED.encode()),)], ids=["no producer", "unsampled"])
def test_a_job_that_nobody_sampled_leaves_no_trace(
    traced: Traced, headers: tuple[tuple[str, bytes | None], ...]
) -> None:
    producers = tuple((value or b"").decode() for _, value in headers)
    traced.tracer.emit(RecordsPolled("label-images", 1, producers, 0.1))
    assert follow(traced.tracer, job(*headers)) == ({}, "")
    assert traced.spans() == {}


def test_a_share_of_the_jobs_is_traced_without_a_producer() -> None:
    traced = Traced(share=1.0)
    follow(traced.tracer, job())
    assert traced.spans()["process label-images"].links == ()


@pytest.mark.parametrize(
    "value",
    [b"", None, b"00-zz-zz-01", b"\xff\xfe", f"00-{'0' * 32}-{SPAN}-01".encode(), SAMPLED.encode() + b"-" * 1_000_000],
    ids=["empty", "null", "no hexadecimals", "no text", "no trace", "huge"],
)
def test_what_is_no_trace_context_is_ignored(traced: Traced, value: bytes | None) -> None:
    assert follow(traced.tracer, job(("traceparent", value))) == ({}, "")


def test_a_further_attempt_is_linked_with_the_one_before(traced: Traced) -> None:
    before = f"00-{'1' * 32}-{'2' * 16}-01"
    follow(traced.tracer, job(("traceparent", UNSAMPLED.encode()), ("labelwire.traceparent", before.encode())))
    links = traced.spans()["process label-images"].links
    assert [f"{link.context.trace_id:x}" for link in links] == [TRACE.lstrip("0"), "1" * 32]


def test_a_poll_is_linked_with_the_sampled_producers_of_what_it_brought(traced: Traced) -> None:
    traced.tracer.emit(RecordsPolled("label-images", 3, (SAMPLED, UNSAMPLED, "nonsense"), 0.25))
    poll = traced.spans()["poll label-images"]
    assert poll.parent is None
    assert len(poll.links) == 1
    assert poll.attributes is not None
    assert poll.attributes["messaging.batch.message_count"] == 3
    assert poll.start_time is not None
    assert poll.end_time is not None
    assert poll.end_time - poll.start_time == 250_000_000


def test_events_say_how_a_span_ended(traced: Traced) -> None:
    with traced.tracer.process(job(("traceparent", SAMPLED.encode()))):
        with traced.tracer.infer(REQUEST):
            traced.tracer.emit(InferenceRetried("text_detector", "unavailable"))
            traced.tracer.emit(InferenceFinished("text_detector", "7", "OK", 0.1))
        traced.tracer.emit(
            JobFinished(
                "job 7",
                Coordinate("label-images", 3, 17),
                JobOutcome.DEAD_LETTERED,
                ErrorCode.IMAGE_CORRUPT,
                "small",
                1,
                2.5,
                (),
                "1",
                1,
            )
        )
    spans = traced.spans()
    infer, process = spans["infer text_detector"], spans["process label-images"]
    assert infer.attributes is not None
    assert infer.attributes["rpc.response.status_code"] == "OK"
    assert infer.attributes["labelwire.model.version"] == "7"
    assert [event.name for event in infer.events] == ["inference retried"]
    assert process.attributes is not None
    assert process.attributes["labelwire.job.id"] == "job 7"
    assert process.attributes["labelwire.job.outcome"] == "dead_lettered"
    assert process.attributes["labelwire.job.age_seconds"] == 2.5
    assert process.attributes["error.type"] == "IMAGE_CORRUPT"
    assert process.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize(
    ("error", "error_type"),
    [(JobError(ErrorCode.IMAGE_CORRUPT, "secret text"), "IMAGE_CORRUPT"), (ValueError("secret text"), "ValueError")],
)
def test_a_failed_stage_names_its_error_and_nothing_of_the_job(
    traced: Traced, error: Exception, error_type: str
) -> None:
    def fail() -> None:
        with traced.tracer.process(job(("traceparent", SAMPLED.encode()))), traced.tracer.stage(Stage.DECODE):
            raise error

    with pytest.raises(type(error)):
        fail()
    spans = traced.spans()
    assert spans["decode"].attributes == {"error.type": error_type}
    assert spans["decode"].status.status_code is StatusCode.ERROR
    assert "secret" not in "".join(span.to_json() for span in spans.values())


def test_log_lines_name_the_trace(traced: Traced) -> None:
    assert trace_ids() == {}
    with traced.tracer.process(job(("traceparent", SAMPLED.encode()))):
        inside = trace_ids()
    context = traced.spans()["process label-images"].context
    assert inside == {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    assert trace_ids() == {}


def test_a_receiver_that_is_away_holds_nobody_up() -> None:
    (port,) = free_ports(1)
    tracer = OpenTelemetryTracer(OTLPSpanExporter(f"http://127.0.0.1:{port}/v1/traces", timeout=5), "labels", 1.0)
    begun = time.monotonic()
    for _ in range(1000):
        follow(tracer, job())
    tracer.close()
    assert time.monotonic() - begun < 20
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith(("Otel", "traces"))] == []


@pytest.mark.parametrize(
    "headers",
    [
        "authorization: Bearer hunter2",
        "tenant=1,authorization: Bearer hunter2",
        "authorization=Bearer hunter2\nx-tenant=1",
        "authorization=Bearer%0Ahunter2",
        'authorization="hunter2"',
        "authorization=hunter2%E2%82%AC",
    ],
)
@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"])
def test_a_header_that_cannot_be_sent_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, headers: str
) -> None:
    monkeypatch.setenv(variable, headers)
    with pytest.raises(SettingsError, match=f"^{variable}: header . of . cannot be sent") as refused:
        open_tracer(TracingSettings(endpoint="http://127.0.0.1:9"), "labels")
    assert "hunter2" not in str(refused.value) + caplog.text


def test_headers_that_can_be_sent_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2, x-tenant=a b=c,\n")
    tracer = open_tracer(TracingSettings(endpoint="http://127.0.0.1:9"), "labels")
    assert tracer is not None
    tracer.close()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9999"), ("OTEL_BSP_SCHEDULE_DELAY", "-5")],
)
def test_a_variable_that_open_telemetry_refuses_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=r"^OpenTelemetry refuses a variable of its own"):
        open_tracer(TracingSettings(endpoint="http://127.0.0.1:9"), "labels")


@pytest.mark.parametrize(("given", "name"), [(None, "labelwire-worker"), ("east", "east")])
def test_a_deployment_may_name_its_workers(monkeypatch: pytest.MonkeyPatch, given: str | None, name: str) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=dev")
    if given is not None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", given)
    traced = Traced()
    follow(traced.tracer, job(("traceparent", SAMPLED.encode())))
    resource = traced.spans()["process label-images"].resource.attributes
    assert resource["service.name"] == name
    assert resource["deployment.environment.name"] == "dev"
    assert resource["service.instance.id"]


def test_without_an_endpoint_nothing_is_traced() -> None:
    assert open_tracer(TracingSettings(), "labels") is None
    assert follow(UNTRACED, job(("traceparent", SAMPLED.encode()))) == ({}, "")
