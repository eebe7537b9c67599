"""Large pictures on the embedded stack."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import SettingsError
from worker.lab import stack
from worker.lab.bench.large import LargePicture, OneByOne
from worker.lab.bench.large_report import LargeRun
from worker.lab.evaluation.configuration import WorkerConfiguration, labelwire_system
from worker.lab.evaluation.dataset import Dataset, load
from worker.lab.evaluation.machine import describe_machine
from worker.lab.evaluation.systems import RunningSystem
from worker.lab.synth.mosaic import write_mosaic, write_pieces, write_sparse
from worker.reporting.progress import counted

_SEED = 7


@dataclass(frozen=True, slots=True)
class LargePlan:
    """What to run: a mosaic of so many pixels, and a square of that side with a few pieces of text on it."""

    configuration: WorkerConfiguration
    rounds: int = 3
    mosaic: tuple[int, int] = (12_800, 8_200)
    sparse_side: int = 16_384
    sparse_pieces: int = 20


def measure(plan: LargePlan, data: Path | None, folder: Path) -> LargeRun:
    """Have the worker read large pictures made of a dataset's, or of drawn labels, and their pieces, in turn.

    Raises SettingsError for a dataset without truth, LabelwireError.
    """
    dataset, source = stack.pictures(data, None, folder), data or folder / "labels"
    if not dataset.has_truth:
        raise SettingsError(f"{source} has no truth.jsonl; large pictures are judged by the truth of their pieces.")
    large = _drawn(plan, source, folder)
    configuration = plan.configuration
    with stack.broker(folder / "run") as kafka, stack.triton(configuration, folder / "run") as server:
        system = labelwire_system("labelwire", "Labelwire", configuration, stack.endpoints(kafka, server))
        with RunningSystem(system, kafka.bootstrap_servers, stack.launch, folder / "labelwire.log") as running:
            running.wait_until_ready()
            reader = OneByOne(kafka.bootstrap_servers, system.topics, running.pid)
            turns = []
            for number in range(-1, plan.rounds):
                for picture in large:
                    name = f"round {number + 1} of {plan.rounds}" if number >= 0 else "warming up"
                    with counted(f"{picture.title}, {name}", 1 + len(picture.pieces)) as advance:
                        turn = reader.turn(picture, f"round-{number}", advance)
                    turns += [turn] if number >= 0 else []
        description = configuration.describe() | stack.describe_parts(kafka, server, configuration)
    return LargeRun(large, turns, description | {"machine": describe_machine()})


def _drawn(plan: LargePlan, source: Path, folder: Path) -> list[LargePicture]:
    width, height = plan.mosaic
    side, pieces = plan.sparse_side, plan.sparse_pieces
    return [
        _large("A mosaic", source, folder / "mosaic", lambda to: write_mosaic(source, to, width, height, _SEED)),
        _large(
            "A sparse picture",
            source,
            folder / "sparse",
            lambda to: write_sparse(source, to, side, side, pieces, _SEED),
        ),
    ]


def _large(title: str, source: Path, folder: Path, write: Callable[[Path], Path]) -> LargePicture:
    with counted(f"Drawing: {title.lower()}", 1) as advance:
        write(folder)
        write_pieces(source, folder, folder / "pieces")
        advance()
    picture: Dataset = load(folder)
    return LargePicture(folder.name, title, picture.samples[0], load(folder / "pieces").samples)
