"""Many seeds, shared among processes."""

import gc
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass

from tests.simulation.world import simulate

_CHUNK = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a seed, small enough to come from another process."""

    seed: int
    failures: tuple[str, ...]
    virtual_seconds: float


def run_many(seeds: range, jobs: int) -> Iterator[Outcome]:
    """Run seeds in so many processes, and return their outcomes as they come."""
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=gc.disable) as pool:
        yield from pool.imap_unordered(_run, seeds, chunksize=_CHUNK)


def _run(seed: int) -> Outcome:
    verdict = simulate(seed)
    outcome = Outcome(seed, verdict.failures, verdict.virtual_seconds)
    if seed % _CHUNK == 0:
        gc.collect()
    return outcome
