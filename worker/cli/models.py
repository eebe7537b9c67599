"""`labelwire models …`: import models, lower their precision, build, evaluate and keep model repositories."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from worker.cli import missing_package, registry
from worker.cli.export_data import export_data
from worker.domain.errors import LabelwireError
from worker.domain.manifest import ModelRole
from worker.domain.model_set import DEFAULT_SET, check_set_name, served_name
from worker.models.build import build_repository
from worker.models.checkpoint import Checkpoint, import_checkpoint
from worker.models.choice import serve_choice
from worker.models.golden import GoldenLine
from worker.models.importing import (
    ModelFacts,
    ModelImportError,
    import_model,
    read_characters,
    read_dictionary,
    read_picture,
)
from worker.models.model_card import ModelKind
from worker.models.precision.recipe import PAIR, LowPrecision, RecipeError
from worker.models.profiles import DEFAULT_ALTERNATIVES, DEFAULT_CORES, select_profile
from worker.models.tuning import TuningError, read_tuning, what_is_taken

app = typer.Typer(
    help="Import models, lower their precision, build and evaluate repositories for Triton, keep their versions.",
    no_args_is_help=True,
    add_completion=False,
)
_Model = Annotated[
    Path | None, typer.Option(help="Imported model (folder) or ONNX file to use instead of the pinned one.")
]


app.command(name="export-data")(export_data)


@app.callback()
def _models() -> None:
    """Import models, lower their precision, build and evaluate repositories for Triton, keep their versions."""


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
    precision: Annotated[
        str | None, typer.Option(help="fp32, fp16, bf16, int8 or auto, as the profile has them.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; build/model_repository/PROFILE[.MODEL_SET] if not given.")
    ] = None,
    model_set: Annotated[
        str, typer.Option(help="Name of the set, as v2: its models can be served beside those of other sets.")
    ] = DEFAULT_SET,
    tuning: Annotated[
        Path | None, typer.Option(help="File of models tune, for a CPU: instances, threads, static shapes, delay.")
    ] = None,
    detector: _Model = None,
    recognizer: _Model = None,
    orientation: _Model = None,
) -> None:
    """Write a complete model repository, in which each model describes itself.

    The profile tensorrt has to be built on the GPU host that serves, where the Python module tensorrt is installed.
    """
    chosen = select_profile(profile, device=device, precision=precision, cores=cores, accelerator=accelerator)
    if tuning is not None and cores is not None:
        raise TuningError(f"--cores {cores} and --tuning {tuning} both say how many cores serve: give one of them")
    read = None if tuning is None else read_tuning(tuning)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)
        repository = build_repository(
            chosen,
            output or Path("build/model_repository") / served_name(profile, check_set_name(model_set)),
            alphabet=alphabet,
            alternatives=alternatives,
            sources=_given(detector, recognizer, orientation),
            model_set=model_set,
            tuning=read,
            progress=lambda what, part: bar.update(task, description=what, completed=part),
        )
    if read is not None:
        taken = what_is_taken(chosen)
        typer.echo(f"Of the tuning {tuning} ({read.sha256[:12]}) the profile {profile} takes {taken}.", err=True)
    typer.echo(repository)


@app.command()
def quantize(
    *,
    precision: Annotated[str, typer.Option(help="int8 or fp16.")],
    data: Annotated[Path, typer.Option(help="Folder with pictures and truth.jsonl, on which the gate judges.")],
    profile: Annotated[str, typer.Option(help="embedded, or onnx, which is for tensorrt too.")] = "onnx",
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Folder with other pictures to calibrate with, blurred and faint ones among them; without it those of "
            "--data, and blurred and faint copies."
        ),
    ] = None,
    detector: _Model = None,
    recognizer: _Model = None,
    only: Annotated[
        ModelRole | None, typer.Option(help="Lower only this model: text_detector or text_recognizer.")
    ] = None,
    max_word_f1_loss: Annotated[float, typer.Option(min=0, help="How much word F1 may lose.")] = 0.005,
    max_line_hmean_loss: Annotated[float, typer.Option(min=0, help="How much line hmean may lose.")] = 0.01,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the recipe; that of the imported recognizer or detector if not given."),
    ] = None,
) -> None:
    """Find the layers that a detector and a recognizer compute in a lower precision without reading worse.

    Both are read through the whole pipeline by the engine of the profile, in ONNX Runtime on the CPU for a GPU. If the
    gate is passed, a recipe is written, which `models build --precision` takes; otherwise nothing is.
    """
    if precision not in {"fp16", "int8"}:
        raise RecipeError(f"{precision!r} is no lower precision that a graph can have: give --precision int8 or fp16")
    if only is not None and only not in PAIR:
        raise RecipeError(f"{only.value} is not lowered: give --only {' or '.join(role.value for role in PAIR)}")
    if profile == "tensorrt":
        raise RecipeError("a recipe for the profile tensorrt is judged by ONNX Runtime: give --profile onnx")
    given = _given(detector, recognizer, None)
    folder = output or next((path for path in (recognizer, detector) if path is not None and path.is_dir()), None)
    if folder is None:
        raise RecipeError(
            "the recipe has no place: give --output, or an imported model with --recognizer or --detector"
        )
    lower: LowPrecision = "fp16" if precision == "fp16" else "int8"
    try:
        from worker.cli import quantize as command  # noqa: PLC0415  needs the lab, which an installed worker lacks
        from worker.lab.evaluation.dataset import load  # noqa: PLC0415
        from worker.lab.precision.gate import Limits  # noqa: PLC0415
        from worker.lab.precision.run import Order  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise LabelwireError(missing_package(error.name or "")) from error
    order = Order(
        lower,
        select_profile(profile, precision=lower if profile == "embedded" else None),
        given,
        load(data),
        load(calibration) if calibration is not None else None,
        Limits(max_word_f1_loss, max_line_hmean_loss),
        PAIR if only is None else (only,),
    )
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)
        recipe = command.quantize(order, folder, lambda what, part: bar.update(task, description=what, completed=part))
    typer.echo(recipe)


@app.command()
def tune(  # noqa: PLR0913  one for each option
    *,
    data: Annotated[Path, typer.Option(help="Folder with pictures like those of your topic; truth.jsonl is the gate.")],
    count: Annotated[int, typer.Option(min=1, help="Use only the first COUNT pictures.")] = 32,
    cores: Annotated[
        int, typer.Option(min=1, help="CPU cores of the server; this machine needs as many.")
    ] = DEFAULT_CORES,
    memory_mb: Annotated[
        float | None, typer.Option(min=1, help="Memory that the server may take, in 10⁶ bytes; no limit if not given.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="Time for the sweep; what it leaves out is named.")] = 10,
    rounds: Annotated[int, typer.Option(min=3, help="Rounds of each comparison.")] = 3,
    max_word_f1_loss: Annotated[float, typer.Option(min=0, max=1, help="How much word F1 may lose.")] = 0.002,
    min_equal_lines: Annotated[
        float, typer.Option(min=0, max=1, help="Without truth: least share of lines read as with the default.")
    ] = 0.97,
    alphabet: Annotated[str, typer.Option(help="full, latin, or a file with the characters to keep.")] = "full",
    precision: Annotated[str | None, typer.Option(help="fp32, bf16, int8 or auto.")] = None,
    detector: _Model = None,
    recognizer: _Model = None,
    orientation: _Model = None,
    output: Annotated[Path, typer.Option(help="File to write; a page is written beside it.")] = Path(
        "build/tuning.json"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the file instead of a table.")] = False,
) -> None:
    """Choose instances, threads, static shapes, delay and batches for a CPU by your pictures, with the evidence.

    Each candidate is built, served by the embedded Triton and compared with the best one so far, in turn. Nothing else
    should run meanwhile. Give the file to models build --tuning.
    """
    profile = select_profile("embedded", precision=precision, cores=cores)
    given = _given(detector, recognizer, orientation)
    try:
        from worker.cli import tune as command  # noqa: PLC0415  needs the lab, which an installed worker lacks
        from worker.lab.evaluation.dataset import load  # noqa: PLC0415
        from worker.lab.tuning.judgment import SweepLimits  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise LabelwireError(missing_package(error.name or "")) from error
    limits = SweepLimits(max_word_f1_loss, min_equal_lines, memory_mb, rounds, 60 * minutes)
    order = command.TuneRequest(profile, alphabet, given, load(data).first(count), limits)
    tuning = command.tune(order)
    command.write(tuning, output)
    if as_json:
        typer.echo(tuning.to_json(), nl=False)
    else:
        command.print_tuning(tuning, output)


@app.command()
def evaluate(  # noqa: PLR0913  one for each option
    *,
    a: Annotated[
        str, typer.Argument(metavar="A", help="Model repository to evaluate: a folder, or a version in the registry.")
    ],
    b: Annotated[
        str | None,
        typer.Argument(
            metavar="[B]", help="Model repository to compare it with; with --registry, the version in use if not given."
        ),
    ] = None,
    registry_address: Annotated[
        str | None,
        typer.Option("--registry", help="Registry that holds A and B, and takes the verdict on A, which promote asks."),
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder with pictures and truth.jsonl.")],
    url: Annotated[
        list[str] | None,
        typer.Option(help="Running Triton (gRPC, host:port) that serves A; given twice, the second one serves B."),
    ] = None,
    max_word_f1_loss: Annotated[float, typer.Option(min=0, help="How much word F1 may fall.")] = 0.005,
    max_line_hmean_loss: Annotated[float, typer.Option(min=0, help="How much line hmean may fall.")] = 0.01,
    max_detection_hmean_loss: Annotated[float, typer.Option(min=0, help="How much detection hmean may fall.")] = 0.01,
    max_cer_rise: Annotated[float, typer.Option(min=0, help="How much the character error rate may rise.")] = 0.005,
    max_slowdown: Annotated[
        float | None,
        typer.Option(min=0, help="How many times as long as with B the median picture may take; not judged if absent."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for evaluate.json and evaluate.html.")] = Path("build"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the document instead of tables.")] = False,
) -> None:
    """Score a model set before you deploy it, compared with the one in use; exit code 1 if it loses more than it may.

    Both read the same pictures in turn, through the whole pipeline, by the engine that their repository is for:
    embedded by a Triton of their own, onnx by ONNX Runtime in this process, tensorrt by the Triton at --url.
    """
    try:
        from worker.cli import evaluate as command  # noqa: PLC0415  needs the lab, which an installed worker lacks
        from worker.lab.acceptance.report import figures, write_report  # noqa: PLC0415
        from worker.lab.acceptance.verdict import AcceptanceLimits  # noqa: PLC0415
        from worker.lab.evaluation.dataset import load  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise LabelwireError(missing_package(error.name or "")) from error
    limits = AcceptanceLimits(
        max_word_f1_loss, max_line_hmean_loss, max_detection_hmean_loss, max_cer_rise, max_slowdown
    )
    with tempfile.TemporaryDirectory() as work:
        shelf = None if registry_address is None else registry.open_registry(registry_address)
        found = command.locate_both(a, b, shelf, Path(work))
        if url is not None and len(url) > len(found):
            raise typer.BadParameter(f"{len(url)} servers for {len(found)} of A and B", param_hint="--url")
        evaluation = command.evaluate(command.EvaluationOrder(found, url or [], load(data), limits))
        if shelf is not None:
            command.record(shelf, found, evaluation.verdict, registry.signed_by(None))
    document = figures(evaluation)
    report = write_report(evaluation, document, output)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        command.print_evaluation(evaluation)
        typer.echo(f"The report is {report}")
    if not evaluation.verdict.passed:
        raise typer.Exit(1)


def _given(detector: Path | None, recognizer: Path | None, orientation: Path | None) -> dict[ModelRole, Path]:
    given = {ModelRole.DETECTOR: detector, ModelRole.RECOGNIZER: recognizer, ModelRole.ORIENTATION: orientation}
    return {role: path for role, path in given.items() if path is not None}


@app.command()
def choose(
    repositories: Annotated[list[Path], typer.Argument(help="Built repositories, the preferred one first.")],
) -> None:
    """Print the first repository that this host can serve, and say why those before it are not served."""
    status = serve_choice(repositories)
    if status != 0:
        raise typer.Exit(status)


@app.command("import")
def import_(  # noqa: PLR0913  one for each option
    *,
    kind: Annotated[ModelKind, typer.Option(help="Family and purpose of the model.")],
    onnx: Annotated[Path | None, typer.Option(help="The ONNX file.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Instead of an ONNX file, a checkpoint (.pt) of docTR's, exported on the CPU.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="docTR's architecture of that checkpoint, as db_mobilenet_v3_large.")
    ] = None,
    python: Annotated[
        Path, typer.Option(help="Interpreter that has docTR, to export that checkpoint.", show_default="this one")
    ] = Path(sys.executable),
    dictionary: Annotated[
        Path | None, typer.Option(help="A recognizer's characters, one a line, as PaddleOCR writes them.")
    ] = None,
    characters: Annotated[
        Path | None, typer.Option(help="A recognizer's characters in one row, as docTR's vocabularies.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Instead of drawn text: a line that a recognizer must read, or what a detector finds text on."
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="The text of that line, for a recognizer.")] = None,
    origin: Annotated[
        str | None, typer.Option(help="Where the model comes from; the file's name if not given.")
    ] = None,
    license_: Annotated[str, typer.Option("--license", help="The model's license.")] = "unknown",
    output: Annotated[Path, typer.Option(help="Folder for imported models, one folder for each purpose.")] = Path(
        "build/models"
    ),
) -> None:
    """Check your own model, try it on drawn text, and write it for `models build`."""
    if (onnx is None) == (checkpoint is None):
        raise ModelImportError("--onnx and --checkpoint say what to import: give one of them")
    if (checkpoint is None) != (architecture is None):
        raise ModelImportError("--checkpoint and --architecture belong together: give both or neither")
    if dictionary is not None and characters is not None:
        raise ModelImportError("--dictionary and --characters say the same in two ways: give one of them")
    if text is not None and picture is None:
        raise ModelImportError("--text is that of a picture: give the picture with --picture")
    given = read_dictionary(dictionary) if dictionary else read_characters(characters) if characters else None
    pixels = None if picture is None else read_picture(picture)
    golden = None if pixels is None or text is None else GoldenLine(pixels, text)
    facts = ModelFacts(origin, license_, given, golden, page=pixels if text is None else None)
    if checkpoint is not None and architecture is not None:
        typer.echo(import_checkpoint(kind, Checkpoint(checkpoint, architecture, python), output, facts))
    elif onnx is not None:
        typer.echo(import_model(kind, onnx, output, facts))


app.add_typer(registry.app)
