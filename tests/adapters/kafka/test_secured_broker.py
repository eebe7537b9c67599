"""What keeps a worker from its topics is named, stops it without loss, and is over by itself once it is mended.

The broker is a real one that knows its users; the worker's Kafka is real, its Triton is not. Jobs are sent and results
read by plain clients.
"""

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined]
from pydantic import SecretStr

from tests.adapters.blob.https_server import make_certificate, make_dated_certificate
from tests.adapters.kafka.secured_broker import PASSWORD, USER, SecuredKafka
from tests.adapters.kafka.token_server import TokenServer
from tests.real_kafka import demand_real_kafka
from tests.runtime.parts import PICTURE
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.admin import connected, create_topics
from worker.adapters.kafka.offline.bounded_reader import BoundedReader
from worker.adapters.kafka.offline.group_view import KafkaGroupView
from worker.adapters.kafka.offline.submit import submit
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.adapters.kafka.permissions import KafkaAccess
from worker.adapters.kafka.sink import KafkaSink
from worker.adapters.kafka.source import KafkaSource
from worker.adapters.kafka.topics import topic_specs
from worker.adapters.kafka.validate import validate_options
from worker.bootstrap import Ports, Worker, build, check_cluster
from worker.domain.errors import BrokerError
from worker.domain.records import OutgoingRecord
from worker.settings import KafkaSettings, LimitSettings, RuntimeSettings, Settings, TopicSettings
from worker.testing.backend import FakeBackend
from worker.testing.blob import MemoryBlobStore
from worker.testing.events import RecordedEvents
from worker.testing.isolation import FakeIsolation

pytestmark = pytest.mark.real

READ, WRITE, DESCRIBE_CONFIGS = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS
TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    demand_real_kafka()
    with SecuredKafka(run_dir=tmp_path_factory.mktemp("secured-kafka")) as server:
        yield server


def client(**more: str) -> dict[str, str]:
    """Return the options of the user, with more."""
    options = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": USER,
        "sasl.password": PASSWORD,
    }
    return options | {name.replace("_", "."): value for name, value in more.items()}


@dataclass
class Deployment:
    """Topics and a group of their own, on which the user has all rights that a worker needs."""

    secured: SecuredKafka
    prefix: str = field(default_factory=lambda: f"s{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.topics = TopicSettings(
            jobs=f"{self.prefix}-jobs", results=f"{self.prefix}-text", dead_letters=f"{self.prefix}-dlq"
        )
        create_topics(self.secured.bootstrap_servers, topic_specs(self.topics, 1, 8 * 2**20))
        topics = self.topics
        for name in (topics.jobs, *topics.retry_topics, topics.replay_topic):
            self.secured.allow(TOPIC, name, READ)
        for name in (topics.results, topics.dead_letters, *topics.retry_topics):
            self.secured.allow(TOPIC, name, WRITE)
        self.secured.allow(GROUP, self.prefix, READ)

    def settings(self, group_protocol: str = "auto") -> Settings:
        return Settings(
            kafka=KafkaSettings.model_validate(
                {
                    "bootstrap_servers": self.secured.sasl,
                    "group_id": self.prefix,
                    "group_protocol": group_protocol,
                    "client": client(),
                }
            ),
            topics=self.topics,
            runtime=RuntimeSettings(readiness_interval_seconds=0.3, drain_seconds=3),
        )

    def submit(self, *values: bytes) -> None:
        producer = Producer({"bootstrap.servers": self.secured.bootstrap_servers})
        for number, value in enumerate(values):
            headers: list[tuple[str, str | bytes | None]] = [
                ("content-type", b"image/png"),
                ("job-id", str(number).encode()),
            ]
            producer.produce(self.topics.jobs, value, headers=headers)
        assert producer.flush(20) == 0

    def read(self, topic: str) -> list[bytes]:
        """Return what stands on a topic of one partition now."""
        consumer = Consumer({"bootstrap.servers": self.secured.bootstrap_servers, "group.id": "anybody"})
        _, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        values: list[bytes] = []
        while len(values) < high:
            message = consumer.poll(5)
            assert message is not None
            value = message.value() or b""
            values.append(value if isinstance(value, bytes) else value.encode())
        consumer.close()
        return values


