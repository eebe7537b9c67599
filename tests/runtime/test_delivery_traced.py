"""A sampled job's trace goes on in what is written for it, whatever its outcome."""

from concurrent.futures import Executor
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.runtime.parts import LETTERS, PICTURE, PNG, RESULTS, RETRIES, URI, Parts, by_uri, record
from worker.adapters.telemetry.tracing import OpenTelemetryTracer
from worker.domain.errors import ErrorCode, JobError
from worker.domain.records import Record

PRODUCER = f"00-{'a' * 32}-{'b' * 16}-01".encode()
JOB = record(PICTURE, PNG, ("traceparent", PRODUCER), ("tracestate", b"vendor=1"))


class TracedParts:
    """A delivery that is traced, and the spans of it."""

    def __init__(self, executor: Executor) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer = OpenTelemetryTracer(self._exporter, "group", 0.0)
        self.parts = Parts(executor, tracer=self.tracer)

    async def refresh(self) -> None:
        await self.parts.reader.refresh()

    def spans(self) -> list[ReadableSpan]:
        self.tracer.close()
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def sent(self, topic: str) -> str:
        """Return the trace context of the one span that wrote to a topic."""
        (span,) = (span for span in self.spans() if span.name == f"send {topic}")
        context = span.context
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@pytest.fixture
async def traced(pixel_threads: Executor) -> TracedParts:
    traced = TracedParts(pixel_threads)
    await traced.refresh()
    return traced


def headers(record: Record) -> dict[str, bytes | None]:
    found = dict(record.headers)
    assert len(found) == len(record.headers)
    return found


async def test_a_result_names_the_span_that_sent_it(traced: TracedParts) -> None:
    await traced.parts.deliver(JOB)
    (result,) = traced.parts.results()
    assert headers(result)["traceparent"] == traced.sent(RESULTS).encode()
    assert "tracestate" not in headers(result)  # it belongs to the producer's trace


async def test_the_stages_of_a_job_come_in_order_in_its_trace(traced: TracedParts) -> None:
    await traced.parts.deliver(JOB)
    spans = traced.spans()
    assert len({span.context.trace_id for span in spans}) == 1
    names = [span.name for span in spans]
    assert names[0] == "process label-images"
    stages = ["consume", "admit", "decode", "check", "tile", "detect", "stitch", "crop", "read", "assemble", "extract"]
    # The second look tiles and detects once more.
    assert list(dict.fromkeys(name for name in names if name in stages)) == stages
    assert names[-1] == "send label-text"
    parents = {span.context.span_id: span for span in spans}
    nested = {span.name: parents[span.parent.span_id].name for span in spans if span.parent is not None}
    assert nested["decode"] == "process label-images"


async def test_a_picture_by_uri_is_fetched_within_consume(traced: TracedParts) -> None:
    traced.parts.blobs.put(URI, PICTURE)
    job = by_uri()
    await traced.parts.deliver(replace(job, headers=(*job.headers, ("traceparent", PRODUCER))))
    spans = {span.name: span for span in traced.spans()}
    fetch = spans["fetch"].parent
    assert fetch is not None
    assert fetch.span_id == spans["consume"].context.span_id


async def test_a_retry_keeps_its_producer_and_names_the_attempt(traced: TracedParts) -> None:
    traced.parts.backend.fail(JobError(ErrorCode.INFERENCE_FAILED, "Triton stumbled."))
    await traced.parts.deliver(JOB)
    (again,) = traced.parts.broker.records(RETRIES[0])
    assert headers(again)["traceparent"] == PRODUCER
    assert headers(again)["tracestate"] == b"vendor=1"
    assert headers(again)["labelwire.traceparent"] == traced.sent(RETRIES[0]).encode()


async def test_a_dead_letter_is_as_received_and_names_the_attempt(traced: TracedParts) -> None:
    bad = replace(JOB, value=b"no picture", headers=(*JOB.headers, ("labelwire.traceparent", b"an earlier attempt")))
    await traced.parts.deliver(bad)
    (letter,) = traced.parts.letters()
    assert headers(letter)["traceparent"] == PRODUCER
    assert headers(letter)["labelwire.dlq.traceparent"] == traced.sent(LETTERS).encode()
    assert "labelwire.traceparent" not in headers(letter)


async def test_what_is_not_sampled_is_passed_on_as_it_came(traced: TracedParts) -> None:
    await traced.parts.deliver(record(PICTURE, PNG, ("traceparent", PRODUCER[:-1] + b"0")))
    (result,) = traced.parts.results()
    assert headers(result)["traceparent"] == PRODUCER[:-1] + b"0"
    assert traced.spans() == []
