"""Graphs in FP16 and INT8: what is lowered, what stays, and that they still read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.models.drawing import Pixels
from tests.models.reference import decoded, onnxruntime_session
from tests.precision.graphs import small_detector
from worker.domain.manifest import ModelRole
from worker.models.alphabet import ctc_dictionary, kept_classes
from worker.models.detector import rewrite_detector
from worker.models.drawn_lines import draw_lines
from worker.models.precision import lowering
from worker.models.precision.halves import half_nodes, with_halves
from worker.models.precision.integers import linear_layer, linear_layers, with_integers
from worker.models.precision.lifted_integers import pointwise_layers, with_lifted_integers
from worker.models.precision.recipe import Engine, GraphRecipe, LowPrecision, RecipeError, find_recipes
from worker.models.recognizer import fix_width, recognizer_characters, rewrite_recognizer
from worker.models.rewriting import load_graph, noted_changes
from worker.models.source import ModelSource

_UPRIGHT = np.zeros((1, 1), dtype=np.float32)


@pytest.fixture(scope="module")
def dictionary(sources: Mapping[ModelRole, ModelSource]) -> list[str]:
    full = ctc_dictionary(recognizer_characters(load_graph(sources[ModelRole.RECOGNIZER].path)))
    return [full[index] for index in kept_classes(full, "latin")]


@pytest.fixture(scope="module")
def recognizer(sources: Mapping[ModelRole, ModelSource]) -> onnx.ModelProto:
    model = load_graph(sources[ModelRole.RECOGNIZER].path)
    classes = kept_classes(ctc_dictionary(recognizer_characters(model)), "latin")
    return rewrite_recognizer(model, classes, 4)


@pytest.fixture(scope="module")
def detector(sources: Mapping[ModelRole, ModelSource]) -> onnx.ModelProto:
    return rewrite_detector(load_graph(sources[ModelRole.DETECTOR].path))


@pytest.fixture(scope="module")
def ranges(sources: Mapping[ModelRole, ModelSource]) -> dict[ModelRole, dict[str, tuple[float, float]]]:
    """The ranges of the committed recipe for the pinned models and ONNX Runtime."""
    return _committed("onnx", sources)


@pytest.mark.parametrize(
    ("engine", "precision", "change"),
    [
        ("onnx", "fp16", "computes in FP16, but for 0 nodes that stay in FP32"),
        ("onnx", "int8", "computes 23 layers in INT8"),
        ("openvino", "int8", "computes 31 layers in INT8"),
    ],
)
def test_a_lowered_graph_says_so_behind_all_that_was_rewritten_before(
    recognizer: onnx.ModelProto,
    sources: Mapping[ModelRole, ModelSource],
    engine: Engine,
    precision: LowPrecision,
    change: str,
) -> None:
    digests = {role: source.judged_sha256 for role, source in sources.items()}
    recipe = find_recipes(engine, digests, ())[precision].graphs[ModelRole.RECOGNIZER]

    lowered = lowering.lowered(recognizer, engine, precision, recipe)

    assert len(noted_changes(recognizer)) > 3
    assert noted_changes(lowered) == (*noted_changes(recognizer), change)


def _committed(
    engine: Engine, sources: Mapping[ModelRole, ModelSource]
) -> dict[ModelRole, dict[str, tuple[float, float]]]:
    recipes = find_recipes(engine, {role: source.judged_sha256 for role, source in sources.items()}, ())
    return {role: graph.ranges for role, graph in recipes["int8"].graphs.items()}


def _texts(model: onnx.ModelProto, lines: Sequence[Pixels], dictionary: list[str]) -> list[str]:
    session = onnxruntime_session(model.SerializeToString())
    tokens = [session.run(["token"], {"line": line[None], "upside_down": _UPRIGHT})[0][0, :, 0] for line in lines]
    return [decoded(found, dictionary).replace(" ", "") for found in tokens]


def test_a_recognizer_in_a_lower_precision_reads_what_was_drawn(
    recognizer: onnx.ModelProto,
    ranges: Mapping[ModelRole, Mapping[str, tuple[float, float]]],
    dictionary: list[str],
    lines: list[Pixels],
) -> None:
    before = _texts(recognizer, lines, dictionary)

    in_fp16 = _texts(with_halves(recognizer, ()), lines, dictionary)
    in_int8 = _texts(with_integers(recognizer, ranges[ModelRole.RECOGNIZER]), lines, dictionary)

    assert {"Hamburg", "1Z999AA10123456784"} <= set(before)
    assert in_fp16 == before
    assert in_int8 == before


def test_the_form_for_openvino_reads_the_same_and_needs_no_zero_point(
    recognizer: onnx.ModelProto,
    sources: Mapping[ModelRole, ModelSource],
    dictionary: list[str],
    lines: list[Pixels],
) -> None:
    ranges = _committed("openvino", sources)[ModelRole.RECOGNIZER]
    names = [layer.name for layer in pointwise_layers(recognizer)]

    quantized = with_lifted_integers(recognizer, {name: ranges[name] for name in names if name in ranges})

    assert _texts(quantized, lines, dictionary) == _texts(recognizer, lines, dictionary)
    constants = {tensor.name: tensor for tensor in quantized.graph.initializer}
    kernels = [tensor for tensor in constants.values() if tensor.data_type == TensorProto.INT8]
    assert len(kernels) == len(names) == 30
    assert all(tuple(kernel.dims[2:]) == (1, 1) for kernel in kernels)
    pairs = [constants[node.input[2]] for node in quantized.graph.node if node.op_type == "QuantizeLinear"]
    assert {(zero.data_type, int(numpy_helper.to_array(zero))) for zero in pairs} == {(TensorProto.UINT8, 0)}


def test_a_recipe_holds_for_a_smaller_alphabet_too(
    recognizer: onnx.ModelProto, sources: Mapping[ModelRole, ModelSource], dictionary: list[str], lines: list[Pixels]
) -> None:
    engines: tuple[Engine, ...] = ("onnx", "openvino")
    for engine in engines:
        recipe = GraphRecipe(ranges=_committed(engine, sources)[ModelRole.RECOGNIZER])
        small = lowering.lowered(recognizer, engine, "int8", recipe)
        assert _texts(small, lines, dictionary) == _texts(recognizer, lines, dictionary)


def test_a_lifted_convolution_equals_the_original_within_its_steps(
    recognizer: onnx.ModelProto, sources: Mapping[ModelRole, ModelSource]
) -> None:
    layer = pointwise_layers(recognizer)[0].name
    ranges = _committed("openvino", sources)[ModelRole.RECOGNIZER]
    (line,) = draw_lines(1, seed=99)

    exact, rounded = (
        _tensor(model, layer, line) for model in (recognizer, with_lifted_integers(recognizer, {layer: ranges[layer]}))
    )

    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.999
    assert np.abs(exact - rounded).mean() < 0.01 * np.ptp(exact)


def _tensor(model: onnx.ModelProto, name: str, line: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    observed.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = onnxruntime_session(observed.SerializeToString())
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = session.run(
        [name], {"line": line, "upside_down": _UPRIGHT}
    )[0]
    return values


def test_a_detector_in_a_lower_precision_finds_the_same_text(
    detector: onnx.ModelProto, ranges: Mapping[ModelRole, Mapping[str, tuple[float, float]]], page: Pixels
) -> None:
    twins = {
        "fp32": detector,
        "fp16": with_halves(detector, ()),
        "int8": with_integers(detector, ranges[ModelRole.DETECTOR]),
    }

    text = {
        name: onnxruntime_session(model.SerializeToString()).run(None, {"image": page[None]})[0] > 76
        for name, model in twins.items()
    }

    assert np.count_nonzero(text["fp32"]) > 5000
    for name in ("fp16", "int8"):
        overlap = np.count_nonzero(text["fp32"] & text[name]) / np.count_nonzero(text["fp32"] | text[name])
        assert overlap > 0.95, name


@pytest.mark.parametrize("role", [ModelRole.RECOGNIZER, ModelRole.DETECTOR])
def test_in_fp16_a_cast_stands_where_the_network_begins_and_ends_and_nowhere_else(
    role: ModelRole, recognizer: onnx.ModelProto, detector: onnx.ModelProto
) -> None:
    model = recognizer if role is ModelRole.RECOGNIZER else detector
    original = model.SerializeToString()

    halved = with_halves(model, ())

    assert model.SerializeToString() == original
    assert halved.ByteSize() < 0.55 * len(original)
    casts = [node for node in halved.graph.node if node.name.endswith(("/fp16", "/fp32"))]
    assert len(casts) <= 3
    assert {node.input[0].startswith("labelwire/") for node in casts if node.name.endswith("/fp16")} == {True}
    assert _types(halved)["labelwire/levels"] == TensorProto.FLOAT
    assert [_signature(tensor) for tensor in (*halved.graph.input, *halved.graph.output)] == [
        _signature(tensor) for tensor in (*model.graph.input, *model.graph.output)
    ]


def test_nodes_that_are_kept_in_fp32_hand_over_fp32(recognizer: onnx.ModelProto) -> None:
    first, second, *_ = half_nodes(recognizer)

    halved = with_halves(recognizer, [first, second])

    types = _types(halved)
    assert types[first] == types[second] == TensorProto.FLOAT
    assert f"{first}/fp16" not in types
    assert types[half_nodes(recognizer)[10]] == TensorProto.FLOAT16


def test_confidences_are_never_above_one_in_fp16(recognizer: onnx.ModelProto, lines: list[Pixels]) -> None:
    session = onnxruntime_session(with_halves(recognizer, ()).SerializeToString())

    highest = max(
        float(session.run(["confidence"], {"line": line[None], "upside_down": _UPRIGHT})[0].max()) for line in lines
    )

    assert 0.9 < highest <= 1


def test_scales_of_a_resize_and_numbers_too_large_for_fp16_stay_finite() -> None:
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["larger"], mode="nearest"),
        helper.make_node("Mul", ["larger", "huge"], ["product"]),
        helper.make_node("Identity", ["product"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 4, 4])],
        [
            numpy_helper.from_array(np.array([1, 1, 2, 2], dtype=np.float32), "scales"),
            numpy_helper.from_array(np.array(1e6, dtype=np.float32), "huge"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    halved = with_halves(model, ())

    (result,) = onnxruntime_session(halved.SerializeToString()).run(None, {"x": np.full((1, 1, 2, 2), 0.5, np.float32)})
    assert _types(halved)["larger"] == TensorProto.FLOAT16
    np.testing.assert_array_equal(result, np.full((1, 1, 4, 4), 32752, np.float32))


def test_only_the_layers_of_a_recipe_become_integers(recognizer: onnx.ModelProto) -> None:
    chosen = [layer for layer in linear_layers(recognizer) if layer.weights_shape[2:] == (1, 1)][:5]

    quantized = with_integers(recognizer, {layer.name: (-1.0, 3.0) for layer in chosen})

    kernels = [tensor for tensor in quantized.graph.initializer if tensor.data_type == TensorProto.INT8 and tensor.dims]
    shapes = [tuple(kernel.dims) for kernel in kernels if len(kernel.dims) > 1]
    assert sorted(shapes) == sorted(layer.weights_shape for layer in chosen)
    assert {int(numpy_helper.to_array(kernel).min()) for kernel in kernels if len(kernel.dims) == 1} == {0}


def test_activations_are_symmetric_and_weights_have_a_scale_for_each_channel(recognizer: onnx.ModelProto) -> None:
    layer = next(layer for layer in linear_layers(recognizer) if layer.weights_shape[2:] == (1, 1))

    quantized = with_integers(recognizer, {layer.name: (-1.0, 3.0)})

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    pairs = [node for node in quantized.graph.node if node.op_type == "DequantizeLinear"]
    scales = {int(np.size(constants[node.input[1]])) for node in pairs}
    assert scales == {1, layer.weights_shape[0]}
    assert all(not constants[node.input[2]].any() for node in pairs)
    activation = next(constants[node.input[1]] for node in pairs if np.size(constants[node.input[1]]) == 1)
    assert float(activation) == pytest.approx(3 / 127, rel=0.01)


def test_a_width_can_be_fixed_afterwards(recognizer: onnx.ModelProto, lines: list[Pixels]) -> None:
    layer = linear_layers(recognizer)[3]
    width = lines[0].shape[1]

    for lowered in (with_halves(recognizer, ()), with_integers(recognizer, {layer.name: (-3.0, 3.0)})):
        session = onnxruntime_session(fix_width(lowered, width).SerializeToString())
        (token,) = session.run(["token"], {"line": lines[0][None], "upside_down": _UPRIGHT})
        assert token.shape == (1, width // 8, 4)


def _types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {info.name: info.type.tensor_type.elem_type for info in (*graph.value_info, *graph.output)}


def _signature(tensor: Any) -> tuple[str, int]:  # noqa: ANN401  onnx's own type
    return tensor.name, tensor.type.tensor_type.elem_type


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (
            GraphRecipe(ranges={"first": (0.0, 1.0), "gone": (0.0, 1.0)}),
            "names gone, which the graph cannot have in int8",
        ),
        (GraphRecipe(), "names no layer in int8"),  # ONNX Runtime's quantizer would take them all
    ],
)
def test_a_recipe_of_another_graph_is_refused(recipe: GraphRecipe, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        lowering.lowered(small_detector(), "onnx", "int8", recipe)
    with pytest.raises(RecipeError, match="names gone, which the graph cannot have in fp16"):
        lowering.lowered(small_detector(), "onnx", "fp16", GraphRecipe(kept=("gone",)))


@pytest.mark.parametrize(
    ("operator", "shape", "attributes", "expected"),
    [
        ("Conv", (64, 8, 3, 5), {"group": 2}, 8 * 3 * 5),
        ("MatMul", (96, 200), {}, 96),
        ("MatMul", (4, 96, 200), {}, 96),
        ("Gemm", (96, 200), {}, 96),
        ("Gemm", (200, 96), {"transB": 1}, 96),
    ],
)
def test_the_work_of_a_layer_follows_its_operator(
    operator: str, shape: tuple[int, ...], attributes: dict[str, Any], expected: int
) -> None:
    node = helper.make_node(operator, ["x", "weights"], ["y"], **attributes)

    assert linear_layer(node, "x", shape).multiplications == expected


def _branching() -> onnx.ModelProto:
    """Return a graph with a branch that reads a tensor from outside, `a`, and a constant."""

    def branch(operator: str) -> onnx.GraphProto:
        body = [helper.make_node(operator, ["a", "one"], ["chosen"])]
        return helper.make_graph(body, operator, [], [helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)])

    nodes = [
        helper.make_node("Conv", ["x", "first_weights"], ["first"], kernel_shape=[1, 1]),
        helper.make_node("Tanh", ["first"], ["a"]),
        helper.make_node("If", ["condition"], ["b"], then_branch=branch("Add"), else_branch=branch("Sub")),
        helper.make_node("Conv", ["b", "last_weights"], ["last"], kernel_shape=[1, 1]),
        helper.make_node("Identity", ["last"], ["y"]),
    ]
    weights = np.linspace(-0.5, 0.5, 16, dtype=np.float32).reshape(4, 4, 1, 1)
    graph = helper.make_graph(
        nodes,
        "branches",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 1, 1]),
            helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 1, 1])],
        [
            numpy_helper.from_array(weights, "first_weights"),
            numpy_helper.from_array(weights[::-1].copy(), "last_weights"),
            numpy_helper.from_array(np.ones(1, dtype=np.float32), "one"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_what_a_branch_reads_is_there_for_it() -> None:
    model = _branching()
    given = {"x": np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4, 1, 1), "condition": np.array(True)}
    session = onnxruntime_session(model.SerializeToString())
    (expected,) = session.run(None, given)

    in_halves = with_halves(model, ())
    in_integers = with_integers(model, {"first": (-1.0, 1.0), "last": (0.0, 2.0)})

    assert half_nodes(model) == ["first", "last"]  # what branches read stays in FP32
    for lowered, tolerance in ((in_halves, 2e-3), (in_integers, 2e-2)):
        (found,) = onnxruntime_session(lowered.SerializeToString()).run(None, given)
        np.testing.assert_allclose(found, expected, atol=tolerance)
        assert not np.array_equal(found, expected)


def test_weights_of_two_layers_stay_for_the_one_that_is_not_lowered() -> None:
    weights = np.linspace(-1, 1, 192 * 192, dtype=np.float32).reshape(192, 192, 1, 1)
    nodes = [
        helper.make_node("Conv", ["x", "weights"], ["first"], kernel_shape=[1, 1]),
        helper.make_node("Conv", ["first", "weights"], ["y"], kernel_shape=[1, 1]),
    ]
    shape: list[str | int | None] = ["N", 192, 4, 4]
    graph = helper.make_graph(
        nodes,
        "shared",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    one = with_lifted_integers(model, {"first": (-1.0, 1.0)})

    assert "weights" in {tensor.name for tensor in one.graph.initializer}
    both = with_lifted_integers(model, {"first": (-1.0, 1.0), "y": (-1.0, 1.0)})
    assert "weights" not in {tensor.name for tensor in both.graph.initializer}
