"""What a plan makes of topics that are there."""

import pytest
from confluent_kafka import KafkaError

from worker.adapters.kafka.diagnosis import refused_topic
from worker.adapters.kafka.topic_plan import NOT_TOLD, Action, PresentTopic, TopicOptions, TopicsPlan, plan_topics
from worker.adapters.kafka.topics import DAY_MS, wanted_topics
from worker.settings import RuntimeSettings, Settings, TopicSettings

SETTINGS = Settings(
    topics=TopicSettings(jobs="j", results="r", dead_letters="d"),
    runtime=RuntimeSettings(retry_delays_seconds=(5, 60, 3600)),
)


def fitting(replicas: int = 3) -> dict[str, PresentTopic | None]:
    """Return topics that fit, with so many replicas."""
    found: dict[str, PresentTopic | None] = {}
    for each in wanted_topics(SETTINGS.topics, 4, 10**6, longest_delay_seconds=3600):
        floors = {name: str(least) for name, least in each.floors_with(replicas).items()}
        found[each.name] = PresentTopic(each.partitions, replicas, {**each.configs, **floors})
    return found


def changed(topics: dict[str, PresentTopic | None], name: str, **configs: str) -> dict[str, PresentTopic | None]:
    """Return the topics with other configs of one; an empty value leaves it out."""
    present = topics[name]
    assert present is not None
    given = {**present.configs, **{key.replace("_", "."): value for key, value in configs.items()}}
    kept = {key: value for key, value in given.items() if value}
    return topics | {name: PresentTopic(present.partitions, present.replicas, kept)}


def changes(plan: TopicsPlan) -> dict[str, dict[str, str]]:
    return {topic.wanted.name: {each.name: each.value for each in topic.changes} for topic in plan.changed}


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_topics_that_fit_are_left_alone(replicas: int) -> None:
    plan = plan_topics(SETTINGS, TopicOptions(), fitting(replicas))
    assert plan.fits
    assert {each.action for topic in plan.topics for each in topic.comparisons} == {Action.NONE}


def test_an_acknowledged_record_is_on_two_brokers_where_there_are_three() -> None:
    for name in ("j", "d", "j.rollouts"):
        plan = plan_topics(SETTINGS, TopicOptions(), changed(fitting(), name, min_insync_replicas="1"))
        assert changes(plan) == {name: {"min.insync.replicas": "2"}}


def test_a_job_outlives_an_outage_and_its_longest_delay() -> None:
    kept = 3 * DAY_MS + 3600 * 1000
    plan = plan_topics(SETTINGS, TopicOptions(), changed(fitting(), "j.retry.3", retention_ms=str(kept - 1)))
    assert changes(plan) == {"j.retry.3": {"retention.ms": str(kept)}}
    for longer in ("-1", str(9 * kept)):
        assert plan_topics(SETTINGS, TopicOptions(), changed(fitting(), "j.retry.3", retention_ms=longer)).fits


def test_letters_are_kept_as_long_as_is_asked_for_and_no_longer() -> None:
    plan = plan_topics(SETTINGS, TopicOptions(letter_retention_days=2), fitting())
    assert changes(plan) == {name: {"retention.ms": str(2 * DAY_MS)} for name in ("d", "j.parked")}


def test_larger_jobs_enlarge_all_that_takes_them_on() -> None:
    plan = plan_topics(SETTINGS, TopicOptions(), changed(fitting(), "j", max_message_bytes="2000000"))
    assert set(changes(plan)) == {"r", "d", "j.retry.1", "j.retry.2", "j.retry.3", "j.replay", "j.parked"}


def test_compaction_beside_deletion_is_taken_away_and_compaction_alone_is_a_decision() -> None:
    plan = plan_topics(SETTINGS, TopicOptions(), changed(fitting(), "r", cleanup_policy="compact,delete"))
    assert changes(plan) == {"r": {"cleanup.policy": "delete"}}
    plan = plan_topics(SETTINGS, TopicOptions(), changed(fitting(), "r", cleanup_policy="compact"))
    assert (changes(plan), len(plan.decisions)) == ({}, 1)


def test_what_a_broker_does_not_tell_is_left_alone() -> None:
    topics = changed(fitting(), "j", min_insync_replicas="", max_message_bytes="", cleanup_policy="")
    (jobs, *_) = plan_topics(SETTINGS, TopicOptions(), topics).topics
    told = {each.name: each.actual for each in jobs.comparisons if each.actual == NOT_TOLD}
    assert set(told) == {"min.insync.replicas", "max.message.bytes", "cleanup.policy"}
    assert jobs.changes == []


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        (KafkaError.POLICY_VIOLATION, "ask those who run the cluster, whose policy this is."),
        (KafkaError.UNSUPPORTED_VERSION, "it is too old; Labelwire needs Kafka 2.4 or later."),
        (KafkaError.INVALID_CONFIG, "check what was asked for, and the broker's own limits."),
        (KafkaError._TRANSPORT, "LABELWIRE_KAFKA__CLIENT__SECURITY_PROTOCOL."),  # noqa: SLF001 - librdkafka's own name
    ],
)
def test_a_refusal_is_one_sentence(code: int, ends: str) -> None:
    sentence = refused_topic(KafkaError(code, "Because."), "kafka:9092", {}, "Create", "j")
    assert sentence.endswith(ends)
    assert "\n" not in sentence
    assert sentence.count(". ") == 0
