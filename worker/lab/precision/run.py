"""From pictures and models to a recipe that passed, trial by trial."""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import onnx

from worker.domain.manifest import ModelRole
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.scores import Counts
from worker.lab.precision.errors import GateError
from worker.lab.precision.gate import Gate, Limits, Read, Serve, check_baseline, check_set
from worker.lab.precision.samples import Recorder, Request, check_count, check_hard, part_of_tile, with_hard_copies
from worker.lab.precision.search import LayerChoice, Search
from worker.models.build import build_repository
from worker.models.configs import read_manifest
from worker.models.precision.lowering import lowerable
from worker.models.precision.recipe import PAIR, GateVerdict, GraphRecipe, LowPrecision, PrecisionRecipe
from worker.models.profiles import Profile
from worker.models.source import find_sources


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate for one model, beside what was chosen before, and how the pictures were read with it."""

    role: ModelRole
    candidate: LayerChoice
    verdict: GateVerdict


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be found: a recipe for the models of a profile, the `roles` that may be lowered among them.

    The pictures of `judged` go through the gate. Those of `calibrating` calibrate; if there are none, those of `judged`
    do, with hard copies.
    """

    precision: LowPrecision
    profile: Profile
    sources: Mapping[ModelRole, Path]
    judged: Dataset
    calibrating: Dataset | None = None
    limits: Limits = field(default_factory=Limits)
    roles: tuple[ModelRole, ...] = PAIR


@dataclass(frozen=True, slots=True)
class Means:
    """How repositories are served and sets read, and whom to tell: of trials, and of the part of a step, 0 to 1."""

    serve: Serve
    read: Read
    on_trial: Callable[[Trial], None]
    report: Callable[[str, float], None]


def find_recipe(order: Order, means: Means) -> PrecisionRecipe:
    """Return the recipe of a detector and a recognizer that lowers the most and passes the gate.

    The detector comes first, then the recognizer beside it; one with which nothing passes stays in FP32. Raises
    GateError if both stay, or if the pictures cannot judge, and CalibrationError if they do not calibrate.
    """
    check_set(order.judged, order.limits)
    with tempfile.TemporaryDirectory() as folder:
        means.report("building in FP32", 0.0)
        in_fp32 = replace(order.profile, precision="fp32")
        repository = build_repository(in_fp32, Path(folder) / "fp32", sources=order.sources)
        requests, counts = _read_in_fp32(order, means, repository)
        gate = Gate(order.judged, order.sources, order.profile, order.limits, means.serve, means.read, counts)
        found = find_sources(order.sources)
        sources = {role: found[role].judged_sha256 for role in PAIR}
        recipe = PrecisionRecipe(engine=order.profile.engine, precision=order.precision, sources=sources, graphs={})
        graphs = {role: _graph(repository, role) for role in order.roles}
        if not any(lowerable(graph, recipe.engine, recipe.precision) for graph in graphs.values()):
            raise GateError(
                f"no layer of {' and '.join(order.roles)} can be computed in {order.precision} by the profile "
                f"{order.profile.name}: nothing was written, so serve FP32"
            )
        for role, graph in graphs.items():
            step = partial(means.report, f"trying layers of {role.value}")
            search = Search(role, graph, recipe, requests[role], step)
            recipe = first_that_passes(role, search.candidates(), recipe, gate.judge, means.on_trial)
    if not recipe.graphs:
        limits = order.limits
        raise GateError(
            f"{order.precision} loses more than {limits.max_word_f1_loss:g} of word F1 or "
            f"{limits.max_line_hmean_loss:g} of line hmean on {order.judged.name} whichever layers stay in FP32: "
            "nothing was written, so serve FP32"
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


def _read_in_fp32(order: Order, means: Means, repository: Path) -> tuple[dict[ModelRole, list[Request]], Counts]:
    """Return what to calibrate with, and what was counted on the pictures to be judged."""
    means.report("reading in FP32", 0.0)
    with means.serve(repository) as backend:
        recorder = Recorder(backend)
        counts = means.read(order.judged, recorder)
    check_baseline(order.judged, counts, order.limits)
    if order.calibrating is not None:
        means.report("reading the pictures to calibrate with", 0.0)
        with means.serve(repository) as backend:
            recorder = Recorder(backend)
            means.read(order.calibrating, recorder)
    requests = {role: recorder.requests(role) for role in PAIR}
    pad_value = read_manifest(repository, ModelRole.RECOGNIZER).pad_value or 0
    if order.calibrating is None:
        requests = {role: with_hard_copies(kept, pad_value) for role, kept in requests.items()}
    calibrating = (order.calibrating or order.judged).name
    check_hard(requests[ModelRole.RECOGNIZER], calibrating, pad_value)
    check_count(requests, calibrating)
    shapes = read_manifest(repository, ModelRole.DETECTOR).tile_shapes
    if shapes is None or not shapes.fixed:
        requests[ModelRole.DETECTOR] = list(map(part_of_tile, requests[ModelRole.DETECTOR]))
    return requests, counts


def _graph(repository: Path, role: ModelRole) -> onnx.ModelProto:
    (path,) = (repository / role.value).glob("*/model.onnx")
    return onnx.load(path)
