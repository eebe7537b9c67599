# ruff: noqa: T201 - a command prints
"""Runs of the simulation: `python -m tests.simulation --seeds 10000`, or one with its trace: `--seed N`."""

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator

from tests.simulation.world import simulate
from worker.reporting.progress import counted

_CHUNK = 20


def main() -> int:
    """Run seeds, say which fail and how to see one; the exit code is 0 only if none does."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to run")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many processes share the work")
    parser.add_argument("--seed", type=int, help="run this seed alone, and print what happened")
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options.seed)
    return _run_all(range(options.first, options.first + options.seeds), options.jobs)


def _replay(seed: int) -> int:
    verdict = simulate(seed)
    for line in verdict.trace.lines():
        print(line)
    print(f"seed {seed}: {'; '.join(verdict.failures) or 'right'} (trace {verdict.trace.digest()[:16]})")
    return 1 if verdict.failures else 0


def _run_all(seeds: range, jobs: int) -> int:
    started, failed, virtual_seconds = time.monotonic(), 0, 0.0
    with counted("seeds", len(seeds)) as advance:
        for seed, failures, seconds in _outcomes(seeds, jobs):
            advance()
            virtual_seconds += seconds
            if failures:
                failed += 1
                print(
                    f"seed {seed}: {failures[0]}\n  see it with: python -m tests.simulation --seed {seed}", flush=True
                )
    print(
        f"{len(seeds)} seeds, {failed} failed; {virtual_seconds / 3600:.1f} simulated hours"
        f" in {time.monotonic() - started:.0f} seconds"
    )
    return 1 if failed else 0


def _outcomes(seeds: range, jobs: int) -> Iterator[tuple[int, tuple[str, ...], float]]:
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=gc.disable) as pool:
        yield from pool.imap_unordered(_outcome, seeds, chunksize=_CHUNK)


def _outcome(seed: int) -> tuple[int, tuple[str, ...], float]:
    verdict = simulate(seed)
    if seed % _CHUNK == 0:
        gc.collect()
    return seed, verdict.failures, verdict.virtual_seconds


if __name__ == "__main__":
    sys.exit(main())
