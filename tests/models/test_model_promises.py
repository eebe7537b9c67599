"""A built repository is one that its servers take: configs fit their graphs, and no graph works on bytes."""

from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from worker.domain.manifest import ModelRole
from worker.models.build import build_repository
from worker.models.configs import ConfigError, ModelConfig, read_config
from worker.models.orientation import rewrite_orientation
from worker.models.profiles import select_profile
from worker.models.rewriting import GraphError, load_graph
from worker.models.serving_checks import (
    GraphTensor,
    GraphTensors,
    check_bytes,
    check_ensemble,
    check_matches_graph,
    check_warm_up,
    graph_tensors,
)
from worker.models.source import ModelSource


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    profile = select_profile("onnx", device="cpu", cores=3)
    return build_repository(profile, tmp_path_factory.mktemp("models") / "cpu", alphabet="latin", alternatives=1)


@pytest.fixture(scope="module")
def own_alphabet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "digits.txt").write_text("0123456789", encoding="utf-8")
    profile = select_profile("onnx", device="cpu")
    return build_repository(profile, folder / "own", alphabet=str(folder / "digits.txt"), alternatives=2)


def _graphs(repository: Path) -> list[Path]:
    graphs = sorted(repository.glob("*/*/model.onnx"))
    assert graphs, f"{repository} holds no graphs"
    return graphs


def _graph(repository: Path, model: str) -> Path:
    (graph,) = (repository / model).glob("*/model.onnx")
    return graph


@pytest.mark.parametrize("built", ["onnx_on_gpu", "on_cpu", "own_alphabet"])
def test_every_config_fits_its_graph_as_the_backend_compares_them(built: str, request: pytest.FixtureRequest) -> None:
    graphs = _graphs(request.getfixturevalue(built))

    for path in graphs:
        config, graph = read_config(path.parents[1] / "config.pbtxt"), graph_tensors(path)
        assert config.backend == "onnxruntime"
        check_matches_graph(config, graph)
        assert {tensor.name: (-1, *tensor.dims) for tensor in config.output} == {
            name: tensor.dims for name, tensor in graph.outputs.items()
        }, "output dims are compared exactly"
        for tensor in config.input:
            assert not tensor.allow_ragged_batch


def test_every_buckets_graph_takes_lines_of_its_width_alone(onnx_on_gpu: Path) -> None:
    for width, name in ((96, "text_recognizer_w96"), (1280, "text_recognizer")):
        graph = graph_tensors(_graph(onnx_on_gpu, name))

        assert graph.inputs["line"].dims == (-1, 48, width, 3)
        assert graph.outputs["token"].dims == graph.outputs["confidence"].dims == (-1, width // 8, 4)


def _planted(name: str, *dims: int) -> Callable[[ModelConfig], None]:
    def plant(config: ModelConfig) -> None:
        (tensor,) = [tensor for tensor in (*config.input, *config.output) if tensor.name == name]
        del tensor.dims[:]
        tensor.dims.extend(dims)

    return plant


def _rename(config: ModelConfig) -> None:
    config.output[1].name = "certainty"


def _retype(config: ModelConfig) -> None:
    config.output[0].data_type = config.output[1].data_type


def _drop_an_input(config: ModelConfig) -> None:
    del config.input[1]


def _allow_ragged(config: ModelConfig) -> None:
    config.input[0].allow_ragged_batch = True


def _not_batch(config: ModelConfig) -> None:
    config.max_batch_size = 0


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (_planted("token", -1, 4), r"token as \[-1, -1, 4\], but its graph as \[-1, 12, 4\]"),
        (_planted("token", 20, 4), r"token as \[-1, 20, 4\]"),
        (_planted("token", 12, 1), r"token as \[-1, 12, 1\]"),
        (_planted("token", 12), r"token as \[-1, 12\]"),
        (_planted("line", 48, 160, 3), r"line as \[-1, 48, 160, 3\], but its graph as \[-1, 48, 96, 3\]"),
        (_rename, r"names certainty, but its graph has \['confidence', 'token'\]"),
        (_retype, r"token as TYPE_FP32, but its graph as TYPE_INT32"),
        (_drop_an_input, r"names the inputs \['line'\], but its graph has \['line', 'upside_down'\]"),
        (_allow_ragged, r"allows ragged batches of line"),
        (_not_batch, r"line as \[48, 96, 3\]"),
    ],
)
def test_a_planted_difference_is_refused(onnx_on_gpu: Path, plant: Callable[[ModelConfig], None], words: str) -> None:
    folder = onnx_on_gpu / "text_recognizer_w96"
    config, graph = read_config(folder / "config.pbtxt"), graph_tensors(_graph(folder.parent, folder.name))

    plant(config)

    with pytest.raises(ConfigError, match=words):
        check_matches_graph(config, graph)


