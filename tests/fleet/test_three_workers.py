"""Many workers on one topic: partitions are shared, and what one leaves another finishes."""

import collections
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from tests.fleet.workers import Fleet, read_until, wait_until
from worker.domain.records import OutgoingRecord
from worker.domain.result import LabelText
from worker.local.triton import TritonServer

JOBS = 200


def picture(number: int) -> bytes:
    page = np.full((160, 320, 3), 255, np.uint8)
    cv2.putText(page, f"PARCEL {number:04d}", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    cv2.putText(page, "BERLIN", (20, 120), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    return bytes(cv2.imencode(".png", page)[1].tobytes())


def job(fleet: Fleet, number: int) -> OutgoingRecord:
    name = f"job-{number}".encode()
    headers = (("content-type", b"image/png"), ("job-id", name))
    return OutgoingRecord(fleet.jobs_topic, name, picture(number), headers)


@pytest.mark.real
@pytest.mark.timeout(600)
def test_every_job_has_its_result_though_one_worker_stops_and_one_is_killed(
    make_fleet: Callable[[str], Fleet], triton: TritonServer
) -> None:
    fleet = make_fleet(triton.grpc_url)
    fleet.create_topics()
    workers = [fleet.add_worker() for _ in range(3)]
    for worker in workers:
        wait_until(lambda worker=worker: worker.probe("/readyz")[0] == 200)  # type: ignore[misc]
    with fleet.reader(fleet.results_topic, fleet.dead_letters_topic) as reader:
        fleet.submit(*(job(fleet, number) for number in range(JOBS)))
        records = read_until(reader, lambda seen: len(seen) >= JOBS // 5)
        assert workers[0].terminate() == 0
        records += read_until(reader, lambda seen: len(seen) >= JOBS // 5)
        workers[1].kill()
        done = {record.header("labelwire.job-id") for record in records}
        records += read_until(
            reader, lambda seen: len(done | {record.header("labelwire.job-id") for record in seen}) == JOBS, 300
        )
        assert workers[2].terminate() == 0
    results = [LabelText.model_validate_json(record.value or b"") for record in records]
    assert {record.coordinate.topic for record in records} == {fleet.results_topic}
    by_id = collections.defaultdict(set)
    for result in results:
        by_id[result.result_id].add((result.job_id, tuple(line.text for line in result.pages[0].lines)))
    assert len(by_id) == JOBS
    assert all(len(readings) == 1 for readings in by_id.values())
    assert {job_id for readings in by_id.values() for job_id, _ in readings} == {f"job-{n}" for n in range(JOBS)}
    texts = {result.job_id: "".join(line.text for line in result.pages[0].lines) for result in results}
    assert all(f"{n:04d}" in texts[f"job-{n}"] for n in range(JOBS))
