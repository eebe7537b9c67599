"""`labelwire audit`."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from worker import settings
from worker.audit.report import AuditReport
from worker.audit.run import audit_until_settled
from worker.audit.state import DEFAULT_HORIZON_SECONDS
from worker.reporting.formats import whole
from worker.reporting.progress import reaching

_DAY_SECONDS: Final = 24 * 3600.0

app = typer.Typer(add_completion=False)


@app.command()
def audit(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="Most jobs to name for each problem.")] = 20,
    wait: Annotated[
        float, typer.Option(min=0, help="Repeat for up to this many seconds while jobs are pending.")
    ] = 0.0,
    complete: Annotated[bool, typer.Option("--complete", help="Fail if jobs are still pending.")] = False,
    state: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps what was read, so that the next audit reads only what is new."),
    ] = None,
    horizon_days: Annotated[
        float, typer.Option(min=0.01, help="Days that finished jobs stay in the state, to find repeats of them.")
    ] = DEFAULT_HORIZON_SECONDS / _DAY_SECONDS,
) -> None:
    """Prove that every job has exactly one outcome, and name those that do not. Read-only; safe while workers run."""
    chosen = settings.load()
    report = audit_until_settled(
        chosen.kafka,
        chosen.topics,
        wait_seconds=wait,
        progress=reaching,
        offenders=limit,
        state_folder=state,
        horizon_seconds=horizon_days * _DAY_SECONDS,
    )
    if as_json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        _show(report)
    if not report.is_sound or (complete and report.pending):
        raise typer.Exit(1)


def _show(report: AuditReport) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for sentence in (*report.span(), *report.gaps, *report.notes):
        console.print(sentence, markup=False)
    table = Table(box=None, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for count, what in report.lines():
        table.add_row(whole(count), what)
    console.print(table)
    for offender in report.offenders:
        console.print(str(offender), markup=False)
    console.print(report.verdict(), markup=False)
