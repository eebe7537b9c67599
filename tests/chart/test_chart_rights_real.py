"""The rights that the chart asks Strimzi for suffice: a real broker grants no others, and has the chart's topics."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from tests.adapters.kafka.secured_broker import PASSWORD, USER, SecuredKafka
from tests.chart.rendering import LOCKED_DOWN, Chart, Manifest, Rendered
from tests.dlq.letters import JOBS, job, written
from tests.real_kafka import demand_real_kafka
from worker.adapters.kafka.admin import TopicSpec, create_topics
from worker.adapters.kafka.offline.submit import submit
from worker.domain.records import OutgoingRecord

pytestmark = [pytest.mark.real, pytest.mark.timeout(1200)]

_KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactionalId": ResourceType.TRANSACTIONAL_ID,
}
_PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}
_ANSWER_SECONDS = 20.0


@pytest.fixture(scope="module")
def rendered(chart: Chart) -> Rendered:
    one_broker = {"topics.jobsPartitions": 1, "worker.autoscaling.enabled": False, "worker.replicas": 1}
    return chart.render(LOCKED_DOWN, one_broker)


@pytest.fixture(scope="module")
def secured(rendered: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A broker with the topics that the chart makes, on which the user has the rights that it gives."""
    demand_real_kafka()
    with SecuredKafka(run_dir=tmp_path_factory.mktemp("secured-kafka")) as server:
        specs = [topic["spec"] for topic in rendered.all("KafkaTopic", "topics")]
        create_topics(
            server.bootstrap_servers,
            [
                TopicSpec(spec["topicName"], spec["partitions"], {**spec["config"], "min.insync.replicas": "1"})
                for spec in specs
            ],
        )
        acls = rendered.one("KafkaUser", "user")["spec"]["authorization"]["acls"]
        rules = [rule for acl in acls for rule in _rules(acl)]
        admin = server.admin()
        for done in admin.create_acls(rules, request_timeout=_ANSWER_SECONDS).values():
            done.result()
        yield server


def _rules(acl: Manifest) -> list[AclBinding]:
    resource = acl["resource"]
    return [
        AclBinding(
            _KINDS[resource["type"]],
            resource["name"],
            _PATTERNS[resource["patternType"]],
            f"User:{USER}",
            "*",
            _OPERATIONS[operation],
            AclPermissionType.ALLOW,
        )
        for operation in acl["operations"]
    ]


def as_the_user(secured: SecuredKafka, rendered: Rendered, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the environment of the workers, with this broker and its way to log in."""
    client = "LABELWIRE_KAFKA__CLIENT__"
    environment = rendered.environment() | {
        "PATH": "/usr/bin:/bin",
        "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": secured.sasl,
        f"{client}SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        f"{client}SASL_MECHANISM": "PLAIN",
        f"{client}SASL_USERNAME": USER,
        f"{client}SASL_PASSWORD": PASSWORD,
    }
    command = Path(sys.executable).with_name("labelwire")
    return subprocess.run(
        [command, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_workers_may_do_what_they_need(secured: SecuredKafka, rendered: Rendered) -> None:
    result = as_the_user(secured, rendered, "check", "--connect")

    assert result.returncode == 0, result.stderr


def test_a_right_that_is_missing_is_noticed(secured: SecuredKafka, rendered: Rendered) -> None:
    jobs = rendered.environment()["LABELWIRE_TOPICS__JOBS"]
    secured.forbid(ResourceType.TOPIC, jobs, AclOperation.READ)
    try:
        result = as_the_user(secured, rendered, "check", "--connect")
    finally:
        secured.allow(ResourceType.TOPIC, jobs, AclOperation.READ)

    assert result.returncode != 0
    assert jobs in result.stderr


@pytest.mark.parametrize("name", ["labelwire-0f7e", "labelwire-replay-0f7e"])
def test_transactions_of_workers_and_replays_may_begin(secured: SecuredKafka, name: str) -> None:
    login = {
        "bootstrap.servers": secured.sasl,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": USER,
        "sasl.password": PASSWORD,
    }

    Producer({**login, "transactional.id": name}).init_transactions(_ANSWER_SECONDS)

    with pytest.raises(KafkaException, match="AUTHORIZATION"):
        Producer({**login, "transactional.id": f"other-{name}"}).init_transactions(_ANSWER_SECONDS)


def test_dead_letters_are_replayed_and_audited(secured: SecuredKafka, rendered: Rendered) -> None:
    received = [job(number) for number in range(3)]
    jobs = [OutgoingRecord(JOBS, record.key, record.value, record.headers) for record in received]
    submit(secured.bootstrap_servers, [*jobs, *(written(record) for record in received)])

    replay = as_the_user(secured, rendered, "dlq", "replay", "--yes", "--no-canary", "--json")
    audit = as_the_user(secured, rendered, "audit", "--json")

    assert replay.returncode == 0, replay.stderr
    assert json.loads(replay.stdout)["outcome"]["written"] == 3, replay.stdout
    # Three jobs, and three that the letters are of: their made-up times tell of jobs on a former topic.
    assert json.loads(audit.stdout)["jobs"] == 6, audit.stderr