@pytest.fixture
def deployment(secured: SecuredKafka) -> Deployment:
    return Deployment(secured)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[Worker]:
    """Run a worker with real Kafka clients in this process."""
    events, clock, topics = RecordedEvents(), SystemClock(), settings.topics
    source = KafkaSource(
        settings.kafka,
        [topics.jobs, *topics.retry_topics, topics.replay_topic],
        delayed_topics=topics.retry_topics,
        drain_seconds=3,
        clock=clock,
        event_sink=events,
    )
    sink, stopping = KafkaSink(settings.kafka), asyncio.Event()
    isolation = FakeIsolation(lambda _record, _attempt: pytest.fail("no suspects here"))
    ports = Ports(
        source,
        sink,
        FakeBackend(),
        isolation,
        clock,
        events,
        MemoryBlobStore(),
        access=KafkaAccess(settings.kafka, lambda: source.is_group_denied),
    )
    with ThreadPoolExecutor(2) as executor:
        worker = build(settings, ports, executor)
        life = asyncio.create_task(worker.lifecycle.run(stopping))
        try:
            yield worker
            assert not life.done(), "it lives on"
        finally:
            stopping.set()
            await life
            await worker.guard.close()
            await sink.close()


async def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.1)


def spoil_results(it: Deployment) -> tuple[ResourceType, str, AclOperation]:
    return TOPIC, it.topics.results, WRITE


def spoil_letters(it: Deployment) -> tuple[ResourceType, str, AclOperation]:
    return TOPIC, it.topics.dead_letters, WRITE


def spoil_retries(it: Deployment) -> tuple[ResourceType, str, AclOperation]:
    return TOPIC, it.topics.retry_topics[0], WRITE


def spoil_jobs(it: Deployment) -> tuple[ResourceType, str, AclOperation]:
    return TOPIC, it.topics.jobs, READ


def spoil_group(it: Deployment) -> tuple[ResourceType, str, AclOperation]:
    return GROUP, it.prefix, READ


def spoil_group_but_for_describing(it: Deployment) -> tuple[ResourceType, str, AclOperation]:
    it.secured.allow(GROUP, it.prefix, AclOperation.DESCRIBE)
    return spoil_group(it)


@pytest.mark.parametrize(
    ("spoil", "protocol"),
    [
        (spoil_results, "auto"),
        (spoil_letters, "auto"),
        (spoil_retries, "auto"),
        (spoil_jobs, "auto"),
        (spoil_jobs, "classic"),
        (spoil_group, "auto"),
        (spoil_group, "classic"),
        (spoil_group_but_for_describing, "auto"),
        (spoil_group_but_for_describing, "classic"),
    ],
)
async def test_a_right_that_goes_while_it_works_is_named_and_nothing_is_lost(
    deployment: Deployment, spoil: Callable[[Deployment], tuple[ResourceType, str, AclOperation]], protocol: str
) -> None:
    kind, name, operation = spoil(deployment)
    async with working(deployment.settings(protocol)) as worker:
        await until(lambda: worker.health.ready)
        await asyncio.to_thread(deployment.secured.forbid, kind, name, operation)
        await asyncio.to_thread(deployment.submit, PICTURE, b"no picture")
        await until(lambda: not worker.health.ready)
        named = f"Kafka does not let user {USER!r} {operation.name.capitalize()} {kind.name.lower()} {name}: grant it"
        await until(lambda: named in worker.health.reason)
        assert worker.health.alive
        await asyncio.to_thread(deployment.secured.allow, kind, name, operation)
        await until(lambda: worker.health.ready)
        await until(lambda: len(deployment.read(deployment.topics.results)) == 1)
        await until(lambda: len(deployment.read(deployment.topics.dead_letters)) == 1)
    assert deployment.read(deployment.topics.dead_letters) == [b"no picture"]


def over_tls(secured: SecuredKafka, **more: str) -> dict[str, str]:
    return client(**{"security_protocol": "SASL_SSL", "ssl_ca_location": str(secured.authority), **more})


