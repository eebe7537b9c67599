"""One function for each kind of fault, against handles of what runs.

Invariant: what a fault has stopped or disturbed goes on when its function has returned, also where the run is broken
off meanwhile.
"""

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from worker.lab.chaos.fleet import Fleet
from worker.lab.chaos.load import Load
from worker.lab.chaos.pictures import Picture
from worker.lab.chaos.schedule import FaultKind, ScheduledFault
from worker.ports import Clock


class Server(Protocol):
    """A server of its own process, which keeps its address and data over a restart."""

    @property
    def pid(self) -> int:
        """Its process."""

    def kill(self) -> None:
        """End it as a crash would."""

    def start(self) -> None:
        """Start it, and return when it answers. Raises LabelwireError if it does not."""


class Link(Protocol):
    """A network connection that can be disturbed."""

    def disable(self) -> None:
        """Close all connections and refuse new ones."""

    def enable(self) -> None:
        """Take connections again."""

    def add_toxic(self, kind: str, *, stream: str = "downstream", **attributes: int) -> str:
        """Disturb what passes, as Toxiproxy does, and return the disturbance's name."""

    def remove_toxic(self, name: str) -> None:
        """End a disturbance."""


@dataclass(frozen=True, slots=True)
class Restart:
    """A killed server's way back, in epoch milliseconds."""

    server: str
    killed_at_ms: int
    ready_at_ms: int


@dataclass(frozen=True, slots=True)
class FaultTargets:
    """All that faults can be done to.

    `links` are those to `triton` and `kafka`, none where the network cannot be disturbed. `ending` is set when the run
    is broken off.
    """

    workers: Fleet
    triton: Server
    broker: Server
    links: Mapping[str, Link]
    load: Load
    poison: Sequence[Picture]
    undecodable: Sequence[Picture]
    burst_jobs: int
    clock: Clock
    ending: threading.Event
    restarts: list[Restart] = field(default_factory=list)
    triton_lock: threading.Lock = field(default_factory=threading.Lock)
    broker_lock: threading.Lock = field(default_factory=threading.Lock)

    def sleeping(self, fault: ScheduledFault) -> Callable[[], None]:
        """Return what lasts as long as the fault, or until the run is broken off."""
        return lambda: self._sleep(fault.lasts_seconds)

    def _sleep(self, seconds: float) -> None:
        self.ending.wait(seconds)


def inject(targets: FaultTargets, fault: ScheduledFault) -> str:
    """Inject one fault to its end, and return in words what was done. Raises LabelwireError if that is not possible."""
    return _FAULTS[fault.kind](targets, fault)


def _worker_sigkill(targets: FaultTargets, fault: ScheduledFault) -> str:
    return targets.workers.kill(fault.pick)


def _worker_sigterm(targets: FaultTargets, fault: ScheduledFault) -> str:
    return targets.workers.terminate(fault.pick)


def _worker_stall(targets: FaultTargets, fault: ScheduledFault) -> str:
    return targets.workers.stall(fault.pick, targets.sleeping(fault))


def _rebalance(targets: FaultTargets, fault: ScheduledFault) -> str:
    return targets.workers.join(targets.sleeping(fault))


def _triton_sigkill(targets: FaultTargets, _fault: ScheduledFault) -> str:
    with targets.triton_lock:
        return _kill_and_start(targets, targets.triton, "triton")


def _broker_sigkill(targets: FaultTargets, _fault: ScheduledFault) -> str:
    with targets.broker_lock:
        return _kill_and_start(targets, targets.broker, "broker")


def _kill_and_start(targets: FaultTargets, server: Server, name: str) -> str:
    killed_at_ms = targets.clock.epoch_ms()
    server.kill()
    server.start()
    restart = Restart(name, killed_at_ms, targets.clock.epoch_ms())
    targets.restarts.append(restart)
    return f"back after {(restart.ready_at_ms - killed_at_ms) / 1000:.1f} s"


def _triton_stall(targets: FaultTargets, fault: ScheduledFault) -> str:
    with targets.triton_lock:
        os.kill(targets.triton.pid, signal.SIGSTOP)
        try:
            targets.sleeping(fault)()
        finally:
            os.kill(targets.triton.pid, signal.SIGCONT)
    return "SIGSTOP"


