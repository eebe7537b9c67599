"""`labelwire topics plan` and `apply` on a real broker."""

import json
import uuid
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner, Result

from tests.real_kafka import create_topic
from worker.adapters.kafka.admin import describe_topics
from worker.cli import _app
from worker.domain.errors import BrokerError, LabelwireError
from worker.local.kafka import KafkaServer, MockKafka

pytestmark = pytest.mark.real


class Topics:
    """Names of a deployment's own on a broker, and the commands on them."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.jobs = f"t{uuid.uuid4().hex[:8]}"
        self.environment = {
            "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
            "LABELWIRE_TOPICS__JOBS": self.jobs,
            "LABELWIRE_TOPICS__RESULTS": f"{self.jobs}.text",
            "LABELWIRE_TOPICS__DEAD_LETTERS": f"{self.jobs}.dlq",
        }

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(_app, ["topics", *arguments], env=self.environment)

    def found(self, *arguments: str) -> dict[str, Any]:
        """Return what `--json` prints."""
        ended = self.run(*arguments, "--json")
        assert not isinstance(ended.exception, LabelwireError), ended.exception
        printed = json.loads(ended.stdout)
        assert ended.exit_code == (0 if printed["fits"] else 1)
        return dict(printed)

    def actual(self, *arguments: str) -> dict[str, dict[str, str]]:
        """Return each topic's properties as they are, by the name's end."""
        return {
            topic["name"].removeprefix(self.jobs): {name: each["actual"] for name, each in topic["properties"].items()}
            for topic in self.found("plan", *arguments)["topics"]
        }


@pytest.fixture
def topics(kafka: KafkaServer) -> Topics:
    return Topics(kafka.bootstrap_servers)


def actions(found: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return what does not fit, by the topic's name and the property."""
    return {
        topic["name"]: differing
        for topic in found["topics"]
        if (
            differing := {
                name: each["action"] for name, each in topic["properties"].items() if each["action"] != "fits"
            }
        )
    }


def test_topics_are_planned_created_and_then_left_alone(topics: Topics) -> None:
    before = topics.found("plan")
    assert [topic["exists"] for topic in before["topics"]] == [False] * 10
    assert describe_topics(topics.bootstrap_servers, [topics.jobs]) == {}, "a plan creates nothing"
    first = topics.run("apply", "--partitions", "3", "--replication-factor", "1", "--max-message-bytes", "2000000")
    assert first.exit_code == 0
    assert "All 10 topics fit." in first.stdout
    assert first.stderr.count("setting up") >= 10
    second = topics.run("apply")
    assert (second.exit_code, second.stderr) == (0, "")
    actual = topics.actual()
    assert {name: each["partitions"] for name, each in actual.items()} == {
        **dict.fromkeys(["", ".text", ".dlq", ".retry.1", ".retry.2", ".retry.3", ".replay", ".parked"], "3"),
        ".replay-runs": "1",
        ".rollouts": "1",
    }
    assert actual[".replay-runs"]["cleanup.policy"] == actual[".rollouts"]["cleanup.policy"] == "compact"
    assert actual[""]["max.message.bytes"] == "2000000"
    assert int(actual[".dlq"]["retention.ms"]) == 14 * 24 * 3600 * 1000


def test_what_differs_is_changed_and_what_is_larger_is_left(topics: Topics) -> None:
    admin = AdminClient({"bootstrap.servers": topics.bootstrap_servers})
    create_topic(admin, topics.jobs, 4, {"max.message.bytes": "5000000", "retention.ms": "3600000"})
    create_topic(admin, f"{topics.jobs}.text", 2, {"max.message.bytes": "300000"})
    create_topic(admin, f"{topics.jobs}.dlq", 2, {"max.message.bytes": "9000000", "retention.ms": "-1"})
    create_topic(admin, f"{topics.jobs}.replay-runs", 1, {"retention.ms": "-1"})
    changes = actions(topics.found("plan"))
    assert changes[topics.jobs] == {"retention.ms": "change"}
    assert changes[f"{topics.jobs}.text"] == {"max.message.bytes": "change"}, "its readers know where a key is"
    assert changes[f"{topics.jobs}.dlq"] == {"partitions": "change"}
    assert changes[f"{topics.jobs}.replay-runs"] == {"cleanup.policy": "change"}
    assert set(changes[f"{topics.jobs}.retry.1"].values()) == {"create"}
    assert topics.found("apply")["fits"]
    actual = topics.actual()
    assert int(actual[""]["retention.ms"]) == (3 * 24 * 3600 + 600) * 1000
    assert actual[""]["max.message.bytes"] == "5000000"
    assert actual[".dlq"] == {
        "partitions": "4",
        "replication.factor": "1",
        "cleanup.policy": "delete",
        "max.message.bytes": "9000000",
        "retention.ms": "-1",
        "min.insync.replicas": "1",
    }
    assert (actual[".text"]["partitions"], actual[".retry.1"]["partitions"]) == ("2", "4")
    assert int(actual[".retry.1"]["max.message.bytes"]) > 5000000
    grown = topics.found("apply", "--partitions", "6", "--letter-retention-days", "30")
    assert grown["fits"]
    assert {each["partitions"] for each in topics.actual().values()} == {"6", "1"}
    assert topics.actual()[".dlq"]["retention.ms"] == str(30 * 24 * 3600 * 1000)


