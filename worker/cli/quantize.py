"""What `labelwire models quantize` does, where the lab is installed."""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker import bootstrap, settings
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.in_process import InProcessBackend
from worker.lab.evaluation.offline import deliver_offline
from worker.lab.evaluation.run import reading
from worker.lab.evaluation.scores import Counts, total
from worker.lab.precision.run import Means, Order, Trial, find_recipe
from worker.local.stack import provision_triton
from worker.local.triton import TritonServer
from worker.models.files import write_whole
from worker.models.precision.recipe import LowPrecision, recipe_file
from worker.ports import InferenceBackend

_PLAIN_COLUMNS: Final = 120  # of a table that is no terminal's
_PATIENCE: Final = 10  # attempts' time for a picture: nothing is delivered here
_COLUMNS = ("model", "layers", "of the work", "answers differ", "word F1", "line hmean", "")


def quantize(order: Order, output: Path, report: Callable[[str, float], None]) -> Path:
    """Find a recipe, print the trials as a table, and write the recipe if it passed."""
    trials: list[Trial] = []
    serve = serve_embedded if order.profile.engine == "openvino" else serve_in_process
    try:
        recipe = find_recipe(order, Means(serve, read_set, trials.append, report))
    finally:
        if trials:
            console = Console(width=None if sys.stdout.isatty() else _PLAIN_COLUMNS)
            console.print(_table(order.precision, trials))
    file = recipe_file(output, recipe.engine, recipe.precision)
    write_whole(file, recipe.to_json().encode())
    return file


@contextmanager
def serve_in_process(repository: Path) -> Iterator[InferenceBackend]:
    """Serve a repository of the onnx profile by ONNX Runtime in this process."""
    yield InProcessBackend(repository)


@contextmanager
def serve_embedded(repository: Path) -> Iterator[InferenceBackend]:
    """Serve a repository of the embedded profile by a Triton of its own."""
    provision_triton()
    with tempfile.TemporaryDirectory() as folder, TritonServer(repository, run_dir=Path(folder)) as server:
        yield bootstrap.triton_backend(settings.load({"LABELWIRE_TRITON__URL": server.grpc_url}))


def read_set(dataset: Dataset, backend: InferenceBackend) -> Counts:
    """Return what `count_read` does, where nothing else runs."""
    return asyncio.run(count_read(dataset, backend))


async def count_read(dataset: Dataset, backend: InferenceBackend) -> Counts:
    """Return what a worker with default settings reads, compared with the truth; closes the backend."""
    chosen = settings.load({})
    async with bootstrap.open_model_client(chosen, backend) as reader:
        patience = _PATIENCE * chosen.runtime.attempt_seconds
        delivery = await deliver_offline(dataset, reader, lambda: None, patience)
    return total(reading("labelwire", "Labelwire", dataset, delivery).counts or ())


def _table(precision: LowPrecision, trials: list[Trial]) -> Table:
    first = trials[0].verdict
    table = Table(
        title=f"{precision} on {first.pictures} pictures; FP32: word F1 {first.word_f1_fp32:.4f}, line hmean "
        f"{first.line_hmean_fp32:.4f}",
        box=None,
        header_style="dim",
        title_justify="left",
        pad_edge=False,
    )
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in {"model", ""} else "right")
    for trial in trials:
        candidate, verdict = trial.candidate, trial.verdict
        table.add_row(
            trial.role.value,
            f"{candidate.layers} of {candidate.all_layers}",
            f"{candidate.work:.0%}",
            f"{candidate.differs:.2%}",
            f"{verdict.word_f1:.4f} ({verdict.word_f1 - verdict.word_f1_fp32:+.4f})",
            f"{verdict.line_hmean:.4f} ({verdict.line_hmean - verdict.line_hmean_fp32:+.4f})",
            Text("passed", style="green") if verdict.passed else Text("refused", style="red"),
        )
    return table
