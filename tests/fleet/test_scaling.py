"""Workers come and go under load: partitions move, what runs is finished, and next to nothing is done twice."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from tests.fleet.workers import Fleet, WorkerProcess, read_until, wait_until
from worker.domain.records import OutgoingRecord, Record
from worker.local.triton import TritonServer

JOBS = 120
MAX_JOBS = 4


def job(fleet: Fleet, number: int) -> OutgoingRecord:
    page = np.full((96, 256, 3), 255, np.uint8)
    cv2.putText(page, f"BOX {number:04d}", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    name = f"job-{number}".encode()
    picture = bytes(cv2.imencode(".png", page)[1].tobytes())
    return OutgoingRecord(fleet.jobs_topic, name, picture, (("content-type", b"image/png"), ("job-id", name)))


@contextmanager
def steady_load(fleet: Fleet, seconds: float) -> Iterator[None]:
    """Submit all jobs, evenly, while the block runs, and see at its end that they were taken."""

    def submit() -> None:
        for number in range(JOBS):
            fleet.submit(job(fleet, number))
            time.sleep(seconds / JOBS)

    submitting = threading.Thread(target=submit)
    submitting.start()
    try:
        yield
    finally:
        submitting.join()


def start(fleet: Fleet, count: int) -> list[WorkerProcess]:
    workers = [fleet.add_worker(LABELWIRE_LIMITS__MAX_JOBS=str(MAX_JOBS)) for _ in range(count)]
    for worker in workers:
        wait_until(lambda worker=worker: worker.probe("/readyz")[0] == 200)  # type: ignore[misc]
    return workers


@pytest.mark.real
@pytest.mark.timeout(600)
def test_one_worker_becomes_four_and_then_two_under_load(
    make_fleet: Callable[[str], Fleet], triton: TritonServer
) -> None:
    fleet = make_fleet(triton.grpc_url)
    fleet.create_topics()
    workers = start(fleet, 1)
    with fleet.reader(fleet.results_topic, fleet.dead_letters_topic) as reader:
        with steady_load(fleet, seconds=15):
            records = read_until(reader, lambda seen: len(seen) >= JOBS // 10)
            workers += start(fleet, 3)
            records += read_until(reader, lambda seen: len(seen) >= JOBS // 5)
            assert [worker.terminate() for worker in workers[:2]] == [0, 0]
        seen = Counter(record.header("labelwire.job-id") for record in records)
        records += read_until(reader, lambda more: len(seen.keys() | names(more)) == JOBS, 300)
        assert [worker.terminate() for worker in workers[2:]] == [0, 0]
    counts = Counter(record.header("labelwire.job-id") for record in records)
    assert set(counts) == {f"job-{number}" for number in range(JOBS)}
    assert {record.coordinate.topic for record in records} == {fleet.results_topic}
    repeated = sum(counts.values()) - JOBS
    assert repeated <= 2 * MAX_JOBS, "each of the two that left may have had so many in flight"


def names(records: list[Record]) -> set[str | None]:
    return {record.header("labelwire.job-id") for record in records}
