"""`labelwire models …`: build a Triton model repository."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from worker.domain.manifest import ModelRole
from worker.models.build import build_repository
from worker.models.choice import serve_choice
from worker.models.profiles import DEFAULT_ALTERNATIVES, DEFAULT_CORES, select_profile

app = typer.Typer(help="Build model repositories for Triton.", no_args_is_help=True, add_completion=False)
_OnnxFile = Annotated[Path | None, typer.Option(help="ONNX file to use instead of the pinned one.")]


@app.callback()
def _models() -> None:
    """Build model repositories for Triton."""


@app.command()
def build(  # noqa: PLR0913  one for each option
    *,
    profile: Annotated[str, typer.Option(help="embedded, onnx or tensorrt.")] = "embedded",
    alphabet: Annotated[str, typer.Option(help="full, latin, or a file with the characters to keep.")] = "full",
    alternatives: Annotated[
        int, typer.Option(help="Candidates that the recognizer returns for each character, best first.")
    ] = DEFAULT_ALTERNATIVES,
    device: Annotated[str | None, typer.Option(help="cpu (default) or gpu; for the onnx profile.")] = None,
    accelerator: Annotated[
        str | None, typer.Option(help="tensorrt: the onnx profile on a GPU builds engines when Triton starts.")
    ] = None,
    cores: Annotated[int | None, typer.Option(help=f"CPU cores of the server; {DEFAULT_CORES} if not given.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or int8; for the embedded profile.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; build/model_repository/PROFILE if not given.")
    ] = None,
    detector: _OnnxFile = None,
    recognizer: _OnnxFile = None,
    orientation: _OnnxFile = None,
) -> None:
    """Write a complete model repository, in which each model describes itself.

    The profile tensorrt has to be built on the GPU host that serves, where the Python module tensorrt is installed.
    """
    chosen = select_profile(profile, device=device, precision=precision, cores=cores, accelerator=accelerator)
    given = {
        ModelRole.DETECTOR: detector,
        ModelRole.RECOGNIZER: recognizer,
        ModelRole.ORIENTATION: orientation,
    }
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)
        repository = build_repository(
            chosen,
            output or Path("build/model_repository") / profile,
            alphabet=alphabet,
            alternatives=alternatives,
            sources={role: path for role, path in given.items() if path is not None},
            progress=lambda what, part: bar.update(task, description=what, completed=part),
        )
    typer.echo(repository)


@app.command()
def choose(
    repositories: Annotated[list[Path], typer.Argument(help="Built repositories, the preferred one first.")],
) -> None:
    """Print the first repository that this host can serve, and say why those before it are not served."""
    status = serve_choice(repositories)
    if status != 0:
        raise typer.Exit(status)