def test_what_is_wrong_with_a_connection_is_told_apart(secured: SecuredKafka, tmp_path: Path) -> None:
    assert connected(f"localhost:{secured.tls_port}", over_tls(secured)).list_topics(timeout=5)
    other = make_certificate(tmp_path).certificate
    refusals = {
        "password": refusal(secured.sasl, client() | {"sasl.password": "guessed"}),
        "user": refusal(secured.sasl, client(sasl_username="nobody")),
        "mechanism": refusal(secured.sasl, client(sasl_mechanisms="SCRAM-SHA-256")),
        "authority": refusal(f"localhost:{secured.tls_port}", over_tls(secured, ssl_ca_location=str(other))),
        "name": refusal(f"127.0.0.1:{secured.tls_port}", over_tls(secured)),
        "protocol": refusal(secured.sasl, over_tls(secured)),
        "address": refusal("no-such-host.invalid:9092", client()),
        "nobody": refusal("127.0.0.1:9", client()),
    }
    begins = {
        "password": f"Kafka refuses user 'reader' at {secured.sasl} (SASL: Authentication failed: Invalid username",
        "user": f"Kafka refuses user 'nobody' at {secured.sasl} (SASL: Authentication failed: Invalid username",
        "mechanism": f"Kafka at {secured.sasl} has no SASL mechanism 'SCRAM-SHA-256'",
        "authority": f"The certificate of Kafka at localhost:{secured.tls_port} is not signed by an authority that is",
        "name": f"The certificate of Kafka at 127.0.0.1:{secured.tls_port} is for another host name",
        "protocol": f"Kafka at {secured.sasl} ended the connection",
        "address": "Kafka's address in LABELWIRE_KAFKA__BOOTSTRAP_SERVERS='no-such-host.invalid:9092' cannot be",
        "nobody": "Kafka at 127.0.0.1:9 does not answer (Connect to ipv4#127.0.0.1:9 failed: Connection refused)",
    }
    for name, sentence in refusals.items():
        assert sentence.startswith(begins[name]), sentence
        assert "LABELWIRE_KAFKA__" in sentence or name == "nobody", sentence
        assert sentence.count("\n") == 0
        assert PASSWORD not in sentence
        assert "guessed" not in sentence
    assert "LABELWIRE_KAFKA__CLIENT__SASL_PASSWORD." in refusals["password"]
    assert f"LABELWIRE_KAFKA__CLIENT__SSL_CA_LOCATION={str(other)!r}" in refusals["authority"]


def over_mutual_tls(secured: SecuredKafka, certificate: Path | None = None, key: Path | None = None) -> dict[str, str]:
    shown = {"ssl.certificate.location": str(certificate), "ssl.key.location": str(key)} if certificate else {}
    return {"security.protocol": "SSL", "ssl.ca.location": str(secured.authority), **shown}


def test_what_is_wrong_with_a_certificate_is_told_apart(secured: SecuredKafka, tmp_path: Path) -> None:
    now, day = datetime.now(UTC), timedelta(days=1)
    folder, where = secured.authority.parent, f"localhost:{secured.mutual_port}"
    sound = make_dated_certificate(folder, now - day, now + 2 * day)
    old = make_dated_certificate(folder, now - 9 * day, now - 2 * day)
    other = make_certificate(tmp_path)
    assert connected(where, over_mutual_tls(secured, sound.certificate, sound.key)).list_topics(timeout=5)
    in_place = over_mutual_tls(secured) | {"ssl.certificate.pem": old.certificate.read_text()}
    in_place["ssl.key.pem"] = old.key.read_text()
    refusals = {
        "expired": refusal(f"localhost:{secured.expired_port}", over_mutual_tls(secured)),
        "early": refusal(f"localhost:{secured.early_port}", over_mutual_tls(secured)),
        "none": refusal(where, over_mutual_tls(secured)),
        "a stranger's": refusal(where, over_mutual_tls(secured, other.certificate, other.key)),
        "old": refusal(where, over_mutual_tls(secured, old.certificate, old.key)),
        "in place": refusal(where, in_place),
        "of another key": refusal(where, over_mutual_tls(secured, sound.certificate, other.key)),
        "missing": refusal(where, over_mutual_tls(secured) | {"ssl.ca.location": "/none.pem"}),
    }
    setting = "LABELWIRE_KAFKA__CLIENT__SSL_"
    refused = f"Kafka at {where} refuses this client's certificate, {setting}CERTIFICATE"
    begins = {
        "expired": f"The certificate of Kafka at localhost:{secured.expired_port}, or of its authority, has expired",
        "early": f"The certificate of Kafka at localhost:{secured.early_port}, or of its authority, is not valid yet",
        "none": f"Kafka at {where} wants a certificate of its clients, and this one has none (",
        "a stranger's": f"{refused}_LOCATION='{tmp_path}",
        "old": f"{refused}_LOCATION='{folder}",
        "in place": f"{refused}_PEM (",
        "of another key": f"{setting}KEY_LOCATION='{other.key}' cannot be used (",
        "missing": f"{setting}CA_LOCATION='/none.pem' cannot be used (",
    }
    assert {what: sentence[: len(begins[what])] for what, sentence in refusals.items()} == begins
    for sentence in refusals.values():
        assert sentence.count("\n") == 0
        assert "PRIVATE" not in sentence


def refusal(bootstrap_servers: str, options: dict[str, str]) -> str:
    with pytest.raises(BrokerError) as caught:
        connected(bootstrap_servers, options, timeout_seconds=1)
    return str(caught.value)


