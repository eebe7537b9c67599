# ruff: noqa: T201 - a command prints
"""Damaged files through the decode front: `python -m tests.fuzz --files 10000`, or one written down: `--seed N`."""

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.child import MEBIBYTE
from tests.fuzz.many import Ending, run_mutants
from tests.fuzz.mutate import mutant
from tests.pipeline.pictures import FILES
from worker.reporting.progress import counted


def main() -> int:
    """Read mutants, say which had what they must not; the exit code is 0 only if none had."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=1000, help="how many files to make")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the seed of the first")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many processes share the work")
    parser.add_argument("--seed", type=int, help="write the file of this seed to fuzz-SEED and end")
    options = parser.parse_args()
    if options.seed is not None:
        Path(f"fuzz-{options.seed}").write_bytes(mutant(options.seed, [make() for make in FILES.values()]))
        return 0
    return _run_all(range(options.first, options.first + options.files), options.jobs)


def _run_all(seeds: range, jobs: int) -> int:
    started = time.monotonic()
    endings: list[Ending] = []
    with counted("files", len(seeds)) as advance:
        for ending in run_mutants(seeds, jobs):
            advance()
            endings.append(ending)
            if ending.fault:
                print(f"seed {ending.name}: {ending.fault}", flush=True)
    for end, count in sorted(Counter(ending.end for ending in endings).items()):
        print(f"{count:7} {end}")
    faults = sum(ending.fault is not None for ending in endings)
    print(
        f"{len(endings)} files, {faults} with faults; at most {max(ending.seconds for ending in endings):.2f} seconds "
        f"and {max(ending.taken_bytes for ending in endings) / MEBIBYTE:.0f} MiB for one; "
        f"{time.monotonic() - started:.0f} seconds in all"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
