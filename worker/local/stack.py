"""The embedded stack as one thing: a broker and a Triton server, started side by side."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from worker.adapters.kafka.admin import TopicSpec, create_topics
from worker.adapters.kafka.topics import topic_specs
from worker.domain.errors import LocalStackError
from worker.local.kafka import MAX_RECORD_BYTES, Broker, KafkaServer, MockKafka
from worker.local.progress import announce, progress
from worker.local.provision import check_triton_platform, java, kafka_jars, python_environment
from worker.local.triton import TritonServer
from worker.settings import TopicSettings

PARTITIONS = 8
DEFAULT_TOPICS = tuple(topic_specs(TopicSettings(), PARTITIONS, MAX_RECORD_BYTES))


class LocalStack:
    """A broker and a Triton server for as long as the `with` block lasts.

    `model_repository` is one or more, as TritonServer takes them. `run_dir` takes logs and data; without one they are
    temporary. `real_kafka=False` asks for the mock cluster.
    """

    def __init__(
        self,
        model_repository: Path | Sequence[Path],
        *,
        run_dir: Path | None = None,
        profile: str | None = None,
        real_kafka: bool = True,
    ) -> None:
        self._model_repository = model_repository
        self._run_dir = run_dir
        self._profile = profile
        self._real_kafka = real_kafka
        self._kafka: Broker | None = None
        self._triton: TritonServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def kafka(self) -> Broker:
        """The broker."""
        if self._kafka is None:
            raise LocalStackError("the local stack was not started")
        return self._kafka

    @property
    def triton(self) -> TritonServer:
        """The Triton server."""
        if self._triton is None:
            raise LocalStackError("the local stack was not started")
        return self._triton

    @property
    def kafka_kind(self) -> str:
        """`kafka` for a real broker, `mock` for librdkafka's mock cluster."""
        return self.kafka.kind

    @property
    def bootstrap_servers(self) -> str:
        """The broker's host and port."""
        return self.kafka.bootstrap_servers

    @property
    def triton_grpc_url(self) -> str:
        """Host and port."""
        return self.triton.grpc_url

    @property
    def triton_http_url(self) -> str:
        """With `http://`."""
        return self.triton.http_url

    @property
    def triton_metrics_url(self) -> str:
        """The page of Triton's metrics."""
        return self.triton.metrics_url

    def start(self) -> None:
        """Fetch what is missing, start both and wait until both answer.

        Raises LocalStackError; nothing runs then.
        """
        provision_triton()
        self._kafka = choose_broker(run_dir=self._run_dir, real=self._real_kafka)
        self._triton = TritonServer(self._model_repository, run_dir=self._run_dir, profile=self._profile)
        try:
            with progress("Starting Kafka and Triton"):
                self._triton.launch()
                self._kafka.launch()
                self._kafka.wait_until_ready()
                self._triton.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both."""
        try:
            if self._triton is not None:
                self._triton.stop()
        finally:
            if self._kafka is not None:
                self._kafka.stop()

    def ensure_topics(self, topics: Iterable[TopicSpec] = DEFAULT_TOPICS) -> None:
        """Create the topics that do not exist."""
        create_topics(self.bootstrap_servers, topics)


def provision_triton() -> None:
    """Fetch Triton's environment if it is missing; raises LocalStackError where Triton cannot run."""
    check_triton_platform()
    python_environment("triton")


def provision_kafka() -> None:
    """Find Java and fetch Kafka if it is missing; raises LocalStackError where it cannot be had."""
    kafka_jars()
    java()


def choose_broker(*, run_dir: Path | None = None, real: bool = True) -> Broker:
    """Choose a broker, not yet started: a real one, or the mock cluster, saying why, where Kafka cannot be had."""
    if real:
        try:
            provision_kafka()
        except LocalStackError as error:
            announce(f"No Apache Kafka here, so librdkafka's mock cluster takes its place: {error}")
        else:
            return KafkaServer(run_dir=run_dir)
    return MockKafka(run_dir=run_dir)