def test_scram_and_tokens_are_let_in_and_their_refusals_are_told_apart(secured: SecuredKafka) -> None:
    secured.add_scram_user("ocr", PASSWORD)
    scram = over_tls(secured, sasl_mechanisms="SCRAM-SHA-512", sasl_username="ocr")
    where = f"localhost:{secured.tls_port}"
    assert connected(where, scram).list_topics(timeout=5)
    assert refusal(where, scram | {"sasl.password": "guessed"}).startswith(f"Kafka refuses user 'ocr' at {where} (SASL")
    assert "SASL_MECHANISM" in refusal(where, scram | {"sasl.mechanisms": "SCRAM-SHA-256"})
    where = f"localhost:{secured.token_port}"
    with TokenServer("ocr", PASSWORD) as tokens:
        bearer = {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanisms": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": "ocr",
            "sasl.oauthbearer.client.secret": PASSWORD,
            "sasl.oauthbearer.token.endpoint.url": tokens.url,
        }
        validate_options(KafkaSettings.model_validate({"bootstrap_servers": where, "client": bearer}))
        assert connected(where, bearer).list_topics(timeout=5)
        denied = refusal(where, bearer | {"sasl.oauthbearer.client.secret": "guessed"})
    away = refusal(where, bearer)
    for sentence in (denied, away):
        assert sentence.startswith(f"Kafka at {where} gets no token that it accepts (SASL: ")
        assert "LABELWIRE_KAFKA__CLIENT__SASL_OAUTHBEARER_*" in sentence
        assert "guessed" not in sentence
        assert PASSWORD not in sentence


async def test_a_wrong_password_makes_a_worker_unready_and_is_named(deployment: Deployment) -> None:
    settings = deployment.settings()
    wrong = settings.kafka.model_copy(
        update={"client": settings.kafka.client | {"sasl.password": SecretStr("guessed")}}
    )
    async with working(settings.model_copy(update={"kafka": wrong})) as worker:
        await until(lambda: f"topics: Kafka refuses user {USER!r} at {deployment.secured.sasl}" in worker.health.reason)
        assert worker.health.alive


def test_a_command_says_what_is_wrong_in_one_sentence(deployment: Deployment) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": deployment.secured.sasl,
        **{f"LABELWIRE_KAFKA__CLIENT__{name.replace('.', '_')}".upper(): text for name, text in client().items()},
        "LABELWIRE_KAFKA__CLIENT__SASL_PASSWORD": "guessed",
    }
    command = [sys.executable, "-m", "worker", "dlq", "ls"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Kafka refuses user {USER!r} at {deployment.secured.sasl}")
    assert len(ended.stderr.splitlines()) == 1


def test_tools_name_the_right_that_is_missing(deployment: Deployment) -> None:
    topics, settings = deployment.topics, deployment.settings()
    where, options = settings.kafka.bootstrap_servers, settings.kafka.client_options()
    job = OutgoingRecord(topics.jobs, None, PICTURE, ())
    tools: list[tuple[Callable[[], object], str]] = [
        (lambda: KafkaGroupView(settings.kafka).partitions([topics.results]), "Read"),
        (lambda: BoundedReader(where, [topics.dead_letters], options), "Read"),
        (lambda: TopicReader(where, [topics.dead_letters], options), "Read"),
        (lambda: submit(where, [job], options), "Write"),
        (lambda: asyncio.run(check_cluster(settings.model_copy(update={"topics": TopicSettings()}))), "Read"),
    ]
    # Who may write a topic may see that it is there.
    deployment.secured.forbid(TOPIC, topics.results, WRITE)
    deployment.secured.forbid(TOPIC, topics.dead_letters, WRITE)
    for use, operation in tools:
        with pytest.raises(BrokerError, match=f"Kafka does not let user {USER!r} {operation} topic "):
            use()


async def test_good_jobs_pass_bad_ones_that_wait_for_the_limit(deployment: Deployment) -> None:
    bad = [b"no picture %d" % number for number in range(40)]
    await asyncio.to_thread(deployment.submit, *bad, PICTURE, PICTURE)
    results, letters = deployment.topics.results, deployment.topics.dead_letters
    limited = deployment.settings().model_copy(update={"limits": LimitSettings(dead_letters_per_minute=20)})
    async with working(limited) as worker:
        await until(lambda: len(deployment.read(results)) == 2)
        await until(lambda: len(deployment.read(letters)) == 20)
        await until(lambda: "20 bad jobs wait for the limit of 20 dead letters a minute" in worker.health.notice)
        assert worker.health.ready
    async with working(deployment.settings()):
        await until(lambda: len(deployment.read(letters)) == len(bad))
    assert sorted(deployment.read(letters)) == sorted(bad)
    assert len(deployment.read(results)) == 2
