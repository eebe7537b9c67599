"""Which plans a test builds: each graph of the onnx profile at each shape that it is served at, for each target."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final, Self

import onnx
from onnx import TensorProto, helper

from worker.domain.manifest import Device, ModelRole
from worker.models.configs import read_config
from worker.models.model_card import LINE_HEIGHT_PIXELS
from worker.models.profiles import select_profile
from worker.models.tensorrt_builder import OptimizationProfile, ShapeRange

TURING: Final = "7.5"
COMPUTE_CAPABILITIES: Final = (TURING, "8.0", "8.6", "8.9", "12.0")
_USUAL_BATCH: Final = 16
_GPU, _CPU = (select_profile("onnx", device=device) for device in ("gpu", "cpu"))


@dataclass(frozen=True, slots=True)
class Case:
    """A plan to build: a model of the repository for a device, (height, width) of its pictures, and the target."""

    device: Device
    model: str
    size_pixels: tuple[int, int]
    compute_capability: str

    def __str__(self) -> str:
        height, width = self.size_pixels
        return f"{self.device}-{self.model}-{height}x{width}-{self.compute_capability}"

    @classmethod
    def of_lines(cls, device: Device, model: str, width_pixels: int, compute_capability: str) -> Self:
        return cls(device, model, (LINE_HEIGHT_PIXELS, width_pixels), compute_capability)

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


def all_cases() -> list[Case]:
    """Return every case. Detector and classifier are the same for both devices; a GPU's have the larger limits."""
    shapes: list[tuple[Device, str, tuple[int, int]]] = []
    tiles = sorted({*_GPU.warmup_tiles, *_CPU.warmup_tiles})
    shapes += [("gpu", ModelRole.DETECTOR, tile) for tile in tiles]
    widths = sorted({*_GPU.buckets, *_CPU.buckets})
    shapes += [("gpu", ModelRole.ORIENTATION, (LINE_HEIGHT_PIXELS, width)) for width in widths]
    for profile in (_GPU, _CPU):
        recognizers = profile.bucket_models(ModelRole.RECOGNIZER)
        shapes += [(profile.device, name, (LINE_HEIGHT_PIXELS, width)) for width, name in recognizers.items()]
    return [Case(*shape, capability) for shape, capability in product(shapes, COMPUTE_CAPABILITIES)]


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
