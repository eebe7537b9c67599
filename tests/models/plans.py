"""Which plans a test builds, and plan makers that need no GPU.

The cases are each graph of the onnx profile at each shape that it is served at, for each target.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final, Self

import onnx
from onnx import TensorProto, helper

from tests.models.reference import onnxruntime_session
from worker.domain.manifest import ModelRole, PlanTarget
from worker.models.configs import read_config
from worker.models.model_card import LINE_HEIGHT_PIXELS
from worker.models.plan_gate import Tensors
from worker.models.profiles import select_profile
from worker.models.serving_checks import graph_tensors
from worker.models.shape_ranges import OptimizationProfile, ShapeRange
from worker.models.tensorrt_builder import Plan, build_plan

TURING: Final = "7.5"
COMPUTE_CAPABILITIES: Final = (TURING, "8.0", "8.6", "8.9", "12.0")
L4: Final = PlanTarget(gpu="NVIDIA L4", compute_capability="8.9", driver="550.54.15", tensorrt="10.5.0.18")
_USUAL_BATCH: Final = 16
_LOWERED: Final = (
    (ModelRole.DETECTOR.value, (960, 960)),
    ("text_recognizer_w96", (LINE_HEIGHT_PIXELS, 96)),
    (ModelRole.RECOGNIZER.value, (LINE_HEIGHT_PIXELS, 320)),
)
_GPU, _CPU = (select_profile("onnx", device=device) for device in ("gpu", "cpu"))


@dataclass(frozen=True, slots=True)
class Case:
    """A plan to build: a model of a repository, (height, width) of its pictures, and the target.

    The repository is named by the device that it is for, or by the imported models that it is built from.
    """

    repository: str
    model: str
    size_pixels: tuple[int, int]
    compute_capability: str

    def __str__(self) -> str:
        height, width = self.size_pixels
        return f"{self.repository}-{self.model}-{height}x{width}-{self.compute_capability}"

    @classmethod
    def of_lines(cls, repository: str, model: str, width_pixels: int, compute_capability: str) -> Self:
        return cls(repository, model, (LINE_HEIGHT_PIXELS, width_pixels), compute_capability)

    @property
    def multiplies_matrices(self) -> bool:
        """Whether its graph has a MatMul; the detector has convolutions alone."""
        return self.model != ModelRole.DETECTOR

    def profile(self, repository: Path) -> OptimizationProfile:
        """Return one profile: pictures of the size alone, N from 1 over 16 to the limit of the model's config."""
        limit = read_config(repository / self.model / "config.pbtxt").max_batch_size
        batches = (1, min(_USUAL_BATCH, limit), limit)
        picture = "image" if self.model == ModelRole.DETECTOR else "line"
        ranges = {picture: ShapeRange(*((batch, *self.size_pixels, 3) for batch in batches))}
        if self.model.startswith(ModelRole.RECOGNIZER):
            ranges["upside_down"] = ShapeRange(*((batch, 1) for batch in batches))
        return ranges


@dataclass(frozen=True, slots=True)
class GraphPlanMaker:
    """Its plans are the graphs themselves, run by ONNX Runtime; `spoil` changes what they answer."""

    target: PlanTarget = L4
    spoil: Callable[[Tensors], Tensors] = dict

    def build(self, graph: Path, profile: OptimizationProfile) -> Plan:
        del profile
        return Plan(graph.read_bytes(), graph_tensors(graph))

    def run(self, plan: Plan, inputs: Tensors) -> Tensors:
        return self.spoil(_run(onnxruntime_session(plan.content), inputs))


@dataclass(frozen=True, slots=True)
class RtxPlanMaker:
    """Its plans are built by TensorRT for RTX for a GPU that is not there; their graphs answer for them."""

    target: PlanTarget = L4
    _sessions: dict[bytes, Any] = field(default_factory=dict)

    def build(self, graph: Path, profile: OptimizationProfile) -> Plan:
        plan = build_plan(graph, [profile], compute_capability=self.target.compute_capability)
        self._sessions[plan.content] = onnxruntime_session(graph.read_bytes())
        return plan

    def run(self, plan: Plan, inputs: Tensors) -> Tensors:
        return _run(self._sessions[plan.content], inputs)