def _connections_dropped(server: str, targets: FaultTargets, fault: ScheduledFault) -> str:
    """Refuse, reset or swallow: a network fails in all three ways."""
    link = targets.links[server]
    way = ("refused", "reset", "swallowed")[fault.pick % 3]
    with _disabled(link) if way == "refused" else _toxic(link, "reset_peer" if way == "reset" else "timeout"):
        targets.sleeping(fault)()
    return way


def _slow(server: str, targets: FaultTargets, fault: ScheduledFault) -> str:
    kind, attributes = _SLOW[fault.pick % len(_SLOW)]
    with _toxic(targets.links[server], kind, stream=("downstream", "upstream")[fault.pick // 8 % 2], **attributes):
        targets.sleeping(fault)()
    return f"{kind} {', '.join(f'{name} {value}' for name, value in attributes.items())}"


def _poison_pictures(targets: FaultTargets, _fault: ScheduledFault) -> str:
    targets.load.submit(targets.poison)
    return ", ".join(picture.name for picture in targets.poison)


def _dead_letter_limit(targets: FaultTargets, fault: ScheduledFault) -> str:
    count = targets.burst_jobs
    targets.load.submit([targets.undecodable[(fault.pick + n) % len(targets.undecodable)] for n in range(count)])
    full = _workers_over_their_limit(targets)
    said = f"on worker {full[0]} some wait for the limit" if full else "no worker wrote too many within a minute"
    return f"{count} jobs that cannot be read, at once: {said}"


def _workers_over_their_limit(targets: FaultTargets) -> list[int]:
    """Wait until a worker says that bad jobs wait for its limit; none if that does not come about."""
    deadline = targets.clock.monotonic() + _LIMIT_SECONDS
    while not (full := targets.workers.unready_for("dead_letters:")) and targets.clock.monotonic() < deadline:
        if targets.ending.wait(_LOOK_SECONDS):
            break
    return full


@contextlib.contextmanager
def _disabled(link: Link) -> Iterator[None]:
    link.disable()
    try:
        yield
    finally:
        link.enable()


@contextlib.contextmanager
def _toxic(link: Link, kind: str, *, stream: str = "downstream", **attributes: int) -> Iterator[None]:
    name = link.add_toxic(kind, stream=stream, **(attributes or {"timeout": 0}))
    try:
        yield
    finally:
        link.remove_toxic(name)


_LIMIT_SECONDS: Final = 45.0
_LOOK_SECONDS: Final = 0.5
_SLOW: Final[Sequence[tuple[str, Mapping[str, int]]]] = (
    ("latency", {"latency": 400, "jitter": 150}),
    ("bandwidth", {"rate": 256}),
    ("slicer", {"average_size": 2048, "size_variation": 512, "delay": 1000}),
)
_FAULTS: Final[Mapping[FaultKind, Callable[[FaultTargets, ScheduledFault], str]]] = {
    FaultKind.WORKER_SIGKILL: _worker_sigkill,
    FaultKind.WORKER_SIGTERM: _worker_sigterm,
    FaultKind.WORKER_STALL: _worker_stall,
    FaultKind.WORKER_ZOMBIE: _worker_stall,
    FaultKind.TRITON_SIGKILL: _triton_sigkill,
    FaultKind.TRITON_STALL: _triton_stall,
    FaultKind.TRITON_CONNECTIONS_DROPPED: functools.partial(_connections_dropped, "triton"),
    FaultKind.TRITON_SLOW: functools.partial(_slow, "triton"),
    FaultKind.BROKER_SIGKILL: _broker_sigkill,
    FaultKind.KAFKA_CONNECTIONS_DROPPED: functools.partial(_connections_dropped, "kafka"),
    FaultKind.KAFKA_SLOW: functools.partial(_slow, "kafka"),
    FaultKind.REBALANCE: _rebalance,
    FaultKind.POISON_PICTURES: _poison_pictures,
    FaultKind.DEAD_LETTER_LIMIT: _dead_letter_limit,
}
