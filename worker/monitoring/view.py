"""A frame of a deployment on a terminal."""

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.monitoring.frame import DeploymentFrame, ModelRow, Quantiles, WorkerRow
from worker.reporting.formats import DASH, decimals, duration, printable, size, whole

_COLOURS: Final = {"ready": "green", "not ready": "yellow", "down": "red"}
_CIRCUITS: Final = {"closed": "green", "half-open": "yellow", "open": "red"}


def frame_view(frame: DeploymentFrame) -> RenderableType:
    """Return what a terminal shows of a frame."""
    parts: list[RenderableType] = [_summary(frame), _workers(frame.workers)]
    parts += [Text(_reason(row)) for row in frame.workers if row.reason]
    if frame.servers:
        parts.append(_servers(frame))
    if frame.models:
        parts.append(_models(frame.models))
    if frame.dead_letters:
        parts.append(_dead_letters(frame))
    return Group(*parts)


def _summary(frame: DeploymentFrame) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    ready = sum(row.state == "ready" for row in frame.workers)
    table.add_row("workers", f"{ready} of {len(frame.workers)} ready")
    rates = ", ".join(f"{outcome} {decimals(rate, 1)}/s" for outcome, rate in frame.outcomes_per_second.items())
    table.add_row("jobs", f"{rates} (over {decimals(frame.seconds, 0)} s)" if frame.seconds else DASH)
    lag = ", ".join(f"{printable(topic)} {whole(count)}" for topic, count in frame.lag.items() if count)
    table.add_row("lag", lag or ("none" if frame.lag else f"{DASH} (no worker tells it)"))
    table.add_row("age", _spread(frame.age))
    table.add_row("duration", _spread(frame.duration))
    return table


def _spread(quantiles: Quantiles) -> str:
    if quantiles.p50 is None:
        return f"{DASH} (no job ended)"
    return f"p50 {_seconds(quantiles.p50)}  p95 {_seconds(quantiles.p95)}  p99 {_seconds(quantiles.p99)}"


def _seconds(seconds: float | None) -> str:
    return duration(None if seconds is None else 1000 * seconds)


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _workers(rows: Sequence[WorkerRow]) -> Table:
    table = _table(
        "\nWorkers",
        ("worker", "state"),
        ("jobs/s", "active", "lag", "p50", "p95", "p99", "waiting", "memory"),
    )
    for row in rows:
        state = Text(row.state, style=_COLOURS[row.state])
        numbers = (
            decimals(row.jobs_per_second, 1),
            whole(row.inflight_jobs),
            whole(row.lag),
            _seconds(row.duration.p50),
            _seconds(row.duration.p95),
            _seconds(row.duration.p99),
            whole(row.letters_waiting),
            size(round(row.memory_bytes)),
        )
        table.add_row(printable(row.name), state, *(numbers if row.state != "down" else (DASH,) * len(numbers)))
    return table


def _reason(row: WorkerRow) -> str:
    return printable(row.reason if row.state == "down" else f"{row.name} is not ready because of: {row.reason}")


def _servers(frame: DeploymentFrame) -> Table:
    table = _table("\nTriton", ("server",), ())
    table.add_column("state", overflow="fold")
    for name, problem in frame.servers.items():
        text = Text(f"down: {printable(problem)}", style="red") if problem else Text("answers", style="green")
        table.add_row(printable(name), text)
    return table


def _models(rows: Sequence[ModelRow]) -> Table:
    table = _table(
        "\nModels",
        ("model", "circuit"),
        ("req/s", "fail/s", "p50", "p95", "p99", "batch", "queue", "pending"),
    )
    for row in rows:
        table.add_row(
            printable(row.name),
            Text(row.circuit or DASH, style=_CIRCUITS.get(row.circuit, "default")),
            decimals(row.requests_per_second, 1),
            decimals(row.failures_per_second, 1),
            _seconds(row.duration.p50),
            _seconds(row.duration.p95),
            _seconds(row.duration.p99),
            decimals(row.batch_size, 1),
            _seconds(row.queue_seconds),
            whole(row.pending),
        )
    return table


def _dead_letters(frame: DeploymentFrame) -> Table:
    table = _table("\nDead letters", ("code",), ("since the workers' start", "per second"))
    for row in sorted(frame.dead_letters, key=lambda each: (-each.total, each.code)):
        table.add_row(printable(row.code), whole(row.total), decimals(row.per_second, 2))
    return table