def _warm_another_width(config: ModelConfig) -> None:
    config.model_warmup[0].inputs["line"].dims[1] = 160


def _warm_other_pixels(config: ModelConfig) -> None:
    config.model_warmup[0].inputs["line"].data_type = config.output[0].data_type


def _warm_a_batch_too_large(config: ModelConfig) -> None:
    config.model_warmup[1].batch_size = 65


def _warm_without_a_side(config: ModelConfig) -> None:
    del config.model_warmup[0].inputs["upside_down"]


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (_warm_another_width, r"line_96_batch_1 with line as TYPE_UINT8 \[48, 160, 3\]: it takes .* \[48, 96, 3\]"),
        (_warm_other_pixels, r"line as TYPE_INT32 \[48, 96, 3\]: it takes TYPE_UINT8"),
        (_warm_a_batch_too_large, r"in a batch of 65: it takes 1 to 64"),
        (_warm_without_a_side, r"of the inputs \['line'\], but it takes \['line', 'upside_down'\]"),
    ],
)
def test_a_warm_up_that_the_model_does_not_take_is_refused(
    onnx_on_gpu: Path, plant: Callable[[ModelConfig], None], words: str
) -> None:
    config = read_config(onnx_on_gpu / "text_recognizer_w96" / "config.pbtxt")
    check_warm_up(config)

    plant(config)

    with pytest.raises(ConfigError, match=words):
        check_warm_up(config)


def _members(repository: Path) -> dict[str, ModelConfig]:
    return {path.parent.name: read_config(path) for path in repository.glob("*/config.pbtxt")}


@pytest.mark.parametrize("built", ["onnx_on_gpu", "on_cpu", "own_alphabet", "model_repository"])
def test_every_ensemble_fits_its_members(built: str, request: pytest.FixtureRequest) -> None:
    members = _members(request.getfixturevalue(built))
    ensembles = [config for config in members.values() if config.HasField("ensemble_scheduling")]

    assert ensembles
    for config in ensembles:
        check_ensemble(config, members)
    for config in members.values():
        check_warm_up(config)


def _give_no_side(config: ModelConfig) -> None:
    del config.ensemble_scheduling.step[1].input_map["upside_down"]


def _give_what_nobody_makes(config: ModelConfig) -> None:
    config.ensemble_scheduling.step[1].input_map["upside_down"] = "side"


def _return_what_nobody_makes(config: ModelConfig) -> None:
    del config.ensemble_scheduling.step[1].output_map["token"]


def _take_larger_batches(config: ModelConfig) -> None:
    config.max_batch_size = 128


