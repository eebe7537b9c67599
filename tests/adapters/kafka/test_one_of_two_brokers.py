"""What a worker does while one of two real brokers is away, and when it comes back."""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.adapters.kafka.second_broker import SecondBroker
from tests.adapters.kafka.whole_worker import Deployment, running
from tests.real_kafka import demand_real_kafka
from worker.adapters.kafka.topic_ids import TopicIds
from worker.local.kafka import KafkaServer

pytestmark = pytest.mark.real

_CHECKS = Path(__file__).with_name("cluster_checks.py")
_REQUESTS_TIME_OUT_SECONDS = 12.0  # and the broker that is away counts as lost
_PATIENCE_SECONDS = 40.0


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    demand_real_kafka()
    with KafkaServer(run_dir=tmp_path_factory.mktemp("first-kafka")) as server:
        yield server


@pytest.fixture(scope="module")
def second(first: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondBroker]:
    with SecondBroker(first, tmp_path_factory.mktemp("second-kafka")) as server:
        yield server


def named(prefix: str, count: int) -> list[str]:
    return [f"{prefix} {number}" for number in range(count)]


async def test_a_worker_waits_for_replicas_and_says_so(first: KafkaServer, second: SecondBroker) -> None:
    direct, together, reading = (Deployment(first.bootstrap_servers, replicas=2) for _ in range(3))
    for topic in (direct.results, together.letters):
        direct.configure(topic, "min.insync.replicas", "2")
    for deployment, broker in ((direct, 1), (together, 1), (reading, 2)):
        deployment.recreate(deployment.jobs, broker=broker)
    async with running(direct) as one, running(together, exactly_once=True) as two, running(reading) as three:
        workers = {direct: one, together: two, reading: three}
        for deployment, worker in workers.items():
            await worker.until_ready()
            await deployment.until_named(deployment.results, deployment.write(deployment.jobs, named("before", 10)))
        await asyncio.to_thread(second.kill)
        for deployment in (direct, together):
            deployment.write(deployment.jobs, named("during", 10))
        await one.until_unready(
            f"of topic {direct.results} has 1 replicas in sync and needs 2 (its min.insync.replicas)"
        )
        await two.until_unready(f"of topic {together.letters} has 1 replicas in sync and needs 2")
        await three.until_unready(f"No partition of topic {reading.jobs} has a leader")
        assert sorted(direct.names(direct.results)) == named("before", 10)
        await asyncio.to_thread(second.start)
        for deployment, worker in workers.items():
            await worker.until_ready()
            deployment.write(deployment.jobs, named("after", 10))
            names = named("before", 10) + named("after", 10)
            names += named("during", 10) if deployment is not reading else []
            done = await deployment.until_named(deployment.results, names)
            assert len(done) == len(names) or deployment is not together, "exactly once"
            assert deployment.names(deployment.letters) == []


async def test_checks_survive_that_a_coordinator_comes_back(first: KafkaServer, second: SecondBroker) -> None:
    topic = Deployment(first.bootstrap_servers, replicas=2).results
    pipe = asyncio.subprocess.PIPE
    argv = [sys.executable, "-P", str(_CHECKS), first.bootstrap_servers, topic]
    checks = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    assert checks.stdout is not None
    assert await checks.stdout.readline() == b"asked\n"
    await asyncio.to_thread(second.kill)
    await asyncio.sleep(_REQUESTS_TIME_OUT_SECONDS)
    await asyncio.to_thread(second.start)
    await asyncio.sleep(_REQUESTS_TIME_OUT_SECONDS)
    last_obstacles, _ = await checks.communicate(b"")
    assert (checks.returncode, last_obstacles) == (0, b"0\n")


def test_topic_ids_are_told_though_what_was_the_controller_is_away(first: KafkaServer, second: SecondBroker) -> None:
    topic = Deployment(first.bootstrap_servers, replicas=2).results
    clients: list[AdminClient] = []

    def make_client() -> AdminClient:
        clients.append(AdminClient({"bootstrap.servers": first.bootstrap_servers}))
        return clients[-1]

    ids = TopicIds(make_client)
    told = ids.of([topic])
    assert told[topic]
    tries = 0
    while clients[0].list_topics(timeout=5).controller_id != second.node_id:  # any broker may be named
        tries += 1
        assert tries < 100, "the second broker is never named"
    second.kill()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    try:
        while True:
            try:
                assert ids.of([topic]) == told
                break
            except KafkaException:
                assert time.monotonic() < deadline, "nothing is told any more"
    finally:
        second.start()
