"""Kafka on the loopback interface: one real broker in KRaft mode, or librdkafka's mock cluster where Java is not.

Both keep their address for life and have the same interface, `Broker`.
"""

import base64
import subprocess
import sys
import uuid
from abc import abstractmethod
from pathlib import Path

from worker.adapters.kafka.admin import is_reachable
from worker.domain.errors import LocalStackError
from worker.local.process import Command
from worker.local.provision import java, kafka_jars
from worker.local.server import LocalServer

# A picture of 64 MiB, its headers and the batch around it.
MAX_RECORD_BYTES = 68 * 1024 * 1024
_HEAP_MEBIBYTES = 512
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


class Broker(LocalServer):
    """What the stack and the tests need of a broker, real or mock."""

    title = "Kafka"

    @property
    @abstractmethod
    def kind(self) -> str:
        """`kafka` or `mock`."""

    @property
    @abstractmethod
    def bootstrap_servers(self) -> str:
        """Host and port. Raises LocalStackError before the start."""

    def is_ready(self) -> bool:
        """Whether it answers now."""
        try:
            return is_reachable(self.bootstrap_servers)
        except LocalStackError:
            return False


class KafkaServer(Broker):
    """One Apache Kafka broker; its folder holds its data.

    `proxied_at` is the address of a proxy in front of the broker. Clients go where the broker's metadata send them, so
    what passes the proxy needs a listener of its own, which names the proxy's address: `proxied_listener`.
    """

    name = "kafka"
    port_count = 3

    def __init__(
        self, *, run_dir: Path | None = None, proxied_at: str | None = None, ready_timeout_seconds: float = 60.0
    ) -> None:
        super().__init__(run_dir, ready_timeout_seconds)
        self._proxied_at = proxied_at

    @property
    def kind(self) -> str:
        """`kafka`: a real broker."""
        return "kafka"

    @property
    def bootstrap_servers(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._port()}"

    @property
    def proxied_listener(self) -> str:
        """Host and port to which the proxy passes connections on."""
        return f"127.0.0.1:{self._port(2)}"

    def _provision(self) -> None:
        java()
        kafka_jars()

    def _command(self) -> Command:
        command = [str(java()), "-cp", f"{kafka_jars()}/*", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        properties = self._write_properties()
        if not (self._folder.path / "data" / "meta.properties").exists():
            self._format(command, properties)
        # The quick compiler alone: the broker starts with a third less of the processor and moves bytes as well.
        machine = [f"-Xmx{_HEAP_MEBIBYTES}m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        argv = [command[0], *machine, *command[1:], "kafka.Kafka", str(properties)]
        return Command(argv, self.log_path, scratch=self._folder.temporary)

    def _write_properties(self) -> Path:
        path = self._folder.path / "server.properties"
        broker_port, controller_port = self._ports[:2]
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
        # With the equals sign, because one id in 64 begins with a dash.
        argv = ["kafka.tools.StorageTool", "format", f"--cluster-id={self._cluster_id()}", "-c", str(properties)]
        ended = subprocess.run(  # noqa: S603  (fixed arguments)
            [command[0], "-XX:TieredStopAtLevel=1", *command[1:], *argv], capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            raise LocalStackError(f"Kafka's storage could not be laid out: {ended.stderr.strip()}")

    def _cluster_id(self) -> str:
        return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


class MockKafka(Broker):
    """librdkafka's mock cluster in a process of its own: no Java, all in memory, four partitions a topic."""

    name = "mock-kafka"
    port_count = 0  # it takes one itself, and says which

    def __init__(self, *, run_dir: Path | None = None, ready_timeout_seconds: float = 20.0) -> None:
        super().__init__(run_dir, ready_timeout_seconds)

    @property
    def kind(self) -> str:
        """`mock`: nothing is kept."""
        return "mock"

    @property
    def bootstrap_servers(self) -> str:
        """Host and port."""
        output = self.log_path.read_text().splitlines()
        address = next((line for line in output if line.startswith("127.0.0.1:")), None)
        if address is None:
            raise LocalStackError("the mock cluster has no address yet")
        return address

    def _provision(self) -> None:
        """Need nothing: librdkafka has it."""

    def _command(self) -> Command:
        self.log_path.write_text("")
        argv = [sys.executable, "-m", "worker.adapters.kafka.mock_cluster"]
        return Command(argv, self.log_path, grace_seconds=3, scratch=self._folder.temporary)
