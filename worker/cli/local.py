"""`labelwire local`: the embedded broker and Triton for development."""

from pathlib import Path
from typing import Annotated

import typer

from worker.local.detached import STATE_FOLDER, Addresses, bring_up, read_status, take_down
from worker.local.progress import progress

app = typer.Typer(
    help="Run Kafka and Triton on this machine for development, without containers.",
    no_args_is_help=True,
    add_completion=False,
)

_Folder = Annotated[Path, typer.Option("--folder", help="Folder for state, logs and data.")]


@app.command()
def up(
    folder: _Folder = STATE_FOLDER,
    model_repository: Annotated[
        list[Path] | None,
        typer.Option(
            help="Built model repository; give it twice for two model sets. Without it, the embedded one is built."
        ),
    ] = None,
) -> None:
    """Start Kafka and Triton in the background, with empty topics, and print their addresses."""
    addresses, was_up = bring_up(folder, lambda: model_repository or [_build_embedded()])
    typer.echo("The local stack is up already." if was_up else "The local stack is up.")
    if was_up and model_repository:  # a shell that evaluates the exports shows no more than this
        typer.echo(
            "It serves what it was started with: to serve other models, run `labelwire local down` first.", err=True
        )
    _print_addresses(addresses)


@app.command()
def down(folder: _Folder = STATE_FOLDER) -> None:
    """Stop what `up` started."""
    typer.echo("The local stack is down." if take_down(folder) else "There was no local stack to stop.")


@app.command()
def status(
    folder: _Folder = STATE_FOLDER,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
) -> None:
    """Show what runs; exit code 1 unless Kafka and Triton both answer."""
    found = read_status(folder)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    elif found.addresses is None:
        typer.echo(f"The local stack is {found.phase}.")
    else:
        typer.echo(f"The local stack is up (process {found.pid}).")
        typer.echo(f"Kafka answers: {_yes(found.kafka_answers)}; Triton is ready: {_yes(found.triton_ready)}")
        _print_addresses(found.addresses)
    raise typer.Exit(0 if found.kafka_answers and found.triton_ready else 1)


def _yes(answer: bool | None) -> str:  # noqa: FBT001
    return "yes" if answer else "no"


def _print_addresses(addresses: Addresses) -> None:
    typer.echo(f"Kafka ({addresses.kafka_kind}): {addresses.bootstrap_servers}")
    typer.echo(f"Triton: gRPC {addresses.triton_grpc_url}, HTTP {addresses.triton_http_url}")
    typer.echo(f"Triton's metrics: {addresses.triton_metrics_url}")
    typer.echo("\nTo point a worker at them:\n")
    for line in addresses.exports():
        typer.echo(line)


def _build_embedded() -> Path:
    from worker.models.build import build_repository  # noqa: PLC0415  (onnx is slow to import)

    with progress("Building the model repository") as report:
        return build_repository(
            "embedded",
            Path("build/model_repository/embedded"),
            progress=lambda what, part: report(f"{what} ({part:.0%})"),
        )
