"""Topics with dead letters on a real broker, and the real command on them."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from tests.dlq.failures import received, written
from tests.real_kafka import recreate_topic
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.admin import TopicSpec, create_topics
from worker.adapters.kafka.offline.bounded_reader import BoundedReader
from worker.adapters.kafka.offline.submit import submit
from worker.dlq.replay.canary import CanaryLimits
from worker.dlq.replay.executor import carry_out
from worker.dlq.replay.phase import StoppableClock
from worker.dlq.replay.plan import ReplayRequest
from worker.dlq.replay.planner import PreparedReplay, ReplayPlanner
from worker.dlq.replay.result import ReplayListener, ReplayParameters, ReplayResult
from worker.dlq.selection import Selection
from worker.domain.errors import ErrorCode
from worker.domain.headers import DEAD_LETTER_PREFIX
from worker.domain.records import Coordinate, Headers, OutgoingRecord, Record
from worker.settings import KafkaSettings, Settings, TopicSettings

PARTITIONS = 4
LABELWIRE = str(Path(sys.executable).with_name("labelwire"))


@dataclass
class Ward:
    """The topics of one test. Jobs are made, not written: only their dead letters stand on the broker."""

    bootstrap_servers: str
    prefix: str = field(default_factory=lambda: f"ward-{uuid.uuid4().hex[:8]}")
    target_partitions: int = PARTITIONS
    target_configs: Mapping[str, str] = field(default_factory=dict)

    @property
    def jobs(self) -> str:
        return f"{self.prefix}-images"

    @property
    def dead_letters(self) -> str:
        return f"{self.jobs}.dlq"

    @property
    def target(self) -> str:
        return f"{self.jobs}.replay"

    @property
    def results(self) -> str:
        return f"{self.prefix}-text"

    def create_topics(self) -> None:
        create_topics(
            self.bootstrap_servers,
            [
                TopicSpec(self.jobs, PARTITIONS),
                TopicSpec(self.results, PARTITIONS),
                TopicSpec(self.dead_letters, PARTITIONS),
                TopicSpec(f"{self.jobs}.parked", 2),
                TopicSpec(f"{self.jobs}.replay-runs", 1, {"cleanup.policy": "compact"}),
                TopicSpec(self.target, self.target_partitions, self.target_configs),
            ],
        )

    def recreate(self, topic: str, partitions: int = PARTITIONS) -> None:
        """Delete a topic and create it again, by a plain client."""
        recreate_topic(AdminClient({"bootstrap.servers": self.bootstrap_servers}), topic, partitions)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "COLUMNS": "200",
            "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "LABELWIRE_TOPICS__JOBS": self.jobs,
            "LABELWIRE_TOPICS__RESULTS": self.results,
            "LABELWIRE_TOPICS__DEAD_LETTERS": self.dead_letters,
        }

    @property
    def settings(self) -> Settings:
        return Settings(
            kafka=KafkaSettings(bootstrap_servers=self.bootstrap_servers),
            topics=TopicSettings(jobs=self.jobs, results=self.results, dead_letters=self.dead_letters),
        )

    def prepare(self, **asked: Any) -> PreparedReplay:  # noqa: ANN401 - the fields of ReplayRequest
        """Plan in this process, without canaries unless they are asked for."""
        fields = {"selection": Selection(), "target": self.target, "max_replays": 3, "canary": False, **asked}
        return ReplayPlanner(self.settings, SystemClock()).prepare(ReplayRequest(**fields))

    def resume(self, run_id: str) -> PreparedReplay:
        return ReplayPlanner(self.settings, SystemClock()).resume(run_id)

    def carry_out(
        self,
        prepared: PreparedReplay,
        *,
        canary: CanaryLimits | None = None,
        rate: float | None = None,
        stop_after: int | None = None,
    ) -> ReplayResult:
        """Replay in this process; it stops by itself once `stop_after` letters are written."""
        done: list[int] = []

        def is_stopped() -> bool:
            return stop_after is not None and sum(done) >= stop_after

        def wait(seconds: float) -> bool:
            time.sleep(seconds)
            return is_stopped()

        listener = ReplayListener(lambda _plan, _done: None, done.append, lambda _outcomes: None)
        timing = StoppableClock(time.monotonic, wait, is_stopped)
        return carry_out(
            self.settings, prepared, ReplayParameters(rate, canary, "test"), listener, SystemClock(), timing
        )

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [LABELWIRE, "dlq", "replay", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def replay(self, *arguments: str) -> "Ended":
        process = self.start(*arguments)
        said, problem = process.communicate(timeout=120)
        return Ended(process.returncode, said, problem)

    def write(self, letters: Iterable[OutgoingRecord]) -> int:
        return submit(self.bootstrap_servers, letters)

    def read(self, topic: str) -> list[Record]:
        """Return what a `read_committed` reader sees."""
        with BoundedReader(self.bootstrap_servers, [topic]) as reader:
            return list(reader)

    def letters(self, jobs: Iterable[Record], code: ErrorCode = ErrorCode.IMAGE_CORRUPT) -> list[OutgoingRecord]:
        return [written(job, code, topic=self.dead_letters) for job in jobs]

    def run_states(self) -> list[tuple[str, str]]:
        documents = [json.loads(record.value or b"") for record in self.read(f"{self.jobs}.replay-runs")]
        return [(each["plan"]["claim"]["run_id"], each["state"]) for each in documents]


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    said: str
    problem: str

    @property
    def document(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.said)


def jobs(topic: str, count: int, keys: int = 40, padding: int = 0) -> list[Record]:
    """Return jobs of many keys, each with bytes of its own, in partitions that no partitioner of ours would choose."""
    return [
        received(
            key=f"key {number % keys}".encode(),
            value=f"picture {number}".encode() + bytes(padding),
            headers=(("content-type", b"image/jpeg"), ("trace", b"\xff\x00" + str(number).encode()), ("trace", b"")),
            coordinate=Coordinate(topic, (number % keys) % PARTITIONS, number),
        )
        for number in range(count)
    ]


def producers_headers(record: Record) -> Headers:
    return tuple((name, value) for name, value in record.headers if not name.startswith("labelwire."))


def assert_each_once_in_order(replayed: list[Record], expected: list[Record], run_id: str) -> None:
    """Fail unless each job stands there once, with its bytes, in its origin's partition, in the order of its key."""
    assert len(replayed) == len(expected)
    by_origin = {record.header("labelwire.origin.offset"): record for record in replayed}
    for job in expected:
        record = by_origin[str(job.coordinate.offset)]
        assert (record.key, record.value) == (job.key, job.value)
        assert producers_headers(record) == job.headers
        assert record.coordinate.partition == job.coordinate.partition
        assert record.header("labelwire.replay.run-id") == run_id
        assert not any(name.startswith(DEAD_LETTER_PREFIX) for name, _ in record.headers)
    for key in {job.key for job in expected}:
        order = [int(r.header("labelwire.origin.offset") or -1) for r in replayed if r.key == key]
        assert order == [job.coordinate.offset for job in expected if job.key == key]
