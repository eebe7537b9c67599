"""Jobs are written at their times through one producer, and timed by the broker's clock; a refusal ends the run."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from worker.adapters.kafka.offline.submit import submit
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.domain.records import OutgoingRecord, Record
from worker.lab.bench.job_stream import JobStream, TimedJob
from worker.lab.evaluation.errors import MeasurementError
from worker.lab.evaluation.systems import Job, Topics
from worker.local.kafka import KafkaServer

pytestmark = pytest.mark.real
ANSWER_SECONDS = 0.25


def jobs(name: str, *due_seconds: float) -> list[TimedJob]:
    return [TimedJob(Job(f"{name}-{number}", b"picture", "image/jpeg"), due) for number, due in enumerate(due_seconds)]


def answer(job: Record, topics: Topics) -> OutgoingRecord:
    job_id = job.header("job-id") or ""
    origin = {
        "topic": job.coordinate.topic,
        "partition": str(job.coordinate.partition),
        "offset": str(job.coordinate.offset),
        "timestamp": str(job.timestamp_ms),
    }
    headers = [("labelwire.job-id", job_id.encode())]
    headers += [(f"labelwire.origin.{name}", value.encode()) for name, value in origin.items()]
    if job_id.startswith("bad"):
        headers += [("labelwire.dlq.error.code", b"IMAGE_CORRUPT"), ("labelwire.dlq.error.message", b"No picture.")]
        return OutgoingRecord(topics.dead_letters or "", job.key, job.value, tuple(headers))
    return OutgoingRecord(topics.results, job.key, b'{"timing_ms": {"decode": 7.5}}', tuple(headers))


@contextmanager
def answering(kafka: KafkaServer, topics: Topics) -> Iterator[None]:
    """Answer each job a while after it came, as a worker would."""
    stopping = threading.Event()

    def answers() -> Iterator[OutgoingRecord]:
        with TopicReader(kafka.bootstrap_servers, [topics.jobs]) as reader:
            while not stopping.is_set():
                job = reader.poll(0.05)
                if job is not None:
                    time.sleep(ANSWER_SECONDS)
                    yield answer(job, topics)

    thread = threading.Thread(target=submit, args=(kafka.bootstrap_servers, answers(), {"linger.ms": "0"}))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def test_times_are_those_of_the_broker(kafka: KafkaServer) -> None:
    topics = Topics.named("stream-times")
    told: list[int] = []
    with JobStream(kafka.bootstrap_servers, topics) as stream, answering(kafka, topics):
        stream.run(jobs("first", 0.0), lambda: told.append(1))
        # One answer at a time: the second of two jobs that are due together waits for the first.
        answered = stream.run(jobs("timed", 0.2, 0.2), lambda: told.append(1), with_stages=True)

    assert len(told) == 3
    first, second = sorted(answered, key=lambda one: one.answered_ms)
    assert abs(first.due_ms - second.due_ms) < 1
    assert 1000 * ANSWER_SECONDS - 50 < first.queue_to_result_ms < 1000 * ANSWER_SECONDS + 150
    assert 2000 * ANSWER_SECONDS - 50 < second.due_to_result_ms < 2000 * ANSWER_SECONDS + 300
    assert first.stage_ms == {"decode": 7.5}


def test_a_refused_job_ends_the_run(kafka: KafkaServer) -> None:
    topics, begun = Topics.named("stream-refusal"), time.monotonic()
    with (
        JobStream(kafka.bootstrap_servers, topics) as stream,
        answering(kafka, topics),
        pytest.raises(MeasurementError, match=r"refused bad-0 as IMAGE_CORRUPT: No picture\."),
    ):
        stream.run(jobs("bad", 0.0, 60.0), lambda: None)
    assert time.monotonic() - begun < 40, "what is not due yet is not waited for"
