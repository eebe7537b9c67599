"""The chaos run on the embedded stack: one broker and one Triton behind Toxiproxy, and a fleet of workers."""

import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from worker.adapters.clock import SystemClock
from worker.adapters.kafka.admin import create_topics
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.adapters.kafka.sink import KafkaSink
from worker.adapters.kafka.topics import topic_specs
from worker.domain.errors import LocalStackError
from worker.lab import stack
from worker.lab.chaos.answers import Watch
from worker.lab.chaos.faults import FaultTargets
from worker.lab.chaos.fleet import Fleet
from worker.lab.chaos.load import Load
from worker.lab.chaos.pictures import good_pictures, poison_pictures, undecodable_pictures
from worker.lab.chaos.poison import POISON_PATH
from worker.lab.chaos.run import ChaosEnvironment, ChaosPlan, ChaosRun, Say, run_chaos
from worker.lab.chaos.schedule import NETWORK_KINDS
from worker.lab.evaluation.configuration import WorkerConfiguration
from worker.lab.evaluation.machine import describe_machine
from worker.local.kafka import KafkaServer
from worker.local.process import free_ports
from worker.local.progress import progress
from worker.local.stack import provision_kafka
from worker.local.toxiproxy import TOXIPROXY, Proxy, Toxiproxy
from worker.local.triton import TritonServer
from worker.picture_settings import MEBIBYTE
from worker.settings import PREFIX, KafkaSettings, TopicSettings

_PARTITIONS = 4
_MAX_MESSAGE_BYTES = 8 * MEBIBYTE
_PICTURES_SEED = 20
_GROUP = "labelwire-chaos"
# A worker on its own has a minute's room for fewer than this, also where the burst is shared.
_DEAD_LETTERS_PER_MINUTE = 20
_BURST_JOBS = 60


@dataclass(frozen=True, slots=True)
class _Addresses:
    """Where workers find the broker and Triton, and the links that lead there."""

    kafka: str
    triton: str
    links: Mapping[str, Proxy]


def run_embedded_chaos(plan: ChaosPlan, folder: Path, say: Say, model_repository: Path | None = None) -> ChaosRun:
    """Start everything, do what the plan says, and stop everything. Raises LabelwireError.

    Without Go there is no Toxiproxy: the faults of the network are left out then, and that is said.
    """
    configuration = WorkerConfiguration()
    repository = model_repository or stack.repository(configuration)
    provision_kafka()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ExitStack() as opened:
        proxied = _toxiproxy(opened, folder, say)
        plan = plan if proxied else replace(plan, kinds=tuple(kind for kind in plan.kinds if kind not in NETWORK_KINDS))
        kafka_address = f"127.0.0.1:{free_ports(1)[0]}" if proxied else None
        broker = KafkaServer(run_dir=folder / "run", proxied_at=kafka_address)
        triton = TritonServer(repository, run_dir=folder / "run")
        opened.callback(broker.stop)
        opened.callback(triton.stop)
        with progress("Starting Kafka and Triton"):
            triton.launch()
            broker.start()
            triton.wait_until_ready()
        addresses = _addresses(proxied, kafka_address, broker, triton)
        topics = TopicSettings()
        create_topics(broker.bootstrap_servers, topic_specs(topics, _PARTITIONS, _MAX_MESSAGE_BYTES))
        environment = _chaos_environment(opened, plan, folder, (broker, triton), addresses)
        description = {
            "broker": stack.describe_broker(broker),
            "triton": stack.describe_triton(triton, configuration),
            "network": "Toxiproxy" if proxied else "undisturbed: Go, which builds Toxiproxy, is not installed",
            "machine": _machine_words(),
        }
        opened.enter_context(_clients_logged(folder / "clients.log"))
        return run_chaos(plan, environment, say, description)


@contextmanager
def _clients_logged(path: Path) -> Iterator[None]:
    """Keep what this process's own clients say of a broker that is away off the terminal."""
    logger = logging.getLogger("worker.adapters")
    handler = logging.FileHandler(path)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def _toxiproxy(opened: ExitStack, folder: Path, say: Say) -> Toxiproxy | None:
    try:
        TOXIPROXY.provide()
    except LocalStackError as error:
        say(f"The network is left in peace: {error}")
        return None
    return opened.enter_context(Toxiproxy(run_dir=folder / "run"))


def _machine_words() -> str:
    machine = describe_machine()
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Python {machine['python']}"


def _addresses(
    proxied: Toxiproxy | None, kafka_address: str | None, broker: KafkaServer, triton: TritonServer
) -> _Addresses:
    if proxied is None or kafka_address is None:
        return _Addresses(broker.bootstrap_servers, triton.grpc_url, {})
    triton_address = f"127.0.0.1:{free_ports(1)[0]}"
    links = {
        "kafka": proxied.proxy("kafka", kafka_address, broker.proxied_listener),
        "triton": proxied.proxy("triton", triton_address, triton.grpc_url),
    }
    return _Addresses(kafka_address, triton_address, links)


def _chaos_environment(
    opened: ExitStack,
    plan: ChaosPlan,
    folder: Path,
    servers: tuple[KafkaServer, TritonServer],
    addresses: _Addresses,
) -> ChaosEnvironment:
    broker, triton = servers
    clock, topics = SystemClock(), TopicSettings()
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, group_id=_GROUP)
    good = good_pictures(_PICTURES_SEED, plan.pictures)
    load = Load(KafkaSink(kafka), topics.jobs, f"chaos-{plan.seed}", seed=plan.seed)
    opened.callback(load.stop)
    fleet = Fleet(
        launch=stack.launch,
        argv=[sys.executable, "-m", "worker", "run"],
        environment=_environment(plan, addresses),
        free_port=lambda: free_ports(1)[0],
        folder=folder,
        size=plan.workers,
        clock=clock,
    )
    opened.callback(fleet.stop)
    reader = TopicReader(broker.bootstrap_servers, [topics.results, topics.dead_letters])
    watch = opened.enter_context(Watch(reader, topics.results))
    targets = FaultTargets(
        workers=fleet,
        triton=triton,
        broker=broker,
        links=addresses.links,
        load=load,
        poison=poison_pictures(good),
        undecodable=undecodable_pictures(_PICTURES_SEED),
        burst_jobs=_BURST_JOBS,
        clock=clock,
        ending=threading.Event(),
    )
    return ChaosEnvironment(targets, watch, good, kafka, topics)


def _environment(plan: ChaosPlan, addresses: _Addresses) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.upper().startswith(PREFIX)}
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": addresses.kafka,
        "KAFKA__GROUP_ID": _GROUP,
        "TRITON__URL": addresses.triton,
        "HTTP__HOST": "127.0.0.1",
        "RUNTIME__DELIVERY": plan.delivery,
        "RUNTIME__RETRY_DELAYS_SECONDS": "[1, 2, 3]",
        "RUNTIME__READINESS_INTERVAL_SECONDS": "0.5",
        "LIMITS__DEAD_LETTERS_PER_MINUTE": str(_DEAD_LETTERS_PER_MINUTE),
    }
    return {
        **inherited,
        "PYTHONPATH": str(POISON_PATH),
        **{PREFIX + name: value for name, value in settings.items()},
    }
