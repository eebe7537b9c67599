"""One job's trace, whole: from its producer through a real worker and a real Triton to its result."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fleet.otlp_receiver import OtlpReceiver, ReceivedSpan
from tests.fleet.workers import Fleet, read_until, wait_until
from worker.domain.records import Headers, OutgoingRecord
from worker.local.triton import TritonServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(1200)]

JOBS = 8
SPAN = "b7ad6b7169203331"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def tracing_triton(model_repository: Path, receiver: OtlpReceiver, tmp_path: Path) -> Iterator[TritonServer]:
    """A Triton that traces what carries a context, as docs/tracing.md says."""
    flags = ("mode=opentelemetry", "rate=0", "level=TIMESTAMPS")
    own = (f"opentelemetry,url={receiver.url}/v1/traces", "opentelemetry,bsp_schedule_delay=200")
    arguments = [f"--trace-config={flag}" for flag in (*flags, *own)]
    with TritonServer(model_repository, run_dir=tmp_path / "triton", arguments=arguments) as server:
        yield server


def trace_id(number: int) -> str:
    return f"{number + 1:032x}"


def producer(number: int, flags: str) -> str:
    return f"00-{trace_id(number)}-{SPAN}-{flags}"


def job(fleet: Fleet, number: int, *, flags: str = "01") -> OutgoingRecord:
    page = np.full((96, 256, 3), 255, np.uint8)
    cv2.putText(page, "BOX 4711", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    picture = bytes(cv2.imencode(".png", page)[1].tobytes())
    name, trace_parent = str(number).encode(), producer(number, flags).encode()
    headers: Headers = (("content-type", b"image/png"), ("job-id", name), ("traceparent", trace_parent))
    return OutgoingRecord(fleet.jobs_topic, name, picture, headers)


def test_a_jobs_trace_is_received_whole(
    make_fleet: Callable[[str], Fleet], tracing_triton: TritonServer, receiver: OtlpReceiver
) -> None:
    fleet = make_fleet(tracing_triton.grpc_url)
    fleet.create_topics()
    worker = fleet.add_worker(LABELWIRE_TRACING__ENDPOINT=receiver.url, LABELWIRE_TRACING__SAMPLE_RATIO="0")
    wait_until(lambda: worker.probe("/readyz")[0] == 200)
    fleet.submit(*(job(fleet, number) for number in range(JOBS)), job(fleet, JOBS, flags="00"))
    records = read_until(fleet.reader(fleet.results_topic), lambda records: len(records) == JOBS + 1)
    assert worker.terminate() == 0  # by now it has sent its last spans

    results = {record.header("job-id"): record.header("traceparent") for record in records}
    assert results[str(JOBS)] == producer(JOBS, "00"), "a job that is not sampled is passed on as it came"
    for number in range(JOBS):
        trace = JobTrace.of(fleet.jobs_topic, number, receiver.spans())
        trace.check(fleet.results_topic, number, results[str(number)] or "")
    polled = [link for span in receiver.spans() if span.name == f"poll {fleet.jobs_topic}" for link in span.links]
    assert sorted(polled) == [(trace_id(number), SPAN) for number in range(JOBS)]
    # Triton sends its spans a little later, and 2.51 leaves out those of a few requests of a hundred.
    wait_until(lambda: any(JobTrace.of(fleet.jobs_topic, n, receiver.spans()).has_tritons_part for n in range(JOBS)))


class JobTrace:
    """All spans of one job: the worker's, and those that Triton added to its calls."""

    def __init__(self, root: ReceivedSpan, spans: Sequence[ReceivedSpan]) -> None:
        self._root = root
        self._spans = [span for span in spans if span.trace == root.trace]
        self._calls = [span for span in self._spans if span.name.startswith("infer ")]

    @classmethod
    def of(cls, topic: str, number: int, spans: Sequence[ReceivedSpan]) -> "JobTrace":
        """Return the one trace that is linked with a job's producer."""
        (root,) = (
            span for span in spans if span.name == f"process {topic}" and span.links == [(trace_id(number), SPAN)]
        )
        return cls(root, spans)

    @property
    def has_tritons_part(self) -> bool:
        """Whether all calls have the times of Triton's queue and of what it computed."""
        return all(
            {"QUEUE_START", "COMPUTE_START", "COMPUTE_END"} <= self._moments_within(call) for call in self._calls
        )

    def check(self, results_topic: str, number: int, result_trace_parent: str) -> None:
        """Look at the worker's part."""
        assert self._root.parent == ""
        assert self._root.attributes["labelwire.job.id"] == str(number)
        assert self._root.attributes["labelwire.job.outcome"] == "completed"
        ours = [span for span in self._spans if span.service == "labelwire-worker"]
        assert all(span is self._root or span.parent in {other.id for other in ours} for span in ours)
        stages = [span.name for span in ours if span.parent == self._root.id]
        assert stages[:3] == ["consume", "admit", "decode"]
        assert {"detect", "stitch", "crop", "read", "assemble", "extract"} <= set(stages)
        assert stages[-1] == f"send {results_topic}"
        assert {"infer text_detector", "infer text_recognizer"} <= {call.name for call in self._calls}
        assert {call.attributes["triton.request_id"] for call in self._calls} == {str(number)}
        assert {call.attributes["rpc.response.status_code"] for call in self._calls} == {"OK"}
        (send,) = (span for span in ours if span.name == stages[-1])
        assert result_trace_parent.startswith(f"00-{send.trace}-{send.id}-")

    def _moments_within(self, call: ReceivedSpan) -> set[str]:
        moments: set[str] = set()
        parents = {call.id}
        while parents:
            children = [span for span in self._spans if span.parent in parents]
            moments.update(*(child.events for child in children))
            parents = {child.id for child in children}
        return moments
