"""Kafka on the loopback interface: one real broker in KRaft mode, or librdkafka's mock cluster where Java is not.

Both keep their address for life and have the same interface, `Broker`.
"""

import base64
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Protocol, Self

from worker.adapters.kafka.admin import is_reachable
from worker.domain.errors import LocalStackError
from worker.local.folder import RunFolder
from worker.local.process import Command, SupervisedProcess, free_ports, last_lines, start
from worker.local.provision import java, kafka_jars

# A picture of 64 MiB, its headers and the batch around it.
MAX_RECORD_BYTES = 68 * 1024 * 1024
_HEAP_MEBIBYTES = 512
_POLL_SECONDS = 0.1
_SHOWN_LINES = 15
# A worker that was killed here gives its partitions up after 6 seconds; Kafka's own default is 45. A broker that was
# killed is let in again when its own session has ended.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{broker_port},CONTROLLER://127.0.0.1:{controller_port}{proxied_listener}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker_port}{proxied_address}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.consumer.min.session.timeout.ms=3000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=1000
message.max.bytes={max_record_bytes}
replica.fetch.max.bytes={max_record_bytes}
queued.max.request.bytes=209715200
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=1
"""


class Broker(Protocol):
    """What the stack and the tests need of a broker, real or mock."""

    @property
    def kind(self) -> str:
        """`kafka` or `mock`."""

    @property
    def bootstrap_servers(self) -> str:
        """Host and port."""

    @property
    def log_path(self) -> Path:
        """What the broker says."""

    def launch(self) -> None:
        """Start without waiting."""

    def wait_until_ready(self) -> None:
        """Wait until it answers; if it does not, stop it and raise LocalStackError."""

    def stop(self) -> None:
        """Stop and leave nothing behind."""


class KafkaServer:
    """One Apache Kafka broker.

    `run_dir` holds its data and log and may be used again by a later start; without one a temporary folder is used
    and removed by `stop`. `kill` and `restart` keep the data.

    `proxied_at` is the address of a proxy in front of the broker. Clients go where the broker's metadata send them, so
    what passes the proxy needs a listener of its own, which names the proxy's address: `proxied_listener`.
    """

    def __init__(
        self, *, run_dir: Path | None = None, proxied_at: str | None = None, ready_timeout_seconds: float = 60.0
    ) -> None:
        self._folder = RunFolder(run_dir, "kafka")
        self._proxied_at = proxied_at
        self._ready_timeout_seconds = ready_timeout_seconds
        self._ports: list[int] = []
        self._process: SupervisedProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def kind(self) -> str:
        """`kafka`: a real broker."""
        return "kafka"

    @property
    def bootstrap_servers(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._port(0)}"

    @property
    def proxied_listener(self) -> str:
        """Host and port to which the proxy passes connections on."""
        return f"127.0.0.1:{self._port(2)}"

    @property
    def log_path(self) -> Path:
        """What the broker says."""
        return self._folder.path / "kafka.log"

    @property
    def pid(self) -> int:
        """The broker's process."""
        if self._process is None:
            raise LocalStackError("Kafka is not running")
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it answers.

        Raises LocalStackError, with the log's last lines, if it does not in time.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start without waiting; raises LocalStackError without Java or Kafka's jars."""
        command = [str(java()), "-cp", f"{kafka_jars()}/*", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        self._ports = self._ports or free_ports(3)
        self._folder.open()
        properties = self._write_properties()
        if not (self._folder.path / "data" / "meta.properties").exists():
            self._format(command, properties)
        # The quick compiler alone: the broker starts with a third less of the processor and moves bytes as well.
        machine = [f"-Xmx{_HEAP_MEBIBYTES}m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        argv = [command[0], *machine, *command[1:], "kafka.Kafka", str(properties)]
        self._process = start(Command(argv, self.log_path, scratch=self._folder.temporary))

    def wait_until_ready(self) -> None:
        """Wait until it answers; if it does not, stop it and raise LocalStackError."""
        _wait_until_ready(self, self._process, self._ready_timeout_seconds)

    def stop(self) -> None:
        """Stop in an orderly way; a temporary folder goes with it."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._folder.close()

    def kill(self) -> None:
        """Kill the broker as a crash would; its data stays."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Stop, if it runs, and start at the same address with the same data."""
        if self._process is not None:
            self._process.stop()
        self.start()

    def _port(self, index: int) -> int:
        if not self._ports:
            raise LocalStackError("Kafka has not been started, so it has no address yet")
        return self._ports[index]

    def _write_properties(self) -> Path:
        path = self._folder.path / "server.properties"
        broker_port, controller_port, _ = self._ports
        path.write_text(
            _PROPERTIES.format(
                broker_port=broker_port,
                controller_port=controller_port,
                proxied_listener=f",PROXIED://{self.proxied_listener}" if self._proxied_at else "",
                proxied_address=f",PROXIED://{self._proxied_at}" if self._proxied_at else "",
                data=self._folder.path / "data",
                max_record_bytes=MAX_RECORD_BYTES,
            )
        )
        return path

    def _format(self, command: list[str], properties: Path) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With the equals sign, because one id in 64 begins with a dash.
        argv = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(properties)]
        ended = subprocess.run(  # noqa: S603  (fixed arguments)
            [command[0], "-XX:TieredStopAtLevel=1", *command[1:], *argv], capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            raise LocalStackError(f"Kafka's storage could not be laid out: {ended.stderr.strip()}")


class MockKafka:
    """librdkafka's mock cluster in a process of its own: no Java, all in memory, four partitions a topic."""

    def __init__(self, *, run_dir: Path | None = None, ready_timeout_seconds: float = 20.0) -> None:
        self._folder = RunFolder(run_dir, "kafka")
        self._ready_timeout_seconds = ready_timeout_seconds
        self._process: SupervisedProcess | None = None

    def __enter__(self) -> Self:
        self.launch()
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def kind(self) -> str:
        """`mock`: nothing is kept."""
        return "mock"

    @property
    def bootstrap_servers(self) -> str:
        """Host and port."""
        said = self.log_path.read_text().splitlines()
        address = next((line for line in said if line.startswith("127.0.0.1:")), None)
        if address is None:
            raise LocalStackError("the mock cluster has no address yet")
        return address

    @property
    def log_path(self) -> Path:
        """What the mock cluster says, its address among it."""
        return self._folder.path / "mock-kafka.log"

    def launch(self) -> None:
        """Start without waiting."""
        self._folder.open()
        self.log_path.write_text("")
        argv = [sys.executable, "-m", "worker.adapters.kafka.mock_cluster"]
        self._process = start(Command(argv, self.log_path, grace_seconds=3, scratch=self._folder.temporary))

    def wait_until_ready(self) -> None:
        """Wait until it answers; if it does not, stop it and raise LocalStackError."""
        _wait_until_ready(self, self._process, self._ready_timeout_seconds)

    def stop(self) -> None:
        """Stop; what was in it is gone."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._folder.close()


def _answers(broker: Broker) -> bool:
    try:
        return is_reachable(broker.bootstrap_servers)
    except LocalStackError:
        return False


def _wait_until_ready(broker: Broker, process: SupervisedProcess | None, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not _answers(broker):
        exited = process is None or process.exit_status is not None
        if exited or time.monotonic() > deadline:
            said = last_lines(broker.log_path, _SHOWN_LINES)
            broker.stop()
            reason = "ended" if exited else f"did not answer in {timeout_seconds:.0f} s"
            raise LocalStackError(f"Kafka {reason}; its last words:\n{said}")
        time.sleep(_POLL_SECONDS)