def _run(session: Any, inputs: Tensors) -> Tensors:  # noqa: ANN401
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def all_cases() -> list[Case]:
    """Return every case. Detector and classifier are the same for both devices; a GPU's have the larger limits."""
    shapes: list[tuple[str, str, tuple[int, int]]] = []
    tiles = sorted({*_GPU.warmup_tiles, *_CPU.warmup_tiles})
    shapes += [("gpu", ModelRole.DETECTOR, tile) for tile in tiles]
    widths = sorted({*_GPU.buckets, *_CPU.buckets})
    shapes += [("gpu", ModelRole.ORIENTATION, (LINE_HEIGHT_PIXELS, width)) for width in widths]
    for profile in (_GPU, _CPU):
        recognizers = profile.bucket_models(ModelRole.RECOGNIZER)
        shapes += [(profile.device, name, (LINE_HEIGHT_PIXELS, width)) for width, name in recognizers.items()]
    return [Case(*shape, capability) for shape, capability in product(shapes, COMPUTE_CAPABILITIES)]


def imported_cases() -> list[Case]:
    """Return the cases of imported models: Paddle's, with v5's classifier of whole lines, and docTR's of one size."""
    shapes = [
        ("paddle", ModelRole.DETECTOR, (1056, 1056)),
        ("paddle", "text_recognizer_w320", (LINE_HEIGHT_PIXELS, 320)),
        ("paddle", ModelRole.RECOGNIZER, (LINE_HEIGHT_PIXELS, 1280)),
        ("paddle", ModelRole.ORIENTATION, (LINE_HEIGHT_PIXELS, 320)),
        ("paddle_v5", ModelRole.DETECTOR, (1056, 1056)),
        ("paddle_v5", "text_recognizer_w320", (LINE_HEIGHT_PIXELS, 320)),
        ("paddle_v5", ModelRole.ORIENTATION, (LINE_HEIGHT_PIXELS, 320)),
        ("doctr", ModelRole.DETECTOR, (480, 480)),
        ("doctr", ModelRole.RECOGNIZER, (LINE_HEIGHT_PIXELS, 192)),
    ]
    return [Case(*shape, capability) for shape, capability in product(shapes, COMPUTE_CAPABILITIES)]


def lowered_cases() -> list[Case]:
    """Return the detector and two recognizers in FP16 and in INT8; a repository is named by its precision."""
    return [
        Case(precision, model, size, capability)
        for precision, (model, size), capability in product(("fp16", "int8"), _LOWERED, COMPUTE_CAPABILITIES)
    ]


def few_lowered_cases() -> list[Case]:
    """Return those of the narrow recognizer and of the detector for one GPU."""
    return [case for case in lowered_cases() if case.compute_capability == "8.9" and case.size_pixels != _LOWERED[2][1]]


def few_imported_cases() -> list[Case]:
    """Return one case of each graph that differs from the pinned ones in what is put around the network: seconds."""
    return [
        Case("doctr", ModelRole.DETECTOR, (480, 480), "8.9"),
        Case.of_lines("doctr", ModelRole.RECOGNIZER, 192, "8.9"),
        Case.of_lines("paddle_v5", ModelRole.ORIENTATION, 320, "8.9"),
    ]


def few_cases() -> list[Case]:
    """Return one case of each graph that differs in more than its width, and one of Turing: seconds."""
    return [
        Case("gpu", ModelRole.DETECTOR, (1056, 1056), "8.9"),
        Case.of_lines("gpu", ModelRole.ORIENTATION, 320, "8.9"),
        Case.of_lines("gpu", "text_recognizer_w320", 320, "8.9"),
        Case.of_lines("cpu", ModelRole.RECOGNIZER, 320, "8.9"),
        Case.of_lines("gpu", ModelRole.RECOGNIZER, 1280, TURING),
    ]


def with_fp16_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that multiplies its matrices in FP16 and does all else in FP32.

    TensorRT for RTX multiplies no FP32 matrices on Turing: this shows that it takes the rest of a graph there too.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(changed.graph.node):
        nodes += _in_fp16(node, f"labelwire/fp16/{index}") if node.op_type == "MatMul" else [node]
    copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    changed.graph.ClearField("node")
    changed.graph.node.extend(copied)
    onnx.checker.check_model(changed)
    return changed


def _in_fp16(node: onnx.NodeProto, name: str) -> Sequence[onnx.NodeProto]:
    inputs = [f"{name}/{place}" for place in range(len(node.input))]
    return [
        *(
            helper.make_node("Cast", [given], [taken], to=TensorProto.FLOAT16)
            for given, taken in zip(node.input, inputs, strict=True)
        ),
        helper.make_node("MatMul", inputs, [f"{name}/product"]),
        helper.make_node("Cast", [f"{name}/product"], list(node.output), to=TensorProto.FLOAT),
    ]
