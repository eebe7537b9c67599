"""`labelwire top`."""

import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from worker import settings
from worker.adapters.clock import SystemClock
from worker.monitoring.frame import DeploymentFrame, make_frame, windows
from worker.monitoring.targets import ReadPage, page_url, read_pages
from worker.monitoring.view import frame_view

app = typer.Typer(add_completion=False)
_TIMEOUT_SECONDS: Final = 2.0


@app.command()
def top(
    *,
    worker: Annotated[
        list[str] | None,
        typer.Option(
            "--worker",
            metavar="URL",
            help="A worker's address, as http://127.0.0.1:8080; repeatable. Of a name with several addresses, all.",
            show_default="this machine, the port of the settings",
        ),
    ] = None,
    triton: Annotated[
        list[str] | None,
        typer.Option("--triton", metavar="URL", help="Triton's metrics, as http://127.0.0.1:8002; repeatable."),
    ] = None,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    window: Annotated[float, typer.Option(min=0.2, help="Seconds over which rates and times are shown.")] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="Look twice, an interval apart, show that, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each frame as a line of JSON.")] = False,
) -> None:
    """Show live what a deployment does: lag, rates, times, batches, circuits, dead letters, readiness. Ctrl-C ends."""
    workers = [page_url(each) for each in worker or [f"127.0.0.1:{settings.load().http.port}"]]
    frames = _frames(workers, [page_url(each) for each in triton or ()], interval, window)
    if once:
        next(frames)
        frame = next(frames)
        _print(frame, as_json=as_json)
        raise typer.Exit(0 if any(row.state != "down" for row in frame.workers) else 1)
    try:
        _show(frames, as_json=as_json)
    except KeyboardInterrupt:
        raise typer.Exit from None


def _show(frames: Iterator[DeploymentFrame], *, as_json: bool) -> None:
    console = Console()
    if as_json or not console.is_terminal:
        for frame in frames:
            _print(frame, as_json=as_json)
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for frame in frames:
            live.update(frame_view(frame), refresh=True)


def _print(frame: DeploymentFrame, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(frame.to_dict()), flush=True)
    else:
        Console(highlight=False).print(frame_view(frame))


def _frames(
    workers: Sequence[str], servers: Sequence[str], interval_seconds: float, window_seconds: float
) -> Iterator[DeploymentFrame]:
    """Yield a frame for each look, over the window as far as it was seen."""
    clock = SystemClock()
    kept = max(2, 1 + round(window_seconds / interval_seconds))
    worker_looks: deque[list[ReadPage]] = deque(maxlen=kept)
    server_looks: deque[list[ReadPage]] = deque(maxlen=kept)
    while True:
        began_at = clock.monotonic()
        worker_looks.append(read_pages(workers, clock, _TIMEOUT_SECONDS))
        server_looks.append(read_pages(servers, clock, _TIMEOUT_SECONDS))
        yield make_frame(windows([*worker_looks]), windows([*server_looks]))
        time.sleep(max(0.0, began_at + interval_seconds - clock.monotonic()))
