import threading
from collections.abc import Callable
from typing import cast

import pytest

from tests.chaos.test_load import BAD, GOOD
from worker.lab.chaos.faults import FaultTargets, inject
from worker.lab.chaos.fleet import Fleet
from worker.lab.chaos.load import Load
from worker.lab.chaos.pictures import Picture
from worker.lab.chaos.schedule import NETWORK_KINDS, FaultKind, ScheduledFault
from worker.testing.clock import ManualClock

# What is done to each part is written down here, in its order.
Log = list[str]


class RecordedServer:
    def __init__(self, name: str, log: Log) -> None:
        self._name = name
        self._log = log

    @property
    def pid(self) -> int:
        raise ProcessLookupError(self._name)

    def kill(self) -> None:
        self._log.append(f"kill {self._name}")

    def start(self) -> None:
        self._log.append(f"start {self._name}")


class RecordedLink:
    def __init__(self, log: Log) -> None:
        self._log = log
        self.toxics: set[str] = set()
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False
        self._log.append("disable")

    def enable(self) -> None:
        self.enabled = True

    def add_toxic(self, kind: str, *, stream: str = "downstream", **attributes: int) -> str:
        name = f"{kind} {stream} {sorted(attributes)}"
        self.toxics.add(name)
        self._log.append(kind)
        return name

    def remove_toxic(self, name: str) -> None:
        self.toxics.remove(name)


class RecordedFleet:
    def __init__(self, log: Log) -> None:
        self._log = log

    def kill(self, pick: int) -> str:
        self._log.append("kill worker")
        return f"worker {pick % 2}"

    def terminate(self, pick: int) -> str:
        self._log.append("terminate worker")
        return f"worker {pick % 2}"

    def stall(self, pick: int, sleep: Callable[[], None]) -> str:
        sleep()
        self._log.append("stall worker")
        return f"worker {pick % 2}"

    def join(self, stay: Callable[[], None]) -> str:
        stay()
        self._log.append("join")
        return "worker 2"

    def unready_for(self, _reason: str) -> list[int]:
        return [1]


class RecordedLoad:
    def __init__(self, log: Log) -> None:
        self._log = log

    def submit(self, pictures: list[Picture]) -> None:
        self._log.extend(picture.name for picture in pictures)


@pytest.fixture
def log() -> Log:
    return []


@pytest.fixture
def link(log: Log) -> RecordedLink:
    return RecordedLink(log)


@pytest.fixture
def world(log: Log, link: RecordedLink) -> FaultTargets:
    return FaultTargets(
        workers=cast("Fleet", RecordedFleet(log)),
        triton=RecordedServer("triton", log),
        broker=RecordedServer("broker", log),
        links={"kafka": link, "triton": link},
        load=cast("Load", RecordedLoad(log)),
        poison=[GOOD],
        undecodable=[BAD],
        burst_jobs=3,
        clock=ManualClock(),
        ending=threading.Event(),
    )


def _fault(kind: FaultKind, pick: int = 0, lasts_seconds: float = 0.01) -> ScheduledFault:
    return ScheduledFault(0.0, kind, lasts_seconds, pick)


@pytest.mark.parametrize(
    ("kind", "done"),
    [
        (FaultKind.WORKER_SIGKILL, ["kill worker"]),
        (FaultKind.WORKER_SIGTERM, ["terminate worker"]),
        (FaultKind.WORKER_STALL, ["stall worker"]),
        (FaultKind.WORKER_ZOMBIE, ["stall worker"]),
        (FaultKind.REBALANCE, ["join"]),
        (FaultKind.TRITON_SIGKILL, ["kill triton", "start triton"]),
        (FaultKind.BROKER_SIGKILL, ["kill broker", "start broker"]),
        (FaultKind.POISON_PICTURES, ["label"]),
        (FaultKind.DEAD_LETTER_LIMIT, ["noise"] * 3),
    ],
)
def test_a_fault_does_what_its_kind_says(world: FaultTargets, log: Log, kind: FaultKind, done: list[str]) -> None:
    assert inject(world, _fault(kind))
    assert log == done


def test_connections_are_dropped_in_three_ways_and_slowed_in_three(world: FaultTargets, log: Log) -> None:
    for pick in range(3):
        inject(world, _fault(FaultKind.KAFKA_CONNECTIONS_DROPPED, pick))
        inject(world, _fault(FaultKind.TRITON_SLOW, pick))
    assert log == ["disable", "latency", "reset_peer", "bandwidth", "timeout", "slicer"]


@pytest.mark.parametrize("kind", sorted(NETWORK_KINDS))
@pytest.mark.parametrize("pick", range(3))
def test_a_network_is_whole_again_at_once_where_the_run_is_broken_off(
    world: FaultTargets, link: RecordedLink, kind: FaultKind, pick: int
) -> None:
    world.ending.set()
    inject(world, _fault(kind, pick, lasts_seconds=3600))
    assert link.enabled
    assert link.toxics == set()


def test_a_restart_is_noted(world: FaultTargets) -> None:
    inject(world, _fault(FaultKind.TRITON_SIGKILL))
    assert [restart.server for restart in world.restarts] == ["triton"]


def test_a_server_that_is_gone_cannot_be_stalled(world: FaultTargets) -> None:
    with pytest.raises(ProcessLookupError):
        inject(world, _fault(FaultKind.TRITON_STALL))
