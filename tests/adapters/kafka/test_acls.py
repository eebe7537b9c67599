"""Each role does its work with exactly the rights that `labelwire topics acls` lists, on a real broker.

With any one of the needed rights taken away, the role's command says in a sentence which one is missing.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner, Result

from tests.adapters.kafka.secured_broker import PASSWORD, REQUEST_BYTES, USER, SecuredKafka
from tests.adapters.kafka.token_server import TokenServer
from tests.dlq.letters import job, written
from tests.real_kafka import demand_real_kafka
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.acls import ResourceKind, Right, Role, role_rights
from worker.adapters.kafka.admin import create_topics, describe_topics
from worker.adapters.kafka.offline.standalone import standalone_consumer
from worker.adapters.kafka.topics import topic_specs
from worker.adapters.kafka.transactions import KafkaTransactions
from worker.cli import _app
from worker.domain.errors import JobError, LabelwireError
from worker.domain.headers import REPLAY_COUNT
from worker.domain.records import CommitPoint, Coordinate, OutgoingRecord, TopicPartition
from worker.domain.rollout.state import Mode, RolloutLimits
from worker.rollouts.control import RolloutControl, RolloutOrder
from worker.settings import KafkaSettings, Settings, load

pytestmark = pytest.mark.real

_ANSWER_SECONDS = 10.0


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    demand_real_kafka()
    with SecuredKafka(run_dir=tmp_path_factory.mktemp("acls-kafka")) as server:
        yield server


class Ward:
    """A deployment whose only user has the rights that it is given here."""

    def __init__(self, secured: SecuredKafka) -> None:
        self.secured = secured
        self.name = f"a{uuid.uuid4().hex[:8]}"
        self.environment = {
            "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": secured.sasl,
            "LABELWIRE_KAFKA__GROUP_ID": self.name,
            "LABELWIRE_KAFKA__CLIENT__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "LABELWIRE_KAFKA__CLIENT__SASL_MECHANISMS": "PLAIN",
            "LABELWIRE_KAFKA__CLIENT__SASL_USERNAME": USER,
            "LABELWIRE_KAFKA__CLIENT__SASL_PASSWORD": PASSWORD,
            "LABELWIRE_TOPICS__JOBS": self.name,
            "LABELWIRE_TOPICS__RESULTS": f"{self.name}.text",
            "LABELWIRE_TOPICS__DEAD_LETTERS": f"{self.name}.dlq",
            "LABELWIRE_RUNTIME__DELIVERY": "exactly-once",
        }
        self._producer = Producer({"bootstrap.servers": secured.bootstrap_servers})

    @property
    def settings(self) -> Settings:
        return load(self.environment)

    def needed(self, role: Role) -> list[Right]:
        return [right for right in role_rights(self.settings, role).rights if not right.optional]

    def create_topics(self) -> None:
        create_topics(self.secured.bootstrap_servers, topic_specs(self.settings.topics, 1, 10**6))

    def put(self, *records: OutgoingRecord) -> None:
        for record in records:
            self._producer.produce(record.topic, record.value, record.key, headers=list(record.headers))
        assert self._producer.flush(_ANSWER_SECONDS) == 0

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(_app, arguments, env=self.environment)


@pytest.fixture
def ward(secured: SecuredKafka) -> Ward:
    ward = Ward(secured)
    ward.create_topics()
    return ward


def hold(ward: Ward, rights: Sequence[Right], command: Callable[[Right | None], Result]) -> Result:
    """Take each right away in turn, and see it named; then see the command work with all of them.

    `command` is given the right that is missing, None at last.
    """
    ward.secured.grant(rights)
    try:
        for right in rights:
            ward.secured.take([right])
            said = str(_until_refused(command, right).exception)
            ward.secured.grant([right])
            kind, star = right.kind.replace("-", " "), "*" if right.is_prefix else ""
            assert f"Kafka does not let user {USER!r} {right.operation} {kind} {right.name}{star}: grant it" in said
            assert f"--operation {right.operation} " in said
        ended = command(None)
        assert ended.exit_code == 0, (ended.exception, ended.stdout)
        return ended
    finally:
        ward.secured.take(rights)


def _until_refused(command: Callable[[Right | None], Result], right: Right) -> Result:
    """Run it until it fails: a broker learns of a change of rights a moment later."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    while not isinstance((ended := command(right)).exception, LabelwireError):
        assert time.monotonic() < deadline, (right, ended.stdout)
    return ended


