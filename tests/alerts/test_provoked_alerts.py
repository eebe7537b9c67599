"""Each alert is provoked once on real workers, a real Kafka, a real Triton and a real Redis, and fires.

Time is compressed by the chart's own values: scrapes are a second apart, and thresholds are seconds.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.alerts.live_scrape import LiveScrape, Page
from tests.alerts.recording import Recording, Target, target_of
from tests.alerts.simulated_pods import TRITON, TRITON_EXPOSITION
from tests.chart.rendering import PRODUCTION, Chart, Manifest
from tests.fleet.workers import Fleet, WorkerProcess, wait_until
from tests.real_kafka import demand_real_kafka
from tests.real_redis import SECRET, demand_real_redis
from worker.adapters.clock import SystemClock
from worker.adapters.telemetry.exposition import fetch_page, parse_page
from worker.adapters.telemetry.fanout import Fanout
from worker.adapters.triton.client import TritonBackend
from worker.domain.errors import ExpositionError
from worker.domain.records import OutgoingRecord
from worker.domain.rollout.state import Mode, RolloutLimits
from worker.lab.chaos.poison import POISON_PATH, PoisonKind, poisonous
from worker.local.kafka import KafkaServer
from worker.local.redis import RedisServer
from worker.local.triton import TritonServer
from worker.ports import InferenceRequest
from worker.rollouts.control import RolloutControl, RolloutOrder
from worker.settings import KafkaSettings, TopicSettings, TritonSettings

WORKER = target_of("demo-labelwire-worker-0")
# An alert fires four scrapes after the first one that shows its trouble, and that may be the next but one.
SCRAPES_TO_FIRE = 7
THRESHOLDS = {
    "rateSeconds": 8,
    "rareSeconds": 60,
    "deadLetters": 3,
    "drainSeconds": 5,
    "backlogSeconds": 4,
    "lagRecords": 5,
    "jobAgeSeconds": 3,
    "noWorkersSeconds": 4,
    "notReadySeconds": 4,
    "downSeconds": 4,
    "circuitOpenSeconds": 4,
    "cacheDownSeconds": 4,
    "pendingRequests": 0.1,
    "queueSeconds": 0.005,
}


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    demand_real_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture
def fleet(kafka: KafkaServer, triton: TritonServer, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(kafka.bootstrap_servers, triton.grpc_url, tmp_path)
    made.create_topics()
    yield made
    made.stop()


def label(number: int, scale: int = 1) -> bytes:
    """Return a label that did not come before; a large one keeps Triton busy."""
    page = np.full((120 * scale, 320 * scale, 3), 255, np.uint8)
    for line in range(scale):
        at = (15, 70 + 120 * line)
        cv2.putText(page, f"PARCEL {number:05d}", at, cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    return bytes(cv2.imencode(".png", page)[1].tobytes())


def compressed_rules(chart: Chart, fleet: Fleet) -> Manifest:
    """Return the chart's rules for these topics, with seconds for minutes."""
    changes: dict[str, object] = {f"metrics.rules.thresholds.{name}": value for name, value in THRESHOLDS.items()}
    changes |= {"metrics.podMonitor.intervalSeconds": 1, "topics.jobs": fleet.jobs_topic, "topics.jobsPartitions": 8}
    changes |= {"worker.autoscaling.enabled": False}  # which allows no more workers than partitions
    spec: Manifest = chart.render(PRODUCTION, changes).one("PrometheusRule", "worker")["spec"]
    return spec


