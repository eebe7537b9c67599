# ruff: noqa: T201 - a command prints
"""Runs of the simulation: `python -m tests.simulation --seeds 10000`, or one with its trace: `--seed N`.

With `--workers 200 --partitions 1000` one large run is measured instead.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.simulation.many import run_many
from tests.simulation.scale import PHASES_SECONDS, ScalePlan, measure, tracker_bytes
from tests.simulation.world import simulate
from worker.domain.offsets import MAX_WINDOW
from worker.reporting.formats import DASH, decimals, whole
from worker.reporting.progress import counted, reaching

_TABLE_CHARACTERS = 170


def main() -> int:
    """Run seeds, say which fail and how to see one; the exit code is 0 only if none does."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to run")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many processes share the work")
    parser.add_argument("--seed", type=int, help="run this seed alone, and print what happened")
    parser.add_argument("--workers", type=int, help="measure one run of so many workers, half of which come and go")
    parser.add_argument("--partitions", type=int, default=1000, help="partitions of each topic in that run")
    parser.add_argument("--rate", type=int, default=200, help="jobs a second in that run")
    parser.add_argument("--key-order", action="store_true", help="let that run keep the order of keys")
    parser.add_argument("--json", action="store_true", help="print that run's figures as JSON")
    options = parser.parse_args()
    if options.workers is not None:
        plan = ScalePlan(options.workers, options.partitions, options.rate, options.key_order, options.seed or 0)
        return _measure(plan, as_json=options.json)
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


def _measure(plan: ScalePlan, *, as_json: bool) -> int:
    with reaching("virtual seconds", PHASES_SECONDS) as show:
        measured = measure(plan, show)
    shown = {**measured.to_dict(), "tracker_bytes": tracker_bytes(8), "full_tracker_bytes": tracker_bytes(MAX_WINDOW)}
    if as_json:
        print(json.dumps(shown, indent=2))
    else:
        _show(shown)
    return 1 if measured.failures else 0


def _show(shown: Mapping[str, Any]) -> None:
    table = Table(box=None)
    names = ["phase", "workers", "jobs", "results", "dead letters", "retries", "commits/s", "in the busiest s"]
    names += ["requests/s", "moved", "read twice", "unread for s (max)", "longest pause s", "open at most"]
    for name in names:
        table.add_column(name, justify="left" if name == "phase" else "right")
    for phase in shown["phases"]:
        unread = phase["without_owner_seconds"]
        table.add_row(
            phase["name"],
            *(whole(phase[name]) for name in ("workers", "jobs", "results", "dead_letters", "retries")),
            decimals(phase["commits_per_second"], 1),
            whole(phase["commits_in_busiest_second"]),
            decimals(phase["commit_requests_per_second"], 1),
            *(whole(phase[name]) for name in ("partitions_moved", "read_twice")),
            DASH if unread is None else decimals(unread["max"], 2),
            decimals(phase["longest_pause_seconds"], 2),
            whole(phase["most_open_jobs"]),
        )
    console = Console(soft_wrap=True, highlight=False, width=_TABLE_CHARACTERS)
    console.print(table)
    sizes = ", ".join(f"{part} {size}" for part, size in shown["metadata_bytes"].items())
    recovery = shown["recovery_seconds"]
    console.print(f"Metadata of a commit in bytes: {sizes}.")
    console.print(f"Recovery after the outage: {'longer than its phase' if recovery is None else f'{recovery} s'}.")
    console.print(
        f"A partition's tracker takes {whole(shown['tracker_bytes'])} bytes with 8 jobs under way, and"
        f" {whole(shown['full_tracker_bytes'])} with a full window."
    )
    for failure in shown["failures"]:
        console.print(failure, markup=False)


if __name__ == "__main__":
    sys.exit(main())