def test_what_may_cost_records_is_left_to_a_person(topics: Topics) -> None:
    assert topics.run("apply", "--partitions", "2").exit_code == 0
    admin = AdminClient({"bootstrap.servers": topics.bootstrap_servers})
    for name in ("text", "rollouts"):
        admin.delete_topics([f"{topics.jobs}.{name}"])[f"{topics.jobs}.{name}"].result(10)
    create_topic(admin, f"{topics.jobs}.text", 2, {"cleanup.policy": "compact", "max.message.bytes": "16777216"})
    create_topic(admin, f"{topics.jobs}.rollouts", 3, {"cleanup.policy": "compact"})
    decided = topics.found("apply", "--partitions", "1", "--replication-factor", "2")
    about = {name: set(each) for name, each in actions(decided).items()}
    assert about[f"{topics.jobs}.text"] == {"cleanup.policy", "partitions", "replication.factor"}
    assert about[f"{topics.jobs}.rollouts"] == {"partitions", "replication.factor"}
    assert about[f"{topics.jobs}.retry.2"] == {"partitions", "replication.factor"}
    assert topics.actual()[".text"]["cleanup.policy"] == "compact"
    sentences = decided["decisions"]
    assert f"Topic {topics.jobs}.rollouts has 3 partitions and needs one" in " ".join(sentences)
    assert f"Topic {topics.jobs}.text has cleanup.policy=compact, so a later record" in " ".join(sentences)
    assert f"Topic {topics.jobs} has 2 partitions, and Kafka cannot take any away" in " ".join(sentences)
    shown = topics.run("plan")
    assert shown.exit_code == 1
    assert shown.stdout.splitlines()[-1] == "2 decisions to take."


def test_what_the_broker_refuses_is_one_sentence(topics: Topics) -> None:
    ended = topics.run("apply", "--replication-factor", "3")
    assert isinstance(ended.exception, BrokerError)
    assert str(ended.exception).startswith(f"Kafka at {topics.bootstrap_servers} does not create topic {topics.jobs} (")
    assert str(ended.exception).endswith("give --replication-factor a number of replicas that its brokers can hold.")


def test_a_topic_that_takes_more_than_the_broker_does_is_named(topics: Topics) -> None:
    admin = AdminClient({"bootstrap.servers": topics.bootstrap_servers})
    create_topic(admin, topics.jobs, 1, {"max.message.bytes": str(200 * 1024 * 1024)})
    ended = topics.run("plan")
    assert isinstance(ended.exception, BrokerError)
    assert "over socket.request.max.bytes=104857600 of broker" in str(ended.exception)
    assert f": lower max.message.bytes of topic {topics.jobs}, or raise" in str(ended.exception)


def test_a_topic_that_nothing_can_be_written_to_is_left_to_a_person(topics: Topics) -> None:
    admin = AdminClient({"bootstrap.servers": topics.bootstrap_servers})
    create_topic(admin, topics.jobs, 1, {"min.insync.replicas": "2"})
    found = topics.found("plan")
    assert actions(found)[topics.jobs] == {"min.insync.replicas": "decide"}
    (sentence,) = found["decisions"]
    assert sentence.startswith(
        f"Topic {topics.jobs} has min.insync.replicas=2 over its replication.factor=1, so nothing"
    )


def test_the_mock_cluster_says_that_it_has_no_topics_to_plan() -> None:
    with MockKafka() as mock:
        ended = Topics(mock.bootstrap_servers).run("plan")
    assert isinstance(ended.exception, BrokerError)
    assert "is librdkafka's mock cluster" in str(ended.exception)