def test_a_producer(ward: Ward, tmp_path_factory: pytest.TempPathFactory) -> None:
    picture = tmp_path_factory.mktemp("pictures") / "label.png"
    picture.write_bytes(b"picture")
    hold(ward, ward.needed(Role.PRODUCER), lambda _missing: ward.run("submit", str(picture)))


def test_a_reader_of_results(ward: Ward) -> None:
    ward.put(OutgoingRecord(ward.settings.topics.results, b"key", b"{}", ()))
    hold(ward, ward.needed(Role.READER), lambda _missing: ward.run("tail", "--limit", "1"))


def test_an_auditor(ward: Ward) -> None:
    hold(ward, ward.needed(Role.AUDIT), lambda _missing: ward.run("audit"))


def test_a_reader_of_dead_letters(ward: Ward) -> None:
    topics = ward.settings.topics
    for topic in (topics.dead_letters, topics.parked_topic):
        ward.put(written(job(1), topic=topic))

    def list_letters(missing: Right | None) -> Result:
        return ward.run("dlq", "ls", "--topic", missing.name if missing else topics.dead_letters)

    hold(ward, ward.needed(Role.DEAD_LETTERS), list_letters)


def test_a_payload_that_stayed_at_its_source_names_the_right_that_it_takes(ward: Ward) -> None:
    """The right is optional: all other letters are read without it."""
    topics = ward.settings.topics
    at_source = replace(job(0, b"picture"), coordinate=Coordinate(topics.jobs, 0, 0))
    ward.put(OutgoingRecord(topics.jobs, b"key", b"picture", ()))
    ward.put(written(at_source, topic=topics.dead_letters, max_message_bytes=100))
    rights = ward.needed(Role.DEAD_LETTERS)
    ward.secured.grant(rights)
    try:
        (optional,) = (
            right
            for right in role_rights(ward.settings, Role.DEAD_LETTERS).rights
            if right.optional and right.name == topics.jobs
        )
        ended = ward.run("dlq", "show", f"{topics.dead_letters}/0/0")
        assert f"{USER!r} Read topic {topics.jobs}: grant it with" in str(ended.exception)
        ward.secured.grant([optional])
        rights.append(optional)
        assert ward.run("dlq", "show", f"{topics.dead_letters}/0/0").exit_code == 0
    finally:
        ward.secured.take(rights)


def test_an_operator_of_canaries(ward: Ward) -> None:
    topic = ward.settings.topics.rollouts_topic
    kafka = KafkaSettings(bootstrap_servers=ward.secured.bootstrap_servers)
    RolloutControl(kafka, topic, "", SystemClock()).start(RolloutOrder("next", Mode.CANARY, (100,), RolloutLimits()))
    hold(ward, ward.needed(Role.CANARY), lambda _missing: ward.run("canary", "abort"))


def test_an_operator_of_replays(ward: Ward) -> None:
    topics = ward.settings.topics
    too_often = job(1, b"picture", (REPLAY_COUNT, b"3"))
    ward.put(written(job(0), topic=topics.dead_letters), written(too_often, topic=topics.dead_letters))

    def replay(missing: Right | None) -> Result:
        canary = missing is not None and missing.name == topics.results
        return ward.run("dlq", "replay", "--yes", *(() if canary else ("--no-canary",)))

    ended = hold(ward, ward.needed(Role.REPLAY), replay)
    assert "1 replayed, 1 parked, of 2 letters" in ended.stdout


def test_a_worker(ward: Ward) -> None:
    rights = [right for right in ward.needed(Role.WORKER) if right.kind is not ResourceKind.TRANSACTIONAL_ID]
    assert len(rights) == 13
    hold(ward, rights, lambda _missing: ward.run("check", "--connect"))


