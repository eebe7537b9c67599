"""The gate: the whole pipeline reads real pictures in FP32 and in a lower precision, and may lose no more than a limit.

Invariant: what is judged is what a build writes, read by the engine that will serve it. For the onnx and tensorrt
profiles that is ONNX Runtime on the CPU: it computes FP16 with FP32 inside a layer and INT8 as it is, and needs no GPU.
"""

import math
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from worker.domain.manifest import ModelRole
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.scores import Counts, Scores
from worker.lab.precision.errors import GateError
from worker.models.build import build_repository
from worker.models.precision.recipe import GateVerdict, PrecisionRecipe
from worker.models.profiles import Profile
from worker.ports import InferenceBackend

Read = Callable[[Dataset, InferenceBackend], Counts]
"""Reads a set as a worker does, compares it with the truth, and closes the backend."""

Serve = Callable[[Path], AbstractContextManager[InferenceBackend]]
"""Serves a repository for a while."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much word F1 and line hmean may lose against FP32, each a part of 1."""

    max_word_f1_loss: float = 0.005
    max_line_hmean_loss: float = 0.01


@dataclass(frozen=True, slots=True)
class Gate:
    """The pictures, the models' files and profile, the limits, how pictures are read, and what was counted in FP32."""

    dataset: Dataset
    sources: Mapping[ModelRole, Path]
    profile: Profile
    limits: Limits
    serve: Serve
    read: Read
    in_fp32: Counts

    def judge(self, recipe: PrecisionRecipe) -> GateVerdict:
        """Return how the pictures are read with a recipe."""
        with tempfile.TemporaryDirectory() as folder:
            repository = build_repository(self.profile, Path(folder) / "lowered", sources=self.sources, recipe=recipe)
            return self.judge_repository(repository)

    def judge_repository(self, repository: Path) -> GateVerdict:
        """Return how the pictures are read with a built repository."""
        with self.serve(repository) as backend:
            found, before = _scores(self.read(self.dataset, backend)), _scores(self.in_fp32)
        return GateVerdict(
            pictures=len(self.dataset.samples),
            word_f1=found[0],
            word_f1_fp32=before[0],
            line_hmean=found[1],
            line_hmean_fp32=before[1],
            max_word_f1_loss=self.limits.max_word_f1_loss,
            max_line_hmean_loss=self.limits.max_line_hmean_loss,
        )


def check_set(dataset: Dataset, limits: Limits) -> None:
    """Raise GateError if a set has no truth, or so few words that one of them is more than the limit.

    So it is for limits that are no parts of 1.
    """
    for limit in (limits.max_word_f1_loss, limits.max_line_hmean_loss):
        check_limit(limit)
    words = 0
    for sample in dataset.samples:
        if sample.truth is None:
            raise GateError(
                f"{sample.path} has no truth: the gate compares what is read with truth.jsonl, so give --data such a "
                "folder"
            )
        words += sum(len(line.text.split()) for line in sample.truth.lines)
    check_size(dataset, words, "words", "word F1", limits.max_word_f1_loss)


def check_limit(limit: float) -> None:
    """Raise GateError if a limit is no part of 1."""
    if not 0 < limit < 1:
        raise GateError(f"a limit of {limit:g} is no loss that can be seen: give more than 0 and less than 1")


def check_size(dataset: Dataset, count: int, counted: str, score: str, limit: float) -> None:
    """Raise GateError if a set has so few of what a score counts that one of them is more than the limit."""
    if count * limit < 1:
        raise GateError(
            f"{dataset.name} has {count} {counted}, so that a loss of {limit:g} in {score} cannot be seen: give --data "
            f"at least {math.ceil(1 / limit)} {counted}"
        )


def check_baseline(dataset: Dataset, counts: Counts, limits: Limits, reader: str = "FP32") -> None:
    """Raise GateError if `reader`, whose counts these are, reads so little that whatever reads nothing would pass."""
    word_f1, line_hmean = _scores(counts)
    if word_f1 <= limits.max_word_f1_loss or line_hmean <= limits.max_line_hmean_loss:
        raise GateError(
            f"{reader} reads {dataset.name} with word F1 {word_f1:.4f} and line hmean {line_hmean:.4f}, so that a loss "
            "cannot be seen: give --data pictures that the models can read"
        )


def _scores(counts: Counts) -> tuple[float, float]:
    """Return word F1 and line hmean, 0 where nothing stands and nothing was read."""
    scores = Scores.of(counts)
    return scores.word_f1 or 0.0, scores.line_hmean or 0.0
