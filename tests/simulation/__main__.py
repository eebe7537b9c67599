# ruff: noqa: T201 - a command prints
"""Runs of the simulation: `python -m tests.simulation --seeds 10000`, or one with its trace: `--seed N`."""

import argparse
import os
import sys
import time

from tests.simulation.many import run_many
from tests.simulation.world import simulate
from worker.reporting.progress import counted


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
        for outcome in run_many(seeds, jobs):
            advance()
            virtual_seconds += outcome.virtual_seconds
            if outcome.failures:
                failed += 1
                print(f"seed {outcome.seed}: {outcome.failures[0]}", flush=True)
                print(f"  see it with: python -m tests.simulation --seed {outcome.seed}", flush=True)
    seconds = time.monotonic() - started
    print(f"{len(seeds)} seeds, {failed} failed; {virtual_seconds / 3600:.1f} simulated hours in {seconds:.0f} seconds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