def _name_another_version(config: ModelConfig) -> None:
    config.ensemble_scheduling.step[0].model_version = 1


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (_planted("token", 12, 1), r"token as TYPE_INT32 \[12, 4\], but it is taken as token, TYPE_INT32 \[12, 1\]"),
        (_planted("line", 48, 160, 3), r"line as TYPE_UINT8 \[48, 160, 3\], but .* \[48, 96, 3\]"),
        (_retype, "token as TYPE_INT32 .* taken as token, TYPE_FP32"),
        (_give_no_side, "gives text_recognizer_w96 no upside_down"),
        (_give_what_nobody_makes, "side, which no step before it makes"),
        (_return_what_nobody_makes, "returns token, which no step makes"),
        (_take_larger_batches, "takes batches of 128, but its member line_orientation only of 64"),
        (_name_another_version, "names version 1 of line_orientation"),
    ],
)
def test_an_ensemble_that_does_not_fit_its_members_is_refused(
    onnx_on_gpu: Path, plant: Callable[[ModelConfig], None], words: str
) -> None:
    members = _members(onnx_on_gpu)
    config = members["text_reader_w96"]

    plant(config)

    with pytest.raises(ConfigError, match=words):
        check_ensemble(config, members)


def test_inputs_may_be_narrower_than_the_graph_and_batches_need_a_free_dim(onnx_on_gpu: Path) -> None:
    config = read_config(onnx_on_gpu / "line_orientation" / "config.pbtxt")
    config.input[0].dims[1] = 320
    free = {"upside_down": GraphTensor("TYPE_FP32", (-1, 1))}
    check_matches_graph(config, GraphTensors({"line": GraphTensor("TYPE_UINT8", (-1, 48, -1, 3))}, free))

    with pytest.raises(ConfigError, match=r"batches, but line is \[1, 48, -1, 3\] in its graph"):
        check_matches_graph(config, GraphTensors({"line": GraphTensor("TYPE_UINT8", (1, 48, -1, 3))}, free))


def test_a_scalar_of_the_graph_is_one_in_the_config(onnx_on_gpu: Path) -> None:
    config = read_config(onnx_on_gpu / "line_orientation" / "config.pbtxt")
    graph = graph_tensors(_graph(onnx_on_gpu, "line_orientation"))
    scalar = GraphTensors(graph.inputs, {"upside_down": GraphTensor("TYPE_FP32", ())})
    check_matches_graph(config, scalar)
    config.output[0].dims[0] = 2

    with pytest.raises(ConfigError, match="is a scalar in its graph"):
        check_matches_graph(config, scalar)


@pytest.mark.parametrize("built", ["onnx_on_gpu", "on_cpu", "own_alphabet", "model_repository"])
def test_bytes_enter_and_leave_every_graph_by_a_cast_alone(built: str, request: pytest.FixtureRequest) -> None:
    for path in _graphs(request.getfixturevalue(built)):
        model = onnx.load(path)
        check_bytes(model, path.parents[1].name)
        in_bytes = {value.name for value in model.graph.input if _is_bytes(value)}
        out_bytes = {value.name for value in model.graph.output if _is_bytes(value)}
        assert in_bytes, "all models take pixels"
        for node in model.graph.node:
            if in_bytes.intersection(node.input) or out_bytes.intersection(node.output):
                assert node.op_type == "Cast"


def _is_bytes(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.UINT8)


@pytest.mark.parametrize("operator", ["Slice", "Pad", "Transpose", "Where", "Concat", "Shape"])
def test_a_graph_that_works_on_bytes_is_refused(sources: Mapping[ModelRole, ModelSource], operator: str) -> None:
    model = rewrite_orientation(load_graph(sources[ModelRole.ORIENTATION].path))
    others: dict[str, list[str]] = {"Transpose": [], "Concat": ["line"], "Shape": []}
    inputs = ["line", *others.get(operator, ["labelwire/cut_from", "labelwire/cut_to"])]
    if operator == "Where":
        inputs = ["labelwire/flag", "line", "line"]
    node = helper.make_node(operator, inputs, ["planted"])
    if operator == "Concat":
        node.attribute.append(helper.make_attribute("axis", 0))
    model.graph.node.append(node)

    with pytest.raises(GraphError, match=f"the graph of line_orientation has a {operator} on UINT8"):
        check_bytes(model, "line_orientation")