def test_rights_are_those_of_the_user_whom_a_certificate_or_a_token_names(ward: Ward) -> None:
    client, folder = "LABELWIRE_KAFKA__CLIENT__", ward.secured.authority.parent
    for name in list(ward.environment):
        if name.startswith(client):
            del ward.environment[name]
    plain, rights = dict(ward.environment), ward.needed(Role.WORKER)
    with TokenServer("ocr", PASSWORD) as tokens:
        ways = {
            "localhost": {
                "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": f"localhost:{ward.secured.mutual_port}",
                f"{client}SECURITY_PROTOCOL": "SSL",
                f"{client}SSL_CA_LOCATION": str(ward.secured.authority),
                f"{client}SSL_CERTIFICATE_LOCATION": str(folder / "certificate.pem"),
                f"{client}SSL_KEY_LOCATION": str(folder / "key.pem"),
            },
            "ocr": {
                "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": f"localhost:{ward.secured.token_port}",
                f"{client}SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                f"{client}SASL_MECHANISMS": "OAUTHBEARER",
                f"{client}SASL_OAUTHBEARER_METHOD": "oidc",
                f"{client}SASL_OAUTHBEARER_CLIENT_ID": "ocr",
                f"{client}SASL_OAUTHBEARER_CLIENT_SECRET": PASSWORD,
                f"{client}SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": tokens.url,
            },
        }
        for user, way in ways.items():
            ward.environment = plain | way
            assert "Kafka does not let this client Read topic" in str(ward.run("check", "--connect").exception)
            ward.secured.grant(rights, user)
            try:
                ended = ward.run("check", "--connect")
                assert ended.exit_code == 0, ended.exception
            finally:
                ward.secured.take(rights, user)


async def test_a_worker_that_writes_in_transactions(ward: Ward) -> None:
    kafka, result = ward.settings.kafka, OutgoingRecord(ward.settings.topics.results, b"key", b"{}", ())
    rights = ward.needed(Role.WORKER)
    (right,) = (each for each in rights if each.kind is ResourceKind.TRANSACTIONAL_ID)
    member = standalone_consumer(kafka.bootstrap_servers, kafka.client_options(), group_id=kafka.group_id)
    point = {TopicPartition(ward.name, 0): CommitPoint(0)}
    transactions = KafkaTransactions(kafka, member.consumer_group_metadata)
    ward.secured.grant(rights)
    try:
        ward.secured.take([right])
        named = (
            f"{USER!r} Write transactional id {ward.name}-\\*: grant it with `kafka-acls .* prefixed --transactional-id"
        )
        with pytest.raises(JobError, match=named):
            await transactions.commit([result], point)
        ward.secured.grant([right])
        await _until_committed(transactions, result, point)
    finally:
        await transactions.close()
        member.close()
        ward.secured.take(rights)


async def _until_committed(
    transactions: KafkaTransactions, result: OutgoingRecord, point: dict[TopicPartition, CommitPoint]
) -> None:
    """Commit, again if need be: a broker learns of a change of rights a moment later."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            await transactions.commit([result], point)
        except JobError:
            assert time.monotonic() < deadline
        else:
            return


def test_who_creates_and_changes_topics(secured: SecuredKafka) -> None:
    ward, partitions = Ward(secured), 1
    rights = ward.needed(Role.TOPICS)
    create = [right for right in rights if right.operation == "Create"]
    alter = [right for right in rights if right.operation != "Create"]

    def change(_missing: Right | None) -> Result:
        return ward.run("topics", "apply", "--partitions", str(partitions))

    # At first nothing is there, and each run comes as far as the topic that it may not create.
    ward.secured.grant(alter)
    hold(ward, create, change)
    ward.secured.take(alter)
    partitions = 2
    hold(ward, alter, change)


def test_a_message_over_what_a_broker_takes_at_once_is_refused_before_a_topic_is_made(secured: SecuredKafka) -> None:
    ward = Ward(secured)
    names = {name: text for name, text in ward.environment.items() if name.startswith("LABELWIRE_TOPICS__")}
    ward.environment = names | {"LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": secured.bootstrap_servers}
    ended = ward.run("topics", "apply", "--max-message-bytes", str(REQUEST_BYTES))
    assert f"are over socket.request.max.bytes={REQUEST_BYTES} of broker 1: lower" in str(ended.exception)
    assert describe_topics(secured.bootstrap_servers, [ward.name]) == {}
