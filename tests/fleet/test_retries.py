"""The whole way round: retried in due order, dead-lettered, replayed, read; and the audit follows it."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fleet.workers import Fleet, read_until
from worker.audit.run import audit_until_settled
from worker.domain.headers import DerivedHeaders
from worker.domain.records import OutgoingRecord, Record
from worker.domain.result import LabelText
from worker.local.triton import TritonServer
from worker.settings import KafkaSettings, TopicSettings

JOBS = 3
RETRIES = 3
DELAYS_SECONDS = (0.5, 1.0, 1.5)


def job(fleet: Fleet, number: int) -> OutgoingRecord:
    page = np.full((96, 256, 3), 255, np.uint8)
    cv2.putText(page, f"BOX {number:04d}", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    picture = bytes(cv2.imencode(".png", page)[1].tobytes())
    headers = (("content-type", b"image/png"), ("trace", b"\xff%d" % number))
    return OutgoingRecord(fleet.jobs_topic, b"key-%d" % number, picture, headers)


def topics(fleet: Fleet) -> TopicSettings:
    return TopicSettings(jobs=fleet.jobs_topic, results=fleet.results_topic, dead_letters=fleet.dead_letters_topic)


def replay(fleet: Fleet) -> None:
    names = topics(fleet)
    environment = {
        **os.environ,
        "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": fleet.bootstrap_servers,
        "LABELWIRE_TOPICS__JOBS": names.jobs,
        "LABELWIRE_TOPICS__RESULTS": names.results,
        "LABELWIRE_TOPICS__DEAD_LETTERS": names.dead_letters,
    }
    command = Path(sys.executable).with_name("labelwire")
    arguments = ["dlq", "replay", "--code", "ATTEMPT_TIMED_OUT", "--no-canary", "--yes"]
    ended = subprocess.run([command, *arguments], env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.real
@pytest.mark.timeout(300)
def test_a_job_that_never_ends_in_time_is_retried_given_up_replayed_and_read(
    make_fleet: Callable[[str], Fleet], triton: TritonServer
) -> None:
    fleet = make_fleet(triton.grpc_url)
    fleet.create_topics()
    kafka = KafkaSettings(bootstrap_servers=fleet.bootstrap_servers, group_id=fleet.prefix)
    hasty = fleet.add_worker(
        LABELWIRE_RUNTIME__ATTEMPT_SECONDS="0.001",
        LABELWIRE_RUNTIME__RETRY_DELAYS_SECONDS=str(list(DELAYS_SECONDS)),
    )
    jobs = [job(fleet, number) for number in range(JOBS)]
    with fleet.reader(*topics(fleet).retry_topics, fleet.dead_letters_topic, fleet.results_topic) as reader:
        fleet.submit(*jobs)
        records = read_until(reader, lambda seen: len(of_topic(seen, fleet.dead_letters_topic)) == JOBS)
        report = audit_until_settled(kafka, topics(fleet), wait_seconds=30)
        assert (report.jobs, report.dead_lettered, report.lost, report.pending) == (JOBS, JOBS, 0, 0)
        assert hasty.terminate() == 0
        fleet.add_worker()
        replay(fleet)
        results = read_until(reader, lambda seen: len(of_topic(seen, fleet.results_topic)) == JOBS)
    for letter in of_topic(records, fleet.dead_letters_topic):
        derived = DerivedHeaders.of(letter)
        retries = sorted((one for one in records if is_retry_of(one, letter)), key=lambda one: one.timestamp_ms)
        assert letter.header("labelwire.dlq.error.code") == "ATTEMPT_TIMED_OUT"
        assert [DerivedHeaders.of(one).attempt for one in retries] == list(range(1, len(retries) + 1))
        assert derived.attempt == len(retries) + 1 > RETRIES
        for one, delay_seconds in zip(retries, DELAYS_SECONDS, strict=False):
            waited_ms = (DerivedHeaders.of(one).due_at_ms or 0) - one.timestamp_ms
            assert 900 * delay_seconds <= waited_ms <= 1100 * delay_seconds + 100
        assert all(later.timestamp_ms >= (due_ms(one) or 0) for one, later in itertools.pairwise(retries))
    report = audit_until_settled(kafka, topics(fleet), wait_seconds=30)
    assert (report.jobs, report.completed, report.lost, report.replays) == (JOBS, JOBS, 0, JOBS)
    for result in of_topic(results, fleet.results_topic):
        text = LabelText.model_validate_json(result.value or b"")
        assert (text.attempt, text.replay.count) == (1, 1)
        assert dict(result.headers)["trace"] == b"\xff%d" % int((result.key or b"").removeprefix(b"key-"))


def of_topic(records: list[Record], topic: str) -> list[Record]:
    return [record for record in records if record.coordinate.topic == topic]


def is_retry_of(record: Record, letter: Record) -> bool:
    same = DerivedHeaders.of(record).origin == DerivedHeaders.of(letter).origin
    return same and ".retry." in record.coordinate.topic


def due_ms(record: Record) -> int | None:
    return DerivedHeaders.of(record).due_at_ms
