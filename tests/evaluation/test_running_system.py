"""A system under measurement on the mock cluster: what counts is the time that it took, not that of the measurement."""

import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.domain.records import Record
from worker.lab import stack
from worker.lab.evaluation.answers import Answer, of_rapidocr
from worker.lab.evaluation.errors import MeasurementError
from worker.lab.evaluation.systems import Job, RunningSystem, System, Topics
from worker.local.kafka import MockKafka

_PARSING_SECONDS = 0.5
# Answers each job with nothing, and the first one twice; ends at the job "end".
_ECHO = """
import json, sys
from confluent_kafka import Consumer, Producer

servers, jobs, results = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": servers, "group.id": jobs, "auto.offset.reset": "earliest"})
producer = Producer({"bootstrap.servers": servers, "linger.ms": 0})
consumer.subscribe([jobs])
answered = 0
while True:
    message = consumer.poll(0.1)
    if message is None or message.error():
        continue
    if message.key() == b"end":
        sys.exit("the end was asked for")
    answer = json.dumps({"job_id": message.key().decode(), "lines": [], "duration_ms": 1.0})
    for _ in range(2 if answered == 0 else 1):
        producer.produce(results, answer, message.key())
    producer.flush()
    answered += 1
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    with MockKafka() as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def running(servers: str, tmp_path: Path) -> Iterator[RunningSystem]:
    name = f"echo-{uuid.uuid4().hex[:8]}"
    topics = Topics(f"{name}-images", f"{name}-text")
    argv = [sys.executable, "-c", _ECHO, servers, topics.jobs, topics.results]
    system = System(name, "The echo", argv, {}, topics, _slowly_parsed)
    with RunningSystem(system, servers, stack.launch, tmp_path / "echo.log") as started:
        yield started


def _slowly_parsed(record: Record) -> Answer:
    time.sleep(_PARSING_SECONDS)
    return of_rapidocr(record)


def test_the_clock_stops_before_answers_are_parsed(running: RunningSystem) -> None:
    heard: list[int] = []

    first = running.answer_all([Job("warm-up", b"", "image/png")])
    second = running.answer_all([Job(f"{n}", b"", "image/png") for n in range(4)], lambda: heard.append(len(heard)))

    # The second answer to the first job belongs to no job of the second run.
    assert (list(first.answers), sorted(second.answers), second.lost) == (["warm-up"], ["0", "1", "2", "3"], [])
    assert heard == [0, 1, 2, 3]
    # Had they been parsed as they came, the fourth would have come after the parsing of three.
    assert 0 < second.seconds < 3 * _PARSING_SECONDS
    assert 0 < second.harness_cpu_seconds < second.seconds


def test_a_system_that_ends_is_told_with_its_last_words(running: RunningSystem) -> None:
    with pytest.raises(MeasurementError, match=r"The echo ended with status 1 .* the end was asked for"):
        running.answer_all([Job("end", b"", "image/png")])


def test_jobs_that_are_not_answered_in_time_are_lost(running: RunningSystem) -> None:
    running.stop()

    delivery = running.answer_all([Job("a", b"", "image/png")], stall_seconds=0.2)

    assert (delivery.lost, delivery.seconds) == (["a"], 0.0)
