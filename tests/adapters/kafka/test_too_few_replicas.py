"""A worker whose topics have too few replicas in sync says so, loses nothing, and goes on by itself. Real brokers."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.adapters.kafka.second_broker import SecondBroker
from tests.adapters.kafka.whole_worker import Deployment, running
from tests.real_kafka import demand_real_kafka
from worker.local.kafka import KafkaServer

pytestmark = pytest.mark.real


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
