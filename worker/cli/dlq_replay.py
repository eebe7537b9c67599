"""`labelwire dlq replay`."""

import getpass
import json
import socket
import sys
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.console import Console

from worker import settings
from worker.adapters.clock import SystemClock
from worker.cli.dlq_filters import (
    AsJson,
    Codes,
    Fingerprints,
    HeaderValues,
    Keys,
    Limit,
    NewerThan,
    OlderThan,
    Stages,
    filters_of,
)
from worker.dlq.filters import Filters, parse_filters
from worker.dlq.replay.canary import CanaryLimits, CanaryOutcomes
from worker.dlq.replay.executor import carry_out
from worker.dlq.replay.plan import ReplayError, ReplayPlan, ReplayRequest
from worker.dlq.replay.planner import PreparedReplay, ReplayPlanner
from worker.dlq.replay.result import ReplayListener, ReplayParameters, ReplayResult
from worker.dlq.replay.result_text import format_canaries, format_plan, format_result, plan_document, result_document
from worker.dlq.replay.signals import stop_on_signals
from worker.domain.errors import LabelwireError
from worker.reporting.formats import printable
from worker.reporting.progress import Reach, reaching
from worker.settings import Settings

_MAX_REPLAYS = 3


def replay(  # noqa: PLR0913 - each option is a parameter
    *,
    codes: Codes = None,
    stages: Stages = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    keys: Keys = None,
    headers: HeaderValues = None,
    fingerprints: Fingerprints = None,
    limit: Limit = None,
    target: Annotated[
        str | None, typer.Option(help="The topic to write to; by default the replay topic of the settings.")
    ] = None,
    to_origin: Annotated[
        bool, typer.Option("--to-origin", help="Write each job to the topic that it came from.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Most letters per second; by default there is no limit.")
    ] = None,
    max_replays: Annotated[
        int | None, typer.Option(min=1, help="Park letters that were replayed this often already; 3 by default.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also replay letters that earlier replays took.")] = False,
    canary: Annotated[
        bool, typer.Option(help="Replay about 1 % of each error group first, and the rest if it succeeds.")
    ] = True,
    canary_wait: Annotated[
        float, typer.Option(min=0, help="Longest wait for the outcomes of the canaries, in seconds.")
    ] = 120,
    max_failure_ratio: Annotated[
        float, typer.Option(min=0, max=1, help="Stop if a larger share of the canaries fails again.")
    ] = 0.5,
    run_id: Annotated[str | None, typer.Option(help="Name of the replay; by default it follows from the plan.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN-ID", help="Resume an unfinished replay.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    by: Annotated[
        str | None, typer.Option(help="Who replays, for the record of the run; by default user@host.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back as jobs, each exactly once, even if it is interrupted and resumed."""
    chosen = settings.load()
    filters = filters_of(codes, stages, older_than, newer_than, keys, headers, fingerprints, limit)
    planner = ReplayPlanner(chosen, SystemClock())
    if resume is not None:
        if filters != Filters() or to_origin or again or (target, run_id, max_replays) != (None, None, None):
            raise LabelwireError(
                "--resume continues the plan as it was made: leave out filters, --target, --to-origin, --max-replays, "
                "--again and --run-id."
            )
        prepared = planner.resume(resume)
    else:
        if to_origin and target is not None:
            raise LabelwireError(f"--to-origin and --target {target} exclude each other; give one of them.")
        chosen_target = None if to_origin else target or chosen.topics.replay_topic
        request = ReplayRequest(
            parse_filters(filters), chosen_target, max_replays or _MAX_REPLAYS, run_id, canary=canary, again=again
        )
        prepared = planner.prepare(request)
    if dry_run:
        _show_plan(prepared, as_json=as_json)
        return
    _confirm(prepared, yes=yes, as_json=as_json)
    limits = CanaryLimits(canary_wait, max_failure_ratio) if canary else None
    result = _carry_out(chosen, prepared, ReplayParameters(rate, limits, by or _current_user()))
    _show_result(prepared, result, as_json=as_json)


def _show_plan(prepared: PreparedReplay, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"plan": plan_document(prepared)}, indent=2))
        return
    console = Console()
    for line in format_plan(prepared):
        console.print(line, soft_wrap=True)


def _confirm(prepared: PreparedReplay, *, yes: bool, as_json: bool) -> None:
    if not yes and not sys.stdin.isatty():
        raise ReplayError("There is no terminal to ask for confirmation: --dry-run shows the plan, --yes replays.")
    console = Console(stderr=as_json)
    for line in format_plan(prepared):
        console.print(line, soft_wrap=True)
    if not yes and not typer.confirm("Replay these letters?", err=as_json):
        raise ReplayError("Nothing was replayed.")


def _carry_out(chosen: Settings, prepared: PreparedReplay, parameters: ReplayParameters) -> ReplayResult:
    with ExitStack() as stack, stop_on_signals() as timing:
        display = _ProgressDisplay(stack)
        listener = ReplayListener(display.began, display.advanced, display.watched)
        return carry_out(chosen, prepared, parameters, listener, SystemClock(), timing)


class _ProgressDisplay:
    """Shows how far a replay is, on standard error."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._console = Console(stderr=True)
        self._reach: Reach | None = None
        self._done = 0
        self._said = ""

    def began(self, plan: ReplayPlan, done: int) -> None:
        """Show a bar."""
        self._reach = self._stack.enter_context(reaching(f"Replaying {plan.run_id}", plan.letters, self._console))
        self.advanced(done)

    def advanced(self, letters: int) -> None:
        """Move it."""
        self._done += letters
        if self._reach is not None:
            self._reach(self._done)

    def watched(self, outcomes: CanaryOutcomes) -> None:
        """Print how many canaries have an outcome, when that has changed."""
        said = format_canaries(outcomes)
        if said != self._said:
            self._said = said
            self._console.print(said, markup=False, highlight=False, soft_wrap=True)


def _show_result(prepared: PreparedReplay, result: ReplayResult, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"plan": plan_document(prepared), "outcome": result_document(result)}, indent=2))
    else:
        for line in format_result(result):
            print(line)
    for notice in result.notices:
        print(printable(notice), file=sys.stderr)
    problem = result.problem()
    if problem is not None:
        raise ReplayError(problem)


def _current_user() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a pod's user id has no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
