"""What a worker does when its topics are made anew, cut or widened. Judged by plain clients on a real broker."""

import asyncio
import secrets

import pytest
from confluent_kafka import TopicPartition

from tests.adapters.kafka.whole_worker import Deployment, running
from worker.domain.errors import ErrorCode, JobError
from worker.domain.events import PositionReset
from worker.domain.start_position import ResetReason
from worker.local.kafka import KafkaServer

pytestmark = pytest.mark.real

BOTH = (0, 1)


def named(prefix: str, count: int) -> list[str]:
    return [f"{prefix} {number}" for number in range(count)]


@pytest.mark.parametrize(
    ("protocol", "partitions", "exactly_once"),
    [
        ("consumer", 2, False),
        ("classic", 2, False),
        ("consumer", 1, False),
        ("consumer", 3, False),  # a classic group learns of more partitions within five minutes
        ("consumer", 2, True),
    ],
)
async def test_all_jobs_of_a_topic_that_is_made_anew_under_a_worker_are_done(
    kafka: KafkaServer, protocol: str, partitions: int, *, exactly_once: bool
) -> None:
    deployment = Deployment(kafka.bootstrap_servers, group_protocol=protocol)
    async with running(deployment, exactly_once=exactly_once) as worker:
        await worker.until_ready()
        old = deployment.write(deployment.jobs, named("old", 40))
        await deployment.until_named(deployment.results, old)
        worker.backend.latency_seconds = 0.05  # so that some are in hand
        deployment.write(deployment.jobs, named("in hand", 20))
        await asyncio.to_thread(deployment.recreate, deployment.jobs, partitions)
        new = deployment.write(deployment.jobs, named("new", 120), range(partitions))
        await deployment.until_named(deployment.results, new)
        assert {event.reason for event in worker.events.of(PositionReset)} == {ResetReason.RECREATED}
    assert deployment.committed(deployment.jobs, partitions) == [120 // partitions] * partitions
    assert deployment.names(deployment.letters) == []


@pytest.mark.parametrize("kept", [False, True], ids=["positions removed", "positions kept"])
async def test_all_jobs_of_a_topic_that_was_made_anew_while_no_worker_ran_are_done(
    kafka: KafkaServer, *, kept: bool
) -> None:
    deployment = Deployment(kafka.bootstrap_servers)
    async with running(deployment) as worker:
        await worker.until_ready()
        await deployment.until_named(deployment.results, deployment.write(deployment.jobs, named("old", 40)))
    positions = deployment.positions(deployment.jobs, 2)
    deployment.recreate(deployment.jobs)
    new = deployment.write(deployment.jobs, named("new", 60))
    if kept:  # the coordinator removes them in its own time, or never where it is away
        deployment.put_positions(positions)
    async with running(deployment) as worker:
        await deployment.until_named(deployment.results, new)
        assert len(worker.events.of(PositionReset)) == (2 if kept else 0)
    assert deployment.committed(deployment.jobs, 2) == [30, 30]


async def test_all_jobs_of_retry_and_replay_topics_that_are_made_anew_are_done(kafka: KafkaServer) -> None:
    deployment = Deployment(kafka.bootstrap_servers)
    topics = (deployment.settings.topics.retry_topics[0], deployment.settings.topics.replay_topic)
    async with running(deployment) as worker:
        await worker.until_ready()
        for topic in topics:
            await deployment.until_named(deployment.results, deployment.write(topic, named(f"old {topic}", 30)))
        for topic in topics:
            await asyncio.to_thread(deployment.recreate, topic)
        new = [name for topic in topics for name in deployment.write(topic, named(f"new {topic}", 60))]
        await deployment.until_named(deployment.results, new)
    assert [deployment.committed(topic, 2) for topic in topics] == [[30, 30], [30, 30]]


async def test_a_group_that_starts_from_the_latest_skips_what_was_there_and_nothing_else(kafka: KafkaServer) -> None:
    deployment = Deployment(kafka.bootstrap_servers, start_from="latest")
    deployment.write(deployment.jobs, named("history", 20))
    async with running(deployment) as first, running(deployment) as second:
        await first.until_ready()
        await second.until_ready()
        first_jobs = deployment.write(deployment.jobs, named("first", 20))
        done = await deployment.until_named(deployment.results, first_jobs)
    assert set(done) == first_jobs, "whoever comes second begins as the first one decided"
    # What comes while no worker runs, partly on partitions that nobody has committed.
    deployment.add_partitions(deployment.jobs, 4)
    later = deployment.write(deployment.jobs, named("later", 80), range(4))
    deployment.remove_records({(deployment.jobs, 0): 25, (deployment.jobs, 1): 20})
    async with running(deployment) as worker:
        removed = {f"later {number}" for number in range(0, 20, 4)}
        done = await deployment.until_named(deployment.results, later - removed)
        assert [(event.partition, event.reason) for event in worker.events.of(PositionReset)] == [
            ((deployment.jobs, 0), ResetReason.EXPIRED)
        ]
    assert not set(done) & set(named("history", 20))
    assert deployment.committed(deployment.jobs, 4) == [40, 40, 20, 20]


@pytest.mark.parametrize("exactly_once", [False, True])
async def test_results_wait_for_a_topic_whose_limit_is_lowered_under_a_worker(
    kafka: KafkaServer, *, exactly_once: bool
) -> None:
    deployment = Deployment(kafka.bootstrap_servers)
    async with running(deployment, exactly_once=exactly_once) as worker:
        await worker.until_ready()
        await deployment.until_named(deployment.results, deployment.write(deployment.jobs, named("first", 10)))
        await asyncio.to_thread(deployment.set_limit, deployment.results, 600)
        jobs = deployment.write(deployment.jobs, named("job", 20))
        async with asyncio.timeout(30):
            while "takes messages of 600 bytes" not in worker.worker.health.reason:  # noqa: ASYNC110 - it does not say
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)  # in which they would be judged
        assert deployment.names(deployment.letters) == []
        await asyncio.to_thread(deployment.set_limit, deployment.results, 1024 * 1024)
        await deployment.until_named(deployment.results, jobs)
        await worker.until_ready()
    assert deployment.names(deployment.letters) == []


