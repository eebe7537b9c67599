"""The topics of a deployment fit together."""

import pytest

from worker.adapters.kafka.topics import topic_specs, wanted_topics
from worker.audit.consistent_cut import outcome_topics
from worker.domain.dead_letter import Failure, dead_letter
from worker.domain.errors import ErrorCode, JobError
from worker.domain.headers import DerivedHeaders
from worker.domain.records import Coordinate, OutgoingRecord, Record
from worker.settings import TopicSettings

TOPICS = TopicSettings(jobs="j", results="r", dead_letters="d")


def limits(max_message_bytes: int) -> dict[str, int]:
    specs = topic_specs(TOPICS, 8, max_message_bytes)
    return {spec.name: int(spec.configs["max.message.bytes"]) for spec in specs if "max.message.bytes" in spec.configs}


def test_every_topic_is_there_with_the_same_partitions() -> None:
    specs = {spec.name: spec.partitions for spec in topic_specs(TOPICS, 8, 10**6)}
    assert specs == {
        **dict.fromkeys(["j", "r", "d", "j.retry.1", "j.retry.2", "j.retry.3", "j.replay", "j.parked"], 8),
        "j.replay-runs": 1,
        "j.rollouts": 1,
    }


@pytest.mark.parametrize("jobs_bytes", [1024, 10**6, 68 * 2**20])
def test_what_grows_on_its_way_fits_where_it_goes(jobs_bytes: int) -> None:
    found = limits(jobs_bytes)
    for later in ("j.retry.1", "j.retry.2", "j.retry.3", "j.replay"):
        assert found["j"] + 64 * 1024 <= found[later] < found["d"] < found["j.parked"]
    assert found["r"] >= TOPICS.min_result_bytes


def test_records_that_hold_all_of_a_run_or_a_state_are_compacted_and_no_others() -> None:
    policies = {spec.name: spec.configs["cleanup.policy"] for spec in topic_specs(TOPICS, 8, 10**6)}
    assert {name for name, policy in policies.items() if policy == "compact"} == {"j.replay-runs", "j.rollouts"}
    assert set(policies.values()) == {"compact", "delete"}
    # What the audit reads must not be compacted: a record that is gone proves nothing.
    assert all(policies[name] == "delete" for name in (TOPICS.jobs, *outcome_topics(TOPICS)))


def test_jobs_outlive_an_outage_and_their_delays_and_two_replicas_are_in_sync_where_there_are_three() -> None:
    day_seconds = 24 * 3600
    wanted = {each.name: each for each in wanted_topics(TOPICS, 8, 10**6, longest_delay_seconds=3600)}
    for name in (TOPICS.jobs, *TOPICS.retry_topics, TOPICS.replay_topic):
        assert wanted[name].floors["retention.ms"] == (3 * day_seconds + 3600) * 1000
    for name in (TOPICS.dead_letters, TOPICS.parked_topic):
        assert wanted[name].floors["retention.ms"] == 14 * day_seconds * 1000
    in_sync = [wanted[TOPICS.jobs].floors_with(replicas)["min.insync.replicas"] for replicas in (1, 2, 3, 5)]
    assert in_sync == [1, 1, 2, 2]
    (kept_a_week,) = (
        each for each in wanted_topics(TOPICS, 8, 10**6, letter_retention_days=7) if each.name == TOPICS.dead_letters
    )
    assert kept_a_week.configs["retention.ms"] == str(7 * day_seconds * 1000)
    assert "retention.ms" not in kept_a_week.floors


def test_a_job_at_the_limit_goes_whole_to_the_dead_letters() -> None:
    found = limits(10**6)
    job = Record(Coordinate("j.retry.3", 0, 1), b"k", b"x" * (10**6 - 200), (), 1)
    assert OutgoingRecord("j", job.key, job.value, ()).size_bytes <= found["j"]
    retried = OutgoingRecord("j.retry.1", job.key, job.value, DerivedHeaders.of(job).onto(job.headers))
    error = JobError(ErrorCode.INTERNAL, "m" * 5000)
    failure = Failure(error, "i" * 512, 4, 1, 2, "cluster", "group", "1.0", "1")
    letter = dead_letter(job, failure, "d", found["d"])
    assert retried.size_bytes <= found["j.retry.1"]
    assert letter.value == job.value
