"""Real workers, as processes, on a real Kafka and a real Triton."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from worker.adapters.kafka.admin import create_topics
from worker.adapters.kafka.offline.submit import submit
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.adapters.kafka.topics import topic_specs
from worker.domain.records import OutgoingRecord, Record
from worker.local.process import free_ports
from worker.settings import TopicSettings

MAX_BYTES = 8 * 1024 * 1024


@dataclass
class WorkerProcess:
    """A `labelwire run` of its own."""

    environment: dict[str, str]
    log_path: Path
    process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).with_name("labelwire")), "run"], env=self.environment, stdout=log, stderr=log
            )

    def terminate(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def probe(self, path: str) -> tuple[int, str]:
        """Return the status and the text of a probe; 0 while nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.environment['LABELWIRE_HTTP__PORT']}{path}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except urllib.error.URLError:
            return 0, ""


@dataclass
class Fleet:
    """Topics of their own, the workers on them, and what came out."""

    bootstrap_servers: str
    triton_url: str
    folder: Path
    prefix: str = field(default_factory=lambda: f"fleet-{uuid.uuid4().hex[:8]}")
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def jobs_topic(self) -> str:
        return f"{self.prefix}-images"

    @property
    def results_topic(self) -> str:
        return f"{self.prefix}-text"

    @property
    def dead_letters_topic(self) -> str:
        return f"{self.prefix}-dlq"

    def create_topics(self) -> None:
        topics = TopicSettings(jobs=self.jobs_topic, results=self.results_topic, dead_letters=self.dead_letters_topic)
        create_topics(self.bootstrap_servers, topic_specs(topics, 8, MAX_BYTES))

    def add_worker(self, **more: str) -> WorkerProcess:
        """Start a worker, with more in its environment."""
        environment = {
            "PATH": "/usr/bin:/bin",
            "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "LABELWIRE_KAFKA__GROUP_ID": self.prefix,
            "LABELWIRE_TOPICS__JOBS": self.jobs_topic,
            "LABELWIRE_TOPICS__RESULTS": self.results_topic,
            "LABELWIRE_TOPICS__DEAD_LETTERS": self.dead_letters_topic,
            "LABELWIRE_TRITON__URL": self.triton_url,
            "LABELWIRE_HTTP__HOST": "127.0.0.1",
            "LABELWIRE_HTTP__PORT": str(free_ports(1)[0]),
            "LABELWIRE_RUNTIME__READINESS_INTERVAL_SECONDS": "0.5",
            **more,
        }
        worker = WorkerProcess(environment, self.folder / f"worker-{len(self.workers)}.log")
        worker.start()
        self.workers.append(worker)
        return worker

    def submit(self, *records: OutgoingRecord) -> None:
        assert submit(self.bootstrap_servers, records) == len(records)

    def reader(self, *topics: str) -> TopicReader:
        return TopicReader(self.bootstrap_servers, topics)

    def stop(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()


def read_until(reader: TopicReader, done: Callable[[list[Record]], bool], timeout_seconds: float = 120) -> list[Record]:
    """Read until `done` says so of what was read, or fail."""
    records: list[Record] = []
    deadline = time.monotonic() + timeout_seconds
    while not done(records):
        assert time.monotonic() < deadline, f"only {len(records)} records came in {timeout_seconds} seconds"
        record = reader.poll(0.2)
        if record is not None:
            records.append(record)
    return records


def wait_until(done: Callable[[], bool], timeout_seconds: float = 60) -> None:
    """Wait for something outside, or fail."""
    deadline = time.monotonic() + timeout_seconds
    while not done():
        assert time.monotonic() < deadline, f"it did not happen within {timeout_seconds} seconds"
        time.sleep(0.1)
