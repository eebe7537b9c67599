"""Which faults happen when: a value that follows from a seed.

Invariants: the same seed, duration and kinds give the same schedule; every kind occurs as soon as there is time for
all of them; what a fault leaves to recover from has the time that it needs before the next one begins.
"""

import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FaultKind(StrEnum):
    """What can be done to a running system."""

    WORKER_SIGKILL = "worker_sigkill"
    WORKER_SIGTERM = "worker_sigterm"
    WORKER_STALL = "worker_stall"
    WORKER_ZOMBIE = "worker_zombie"
    TRITON_SIGKILL = "triton_sigkill"
    TRITON_STALL = "triton_stall"
    TRITON_CONNECTIONS_DROPPED = "triton_connections_dropped"
    TRITON_SLOW = "triton_slow"
    BROKER_SIGKILL = "broker_sigkill"
    KAFKA_CONNECTIONS_DROPPED = "kafka_connections_dropped"
    KAFKA_SLOW = "kafka_slow"
    REBALANCE = "rebalance"
    POISON_PICTURES = "poison_pictures"
    DEAD_LETTER_LIMIT = "dead_letter_limit"


NETWORK_KINDS: Final = frozenset(
    {
        FaultKind.TRITON_CONNECTIONS_DROPPED,
        FaultKind.TRITON_SLOW,
        FaultKind.KAFKA_CONNECTIONS_DROPPED,
        FaultKind.KAFKA_SLOW,
    }
)


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """A fault to come: seconds after the start, how long it lasts, and a number that picks its target and variant."""

    at_seconds: float
    kind: FaultKind
    lasts_seconds: float
    pick: int


@dataclass(frozen=True, slots=True)
class _FaultRate:
    """How often a kind occurs in a round of some five minutes, how long it lasts, and the time until the next fault."""

    times: int
    pause_seconds: float
    lasts_seconds: tuple[float, float] = (0.0, 0.0)


_FAULT_RATES: Final[Mapping[FaultKind, _FaultRate]] = {
    FaultKind.WORKER_SIGKILL: _FaultRate(4, 4.5),
    FaultKind.WORKER_SIGTERM: _FaultRate(4, 4.5),
    FaultKind.WORKER_STALL: _FaultRate(4, 4.5, (1, 4)),
    # The group's session ends after 6 seconds here, so the partitions go to others while it sleeps.
    FaultKind.WORKER_ZOMBIE: _FaultRate(2, 12, (8, 10)),
    # Triton's own start takes some ten seconds, and what follows it is measured.
    FaultKind.TRITON_SIGKILL: _FaultRate(3, 20),
    FaultKind.TRITON_STALL: _FaultRate(3, 5, (2, 5)),
    FaultKind.TRITON_CONNECTIONS_DROPPED: _FaultRate(4, 4, (0.2, 2)),
    FaultKind.TRITON_SLOW: _FaultRate(4, 3.5, (3, 6)),
    FaultKind.BROKER_SIGKILL: _FaultRate(3, 8),
    FaultKind.KAFKA_CONNECTIONS_DROPPED: _FaultRate(4, 4.5, (0.2, 2)),
    FaultKind.KAFKA_SLOW: _FaultRate(4, 3.5, (3, 6)),
    FaultKind.REBALANCE: _FaultRate(3, 5, (5, 8)),
    FaultKind.POISON_PICTURES: _FaultRate(2, 8),
    FaultKind.DEAD_LETTER_LIMIT: _FaultRate(1, 8),
}
# The intake stands for up to a minute after this one, so it comes once, at the end.
_LAST: Final = FaultKind.DEAD_LETTER_LIMIT
_CALM_SECONDS: Final = 3.0
_SWAY: Final = 0.15
_PICKS: Final = 1_000_000


def draw_schedule(
    seed: int, duration_seconds: float, kinds: Collection[FaultKind] = tuple(FaultKind)
) -> tuple[ScheduledFault, ...]:
    """Return the faults of a run in their order, at least one even if the time is short."""
    chance = random.Random(seed)  # noqa: S311 - a schedule, no secret
    room = duration_seconds - _CALM_SECONDS - (_FAULT_RATES[_LAST].pause_seconds if _LAST in kinds else 0.0)
    drawn: list[tuple[FaultKind, float]] = []
    for kind in _rounds(chance, set(kinds) - {_LAST}):
        pause = _FAULT_RATES[kind].pause_seconds * chance.uniform(1 - _SWAY, 1 + _SWAY)
        if drawn and sum(taken for _, taken in drawn) + pause > room:
            break
        drawn.append((kind, pause))
    if _LAST in kinds:
        drawn.append((_LAST, _FAULT_RATES[_LAST].pause_seconds))
    return tuple(_spread(chance, drawn, duration_seconds))


def _rounds(chance: random.Random, kinds: Collection[FaultKind]) -> Iterator[FaultKind]:
    """Yield kinds without end: each round first every kind once, then the rest of what a round has."""
    ordered = sorted(kinds)
    while ordered:
        once = chance.sample(ordered, len(ordered))
        again = [kind for kind in ordered for _ in range(_FAULT_RATES[kind].times - 1)]
        yield from once
        yield from chance.sample(again, len(again))


def _spread(
    chance: random.Random, drawn: list[tuple[FaultKind, float]], duration_seconds: float
) -> Iterator[ScheduledFault]:
    """Spread the faults over the whole time, each with its share."""
    stretch = max(1.0, (duration_seconds - _CALM_SECONDS) / sum(pause for _, pause in drawn))
    at_seconds = _CALM_SECONDS
    for kind, pause in drawn:
        lasts = chance.uniform(*_FAULT_RATES[kind].lasts_seconds)
        yield ScheduledFault(round(at_seconds, 2), kind, round(lasts, 2), chance.randrange(_PICKS))
        at_seconds += pause * stretch