def value_of(worker: WorkerProcess, name: str, **labels: str) -> float:
    """Return the largest value among a worker's series with these labels; 0 where there is none."""
    found = [
        sample.value
        for sample in parse_page(worker.probe("/metrics")[1])
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return max(found, default=0.0)


def page_of_triton(triton: TritonServer) -> str | None:
    try:
        return fetch_page(triton.metrics_url, 2)
    except ExpositionError:
        return None


def names_and_labels(page: str) -> Mapping[str, frozenset[str]]:
    return {sample.name: frozenset(sample.labels) for sample in parse_page(page)}


@pytest.mark.real
def test_the_recorded_exposition_of_triton_is_like_a_real_one(triton: TritonServer) -> None:
    recorded = names_and_labels(TRITON_EXPOSITION.read_text(encoding="utf-8"))
    real = names_and_labels(page_of_triton(triton) or "")

    assert recorded.items() <= real.items()


@dataclass
class Deployment:
    """A worker in a pod, its servers, and the recording of their metrics."""

    fleet: Fleet
    triton: TritonServer
    redis: RedisServer
    recording: Recording
    worker: WorkerProcess = field(init=False)
    submitted: int = 0

    def begin(self) -> None:
        """Start the worker, and have it read two jobs."""
        self.worker = self.fleet.add_worker(
            PYTHONPATH=str(POISON_PATH),
            LABELWIRE_LIMITS__ISOLATED_MEMORY_BYTES=str(256 * 2**20),
            LABELWIRE_LIMITS__DEAD_LETTERS_PER_MINUTE="6",
            LABELWIRE_CACHE__BACKEND="redis",
            LABELWIRE_CACHE__URL=self.redis.url,
            LABELWIRE_CACHE__SECRET=SECRET,
            LABELWIRE_CACHE__TIMEOUT_SECONDS="2",
        )
        wait_until(lambda: self.worker.probe("/readyz")[0] == 200)
        self.submit(label(0), label(1))
        wait_until(lambda: self.value("labelwire_jobs_total", outcome="completed") == 2)

    def pages(self) -> list[tuple[Target, Page]]:
        """Return what Prometheus would scrape."""
        return [
            (WORKER, lambda: self.worker.probe("/metrics")[1] or None),
            (TRITON, lambda: page_of_triton(self.triton)),
        ]

    def submit(self, *pictures: bytes) -> None:
        records = []
        for picture in pictures:
            name = f"job-{self.submitted}".encode()
            headers = (("content-type", b"image/png"), ("job-id", name))
            records.append(OutgoingRecord(self.fleet.jobs_topic, name, picture, headers))
            self.submitted += 1
        self.fleet.submit(*records)

    def value(self, name: str, **labels: str) -> float:
        """Return the largest value among the worker's series with these labels; 0 where there is none."""
        return value_of(self.worker, name, **labels)


def nothing_happens(_: Deployment, scrape: LiveScrape) -> None:
    scrape.wait(6)


def bad_pictures_come_redis_ends_and_a_candidate_fails(deployment: Deployment, scrape: LiveScrape) -> None:
    deployment.redis.kill()
    topic = TopicSettings(jobs=deployment.fleet.jobs_topic).rollouts_topic
    kafka = KafkaSettings(bootstrap_servers=deployment.fleet.bootstrap_servers)
    limits = RolloutLimits(min_jobs=10, min_pairs=10)
    # Triton does not serve these models, so the candidate fails whatever it gets.
    order = RolloutOrder("absent", Mode.CANARY, (9_000, 10_000), limits)
    RolloutControl(kafka, topic, "", SystemClock()).start(order)
    deployment.submit(*[b"this is no picture"] * 20, *map(label, range(20, 40)))
    wait_until(lambda: deployment.value("labelwire_cache_circuit_state") > 0)
    wait_until(lambda: deployment.value("labelwire_dead_letters_waiting") > 0)
    wait_until(lambda: deployment.value("labelwire_rollout_phase", phase="rolled_back") == 1)
    scrape.wait(SCRAPES_TO_FIRE)


def triton_ends(deployment: Deployment, scrape: LiveScrape) -> None:
    deployment.submit(*map(label, range(40, 60)))
    deployment.triton.kill()
    wait_until(lambda: deployment.value("labelwire_circuit_state") > 0)
    for number in range(60, 75):
        deployment.submit(label(number), label(number, 4))
        scrape.wait(1)


async def crowd(url: str) -> None:
    """Send more tiles at once than Triton computes in a while, as many workers would."""
    backend = TritonBackend(TritonSettings(url=url), Fanout(), SystemClock())
    tile = InferenceRequest("text_detector", {"image": np.zeros((1, 608, 1056, 3), np.uint8)}, ("probability",))
    try:
        # Some are refused, as their time in the queue is over.
        await asyncio.gather(*(backend.infer(tile, timeout_seconds=30) for _ in range(24)), return_exceptions=True)
    finally:
        await backend.close()


def triton_comes_back_to_much_work(deployment: Deployment, scrape: LiveScrape) -> None:
    deployment.triton.restart()
    wait_until(lambda: deployment.worker.probe("/readyz")[0] == 200)
    scrape.wait(2)  # a rate begins at the counters as they stood before
    asyncio.run(crowd(deployment.triton.grpc_url))
    scrape.wait(SCRAPES_TO_FIRE)


def a_picture_kills_its_reader(deployment: Deployment, scrape: LiveScrape) -> None:
    worker = deployment.worker
    worker.environment["LABELWIRE_LIMITS__DEAD_LETTERS_PER_MINUTE"] = "0"
    deployment.submit(poisonous(label(80), PoisonKind.SEGV))
    worker.process.wait(60)
    worker.start()
    wait_until(lambda: deployment.value("labelwire_dead_letters_total", error_code="POISON") == 1)
    scrape.wait(2)


def the_worker_is_killed_until_it_stays_down(deployment: Deployment, scrape: LiveScrape) -> None:
    worker = deployment.worker
    for _ in range(2):
        worker.kill()
        worker.start()
        wait_until(lambda: worker.probe("/livez")[0] == 200)
        scrape.wait(2)
    worker.kill()
    scrape.wait(SCRAPES_TO_FIRE)


COMMITS = ("LabelwireCommitFailures",)
STORY: dict[Callable[[Deployment, LiveScrape], None], tuple[str, ...]] = {
    nothing_happens: (),
    bad_pictures_come_redis_ends_and_a_candidate_fails: (
        "LabelwireCacheDown",
        "LabelwireDeadLetterLimit",
        "LabelwireDeadLetterShare",
        "LabelwireRolledBack",
    ),
    triton_ends: (
        "LabelwireBacklog",
        "LabelwireCircuitOpen",
        "LabelwireLagGrowing",
        "LabelwireNotReady",
        "LabelwireNoWorkers",
        "LabelwireTritonAbsent",
    ),
    triton_comes_back_to_much_work: (
        "LabelwireJobsOld",
        "LabelwireTritonQueueLong",
        "LabelwireTritonQueueSlow",
    ),
    a_picture_kills_its_reader: ("LabelwirePoison",),
    the_worker_is_killed_until_it_stays_down: ("LabelwireCrashLoop", "LabelwireNoWorkers", "LabelwireWorkerDown"),
}


@pytest.mark.real
@pytest.mark.timeout(1200)
def test_every_trouble_of_a_real_deployment_fires_its_alert(
    fleet: Fleet, triton: TritonServer, own_redis: RedisServer, chart: Chart, promtool: Path, tmp_path: Path
) -> None:
    recording = Recording(compressed_rules(chart, fleet), interval_seconds=1, began_at=int(time.time()))
    deployment = Deployment(fleet, triton, own_redis, recording)
    deployment.begin()
    with LiveScrape(recording, deployment.pages()) as scrape:
        for happens, alerts in STORY.items():
            begun = recording.steps
            happens(deployment, scrape)
            if alerts:
                recording.expect_since(begun, *alerts)
            else:
                recording.expect()

    recording.verify(promtool, tmp_path)


class RefusingKafka(KafkaServer):
    """Refuses each commit that says more than an offset, as a worker's do, and takes all else."""

    def _write_properties(self) -> Path:
        path = super()._write_properties()
        path.write_text(path.read_text(encoding="utf-8") + "offset.metadata.max.bytes=1\n", encoding="utf-8")
        return path


@pytest.mark.real
@pytest.mark.timeout(1200)
def test_commits_that_a_real_kafka_refuses_fire_their_alert(
    triton: TritonServer, chart: Chart, promtool: Path, tmp_path: Path
) -> None:
    demand_real_kafka()
    with RefusingKafka() as kafka, contextlib.ExitStack() as ending:
        fleet = Fleet(kafka.bootstrap_servers, triton.grpc_url, tmp_path)
        ending.callback(fleet.stop)
        fleet.create_topics()
        recording = Recording(compressed_rules(chart, fleet), interval_seconds=1, began_at=int(time.time()))
        worker = fleet.add_worker()
        with LiveScrape(recording, [(WORKER, lambda: worker.probe("/metrics")[1] or None)]) as scrape:
            wait_until(lambda: worker.probe("/readyz")[0] == 200)
            headers = (("content-type", b"image/png"),)
            fleet.submit(*(OutgoingRecord(fleet.jobs_topic, None, label(number), headers) for number in range(4)))
            wait_until(lambda: value_of(worker, "labelwire_commit_failures_total") >= 5)
            scrape.wait(2)
            recording.expect_since(0, *COMMITS)
            # The jobs are done all the same.
            wait_until(lambda: value_of(worker, "labelwire_jobs_total", outcome="completed") == 4)
    recording.verify(promtool, tmp_path)


def test_every_alert_is_provoked(rules: Manifest) -> None:
    provoked = {alert for alerts in (COMMITS, *STORY.values()) for alert in alerts}

    assert provoked == {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