@pytest.mark.parametrize("exactly_once", [False, True])
async def test_dead_letters_and_retries_outlast_lower_limits_of_their_topics(
    kafka: KafkaServer, *, exactly_once: bool
) -> None:
    deployment = Deployment(kafka.bootstrap_servers)
    bad = b"no picture" + secrets.token_bytes(10_000)  # what is compressed would fit
    flawed = JobError(ErrorCode.INFERENCE_FAILED, "It failed on this picture.")
    async with running(deployment, exactly_once=exactly_once) as worker:
        await worker.until_ready()
        # A letter of this size would fit without its job's value, which stays on the topic of jobs.
        await asyncio.to_thread(deployment.set_limit, deployment.letters, 5000)
        deployment.write(deployment.jobs, named("bad", 10), value=bad)
        await worker.until_unready("takes messages of 5000 bytes")
        jobs = deployment.write(deployment.jobs, named("job", 10))
        await asyncio.sleep(1)  # in which letters would be written
        assert deployment.names(deployment.letters) == []
        await asyncio.to_thread(deployment.set_limit, deployment.letters, 2 * 1024 * 1024)
        await worker.until_ready()
        await deployment.until_named(deployment.results, jobs)
        await deployment.until_named(deployment.letters, named("bad", 10))
        for topic in deployment.settings.topics.retry_topics:
            await asyncio.to_thread(deployment.set_limit, topic, 100)
        worker.backend.fail(flawed)
        # This one waits in place: its retry topic does not take it, which is no worse than to wait for the topic.
        unlucky = deployment.write(deployment.jobs, ["unlucky"])
        await deployment.until_named(deployment.results, unlucky)
        await worker.until_unready("takes messages of 100 bytes")
        for topic in deployment.settings.topics.retry_topics:
            await asyncio.to_thread(deployment.set_limit, topic, 2 * 1024 * 1024)
        await worker.until_ready()
    assert [letter.value() for letter in deployment.read(deployment.letters)] == [bad] * 10
    assert sorted(deployment.names(deployment.results)) == sorted({*unlucky, *jobs})


async def test_a_position_above_the_end_begins_at_the_beginning(kafka: KafkaServer) -> None:
    deployment = Deployment(kafka.bootstrap_servers, start_from="latest")
    jobs = deployment.write(deployment.jobs, named("job", 20))
    deployment.put_positions([TopicPartition(deployment.jobs, number, 1000) for number in BOTH])
    async with running(deployment) as worker:
        await deployment.until_named(deployment.results, jobs)
        assert {event.reason for event in worker.events.of(PositionReset)} == {ResetReason.TRUNCATED}
    assert deployment.committed(deployment.jobs, 2) == [10, 10]
