"""The topics of a deployment fit together."""

import pytest

from worker.adapters.kafka.topics import topic_specs
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


def test_the_replays_audit_records_are_kept() -> None:
    (runs,) = (spec for spec in topic_specs(TOPICS, 8, 10**6) if spec.name == "j.replay-runs")
    assert runs.configs == {"retention.ms": "-1"}


def test_the_state_of_rollouts_is_compacted() -> None:
    (rollouts,) = (spec for spec in topic_specs(TOPICS, 8, 10**6) if spec.name == "j.rollouts")
    assert rollouts.configs == {"cleanup.policy": "compact"}


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
