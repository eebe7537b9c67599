"""From pictures and models to a recipe that passed, trial by trial."""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx

from worker.domain.manifest import ModelManifest, ModelRole
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.in_process import InProcessBackend
from worker.lab.precision.errors import GateError
from worker.lab.precision.gate import Gate, Limits, Read, build, check_set
from worker.lab.precision.samples import Recorder, Request, check_hard, part_of_tile, with_hard_copies
from worker.lab.precision.search import LayerChoice, Search
from worker.models.configs import read_config
from worker.models.precision.recipe import PAIR, GateVerdict, GraphRecipe, LowPrecision, PrecisionRecipe
from worker.models.source import find_sources


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate for one model, beside what was chosen before, and how the pictures were read with it."""

    role: ModelRole
    candidate: LayerChoice
    verdict: GateVerdict


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures to judge with, and others to calibrate with; None takes the first and makes hard copies."""

    judged: Dataset
    calibrating: Dataset | None = None


Report = Callable[[str, float], None]
"""Called with what is being done and the part of it that is done, 0 to 1."""


def find_recipe(
    precision: LowPrecision,
    pictures: Pictures,
    sources: Mapping[ModelRole, Path],
    limits: Limits,
    read: Read,
    on_trial: Callable[[Trial], None],
    report: Report,
) -> PrecisionRecipe:
    """Return the recipe of a detector and a recognizer that lowers the most and passes the gate.

    The detector comes first, then the recognizer beside it; one that passes with no candidate stays in FP32. Raises
    GateError if both stay, or if the pictures cannot judge, and CalibrationError if they do not calibrate.
    """
    check_set(pictures.judged, limits)
    with tempfile.TemporaryDirectory() as folder:
        report("building in FP32", 0.0)
        repository = build(sources, Path(folder) / "fp32")
        recorder = Recorder(InProcessBackend(repository))
        report("reading in FP32", 0.0)
        gate = Gate(pictures.judged, sources, limits, read, read(pictures.judged, recorder))
        requests = _calibrating_requests(pictures, recorder, repository, read, report)
        found = find_sources(sources)
        recipe = PrecisionRecipe(precision=precision, sources={role: found[role].sha256 for role in PAIR}, graphs={})
        for role in PAIR:
            step = partial(report, f"trying layers of {role.value}")
            search = Search(role, _graph(repository, role), precision, requests[role], step)
            recipe = first_that_passes(role, search.candidates(), recipe, gate.judge, on_trial)
    if not recipe.graphs:
        raise GateError(
            f"{precision} loses more than {limits.max_word_f1_loss:g} of word F1 or {limits.max_line_hmean_loss:g} of "
            f"line hmean on {pictures.judged.name} whichever layers stay in FP32: nothing was written, so serve FP32"
        )
    return recipe


def first_that_passes(
    role: ModelRole,
    candidates: Iterable[LayerChoice],
    recipe: PrecisionRecipe,
    judge: Callable[[PrecisionRecipe], GateVerdict],
    on_trial: Callable[[Trial], None],
) -> PrecisionRecipe:
    """Return the recipe with the first candidate for a model that passes, the recipe itself if none does."""
    for candidate in candidates:
        graphs: dict[ModelRole, GraphRecipe] = {**recipe.graphs, role: candidate.recipe}
        tried = recipe.model_copy(update={"graphs": graphs})
        verdict = judge(tried)
        on_trial(Trial(role, candidate, verdict))
        if verdict.passed:
            return tried.model_copy(update={"verdict": verdict})
    return recipe


def _calibrating_requests(
    pictures: Pictures, recorder: Recorder, repository: Path, read: Read, report: Report
) -> dict[ModelRole, list[Request]]:
    if pictures.calibrating is not None:
        report("reading the pictures to calibrate with", 0.0)
        recorder = Recorder(InProcessBackend(repository))
        read(pictures.calibrating, recorder)
        requests = {role: recorder.requests(role) for role in PAIR}
        check_hard(requests[ModelRole.RECOGNIZER], pictures.calibrating.name)
    else:
        requests = {role: with_hard_copies(recorder.requests(role)) for role in PAIR}
        check_hard(requests[ModelRole.RECOGNIZER], pictures.judged.name)
    shapes = _manifest(repository, ModelRole.DETECTOR).tile_shapes
    if shapes is not None and shapes.fixed:
        return requests
    return {**requests, ModelRole.DETECTOR: list(map(part_of_tile, requests[ModelRole.DETECTOR]))}


def _manifest(repository: Path, role: ModelRole) -> ModelManifest:
    config = read_config(repository / role.value / "config.pbtxt")
    return ModelManifest.model_validate_json(config.parameters["manifest"].string_value)


def _graph(repository: Path, role: ModelRole) -> onnx.ModelProto:
    (path,) = (repository / role.value).glob("*/model.onnx")
    return onnx.load(path)
