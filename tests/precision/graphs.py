"""A detector of a few convolutions, which takes no time."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LAYERS = ("first", "second", "third", "last")
_CHANNELS = 8


def small_detector(outlier_in: str | None = None) -> onnx.ModelProto:
    """Return a graph from `image` UINT8 [N, H, W, 3] to `probability` UINT8 [N, H, W].

    What goes into the layer `outlier_in` has one channel with values so large that INT8 has no steps for the others;
    the layer itself takes no notice of this channel.
    """
    random = np.random.default_rng(5)
    nodes = [
        helper.make_node("Cast", ["image"], ["labelwire/levels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["labelwire/levels", "scale"], ["labelwire/scaled"]),
        helper.make_node("Transpose", ["labelwire/scaled"], ["pixels"], perm=[0, 3, 1, 2]),
    ]
    constants = [numpy_helper.from_array(np.array(1 / 255, dtype=np.float32), "scale")]
    before, channels = "pixels", 3
    for name in LAYERS:
        goes_in = before
        weights = random.normal(0, 0.5, (1 if name == "last" else _CHANNELS, channels, 1, 1)).astype(np.float32)
        if name == outlier_in:
            weights[:, 0] = 0
            factors = np.ones((1, channels, 1, 1), dtype=np.float32)
            factors[0, 0] = 3000
            constants.append(numpy_helper.from_array(factors, f"{name}_factors"))
            goes_in = f"{name}_input"
            nodes.append(helper.make_node("Mul", [before, f"{name}_factors"], [goes_in]))
        constants.append(numpy_helper.from_array(weights, f"{name}_weights"))
        nodes.append(helper.make_node("Conv", [goes_in, f"{name}_weights"], [name], kernel_shape=[1, 1]))
        before, channels = f"{name}_out", _CHANNELS
        nodes.append(helper.make_node("Tanh", [name], [before]))
    nodes += [
        helper.make_node("Sigmoid", [before], ["labelwire/probability"]),
        helper.make_node("Mul", ["labelwire/probability", "levels"], ["labelwire/in_levels"]),
        helper.make_node("Squeeze", ["labelwire/in_levels", "channel"], ["labelwire/map"]),
        helper.make_node("Cast", ["labelwire/map"], ["probability"], to=TensorProto.UINT8),
    ]
    constants += [
        numpy_helper.from_array(np.array(150, dtype=np.float32), "levels"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "channel"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("probability", TensorProto.UINT8, ["N", "H", "W"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def tiles(count: int) -> list[dict[str, NDArray[np.uint8]]]:
    """Return requests of noise, 32 by 32 pixels."""
    random = np.random.default_rng(6)
    return [{"image": random.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)} for _ in range(count)]
