"""The rounds of a bench: everybody's turn in each, in an order that rotates, so that a slow minute hits all alike."""

from collections.abc import Sequence
from typing import TypeVar

from worker.lab.bench.contestants import Contestant, ContestantTurn
from worker.reporting.progress import counted

_Anybody = TypeVar("_Anybody")


def run_rounds(contestants: Sequence[Contestant], rounds: int, images: int) -> list[ContestantTurn]:
    """Warm everybody up, then run all rounds. Raises MeasurementError if a contestant fails."""
    for contestant in contestants:
        with counted(f"Warming up {contestant.title}", images) as advance:
            contestant.warm_up(advance)
    turns = []
    for number in range(rounds):
        for contestant in rotated(contestants, number):
            with counted(f"Round {number + 1} of {rounds}, {contestant.title}", contestant.images) as advance:
                turns.append(contestant.turn(number, idle_pids(contestant, contestants), advance))
    return turns


def rotated(contestants: Sequence[_Anybody], by: int) -> list[_Anybody]:
    """Return the order of a round."""
    start = by % len(contestants) if contestants else 0
    return [*contestants[start:], *contestants[:start]]


def idle_pids(busy: Contestant, contestants: Sequence[Contestant]) -> list[int]:
    """Return the processes that only work for others."""
    everybody = {pid for contestant in contestants for pid in contestant.pids}
    return sorted(everybody - set(busy.pids))
