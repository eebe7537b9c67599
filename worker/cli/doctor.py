"""`labelwire doctor`."""

import asyncio
import contextlib
import mimetypes
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from worker import bootstrap, settings
from worker.adapters.clock import SystemClock
from worker.adapters.triton.channel import addresses
from worker.doctor.compare import compare as compare_servers
from worker.doctor.examine import Examination, ExaminedServer, examine
from worker.doctor.observed import ObservedBackend
from worker.doctor.report import report_comparison, report_examination
from worker.reporting.progress import counted

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    *,
    url: Annotated[str | None, typer.Option(help="Triton's gRPC address, host:port.", show_default="settings")] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Two Triton's addresses: examine both and compare detectors and recognizers."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder of pictures that both read, instead of the golden page."
        ),
    ] = None,
) -> None:
    """Examine Triton's models: what each should be and is, where the time goes; exit code 1 on a broken promise."""
    chosen = settings.load()
    if compare is None:
        if data is not None:
            raise typer.BadParameter("give it with --compare A B", param_hint="--data")
        found = asyncio.run(_examine_all(_at(chosen, url or chosen.triton.url)))
    else:
        if url is not None:
            raise typer.BadParameter("--compare already names both servers", param_hint="--url")
        a, b = (_at(chosen, address) for address in compare)
        found = asyncio.run(_compare(a, b, _pictures(data) if data is not None else ()))
    raise typer.Exit(0 if all(one.is_healthy for one in found) else 1)


async def _examine_all(chosen: settings.Settings) -> list[Examination]:
    servers = addresses(chosen.triton)
    found = []
    for address in servers:
        if len(servers) > 1:
            Console().print(Text(address, style="bold reverse"))
        async with _open(_at(chosen, address)) as server:
            found.append(await examine(server))
        Console().print(report_examination(found[-1]))
    return found


async def _compare(a: settings.Settings, b: settings.Settings, pictures: Sequence[Path]) -> list[Examination]:
    console = Console()
    async with _open(a) as one, _open(b) as other:
        found = []
        for name, server in (("A", one), ("B", other)):
            console.print(Text(f"{name}: {server.settings.url}", style="bold reverse"))
            found.append(await examine(server))
            console.print(report_examination(found[-1]), Text(), sep="\n")
        if all(examined.models for examined in found):
            console.print(Text("A beside B", style="bold reverse"))
            with counted("Reading", len(pictures)) if pictures else contextlib.nullcontext(lambda: None) as advance:
                models = found[0].models, found[1].models
                compared = await compare_servers((one, other), models, pictures, advance)
            console.print(report_comparison(compared))
    return found


@contextlib.asynccontextmanager
async def _open(chosen: settings.Settings) -> AsyncIterator[ExaminedServer]:
    backend = ObservedBackend(bootstrap.triton_backend(chosen), SystemClock())
    async with bootstrap.open_model_client(chosen, backend) as reader:
        yield ExaminedServer(chosen.triton, backend, reader)


def _at(chosen: settings.Settings, url: str) -> settings.Settings:
    return chosen.model_copy(update={"triton": chosen.triton.model_copy(update={"url": url})})


def _pictures(folder: Path) -> list[Path]:
    types = {path: mimetypes.guess_type(path)[0] or "" for path in sorted(folder.iterdir())}
    found = [path for path, said in types.items() if said.startswith("image/") or said == "application/pdf"]
    if not found:
        raise typer.BadParameter(f"{folder} holds no pictures", param_hint="--data")
    return found
