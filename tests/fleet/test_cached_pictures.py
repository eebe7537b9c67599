"""Real workers share readings through a real Redis, which is killed and comes back."""

import json
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fleet.workers import Fleet, WorkerProcess, read_until, wait_until
from tests.real_redis import SECRET, demand_real_redis
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.domain.records import OutgoingRecord
from worker.domain.result import LabelText
from worker.local.redis import RedisServer
from worker.local.triton import TritonServer

TEXTS = ("BOX 4711", "BOX 0815", "BOX 1234")


def job(fleet: Fleet, number: int) -> OutgoingRecord:
    page = np.full((96, 256, 3), 255, np.uint8)
    cv2.putText(page, TEXTS[number % 3], (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    name = f"job-{number}".encode()
    picture = bytes(cv2.imencode(".png", page)[1].tobytes())
    return OutgoingRecord(fleet.jobs_topic, name, picture, (("content-type", b"image/png"), ("job-id", name)))


class Stream:
    """Sends jobs whose pictures come again and again, and reads their results."""

    def __init__(self, fleet: Fleet, reader: TopicReader) -> None:
        self.sent = 0
        self._fleet = fleet
        self._reader = reader

    def results_of(self, count: int) -> list[LabelText]:
        """Return the results of the next jobs, all of them right."""
        self._fleet.submit(*(job(self._fleet, number) for number in range(self.sent, self.sent + count)))
        records = read_until(self._reader, lambda records: len(records) == count)
        results = [LabelText.model_validate_json(record.value or b"") for record in records]
        assert {result.job_id for result in results} == {
            f"job-{number}" for number in range(self.sent, self.sent + count)
        }
        for result in results:
            number = int(result.job_id.removeprefix("job-"))
            assert [line.text for line in result.pages[0].lines] == [TEXTS[number % 3]]
        self.sent += count
        return results


def from_cache(results: list[LabelText]) -> int:
    return sum(list(result.timing_ms) == ["cache"] for result in results)


def asked(worker: WorkerProcess) -> dict[str, float]:
    """Return how often the cache was asked with which result."""
    families = text_string_to_metric_families(worker.probe("/metrics")[1])
    [requests] = [family for family in families if family.name == "labelwire_cache_requests"]
    return {sample.labels["result"]: sample.value for sample in requests.samples if sample.name.endswith("_total")}


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    demand_real_redis()
    with RedisServer() as server:
        yield server


@pytest.mark.real
@pytest.mark.timeout(600)
def test_pictures_that_come_again_are_read_once_and_a_killed_redis_costs_no_result(
    make_fleet: Callable[[str], Fleet], triton: TritonServer, own_redis: RedisServer
) -> None:
    fleet = make_fleet(triton.grpc_url)
    fleet.create_topics()
    cached = {
        "LABELWIRE_CACHE__BACKEND": "redis",
        "LABELWIRE_CACHE__URL": own_redis.url,
        "LABELWIRE_CACHE__SECRET": SECRET,
        "LABELWIRE_CACHE__TIMEOUT_SECONDS": "2",
        "LABELWIRE_LOG__FORMAT": "json",
    }
    worker = fleet.add_worker(**cached)
    wait_until(lambda: worker.probe("/readyz")[0] == 200)
    assert asked(worker) == {"hit": 0, "miss": 0, "error": 0, "rejected": 0}
    with fleet.reader(fleet.results_topic) as reader:
        stream = Stream(fleet, reader)
        assert from_cache(stream.results_of(3)) == 0
        assert from_cache(stream.results_of(12)) == 12
        assert asked(worker) == {"hit": 12, "miss": 3, "error": 0, "rejected": 0}

        own_redis.kill()
        assert from_cache(stream.results_of(12)) == 0
        assert asked(worker)["error"] >= 12
        assert worker.probe("/readyz")[0] == 200

        own_redis.restart()
        deadline = time.monotonic() + 60
        while from_cache(stream.results_of(3)) < 3:
            assert time.monotonic() < deadline
        other = fleet.add_worker(**cached)  # another one finds what the first one read
        wait_until(lambda: other.probe("/readyz")[0] == 200)
        assert worker.terminate() == 0
        assert from_cache(stream.results_of(6)) == 6
        assert asked(other) == {"hit": 6, "miss": 0, "error": 0, "rejected": 0}
        assert other.terminate() == 0
    log = worker.log_path.read_text()
    changes = [json.loads(line) for line in log.splitlines() if '"cache of readings changed"' in line]
    assert [(change["operation"], change["state"]) for change in changes if change["operation"] == "get"] == [
        ("get", "open"),
        ("get", "closed"),
    ]
    assert SECRET not in log
