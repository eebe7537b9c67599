"""TensorRT's own parser and builder take every graph of the onnx profile at every shape that it is served at.

The builder is that of TensorRT for RTX, which needs no GPU. Without `-m tensorrt` only a few plans are built, and only
where the library was fetched before.
"""

import functools
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.models import own_models
from tests.models.drawing import Pixels
from tests.models.plans import (
    TURING,
    Case,
    RtxPlanMaker,
    all_cases,
    few_cases,
    few_imported_cases,
    few_lowered_cases,
    imported_cases,
    lowered_cases,
    with_fp16_products,
)
from tests.models.reference import onnxruntime_session
from worker.local.provision import find_python_environment, python_environment
from worker.models.build import build_repository
from worker.models.configs import read_config
from worker.models.model_card import LineFormat
from worker.models.plan_runner import run_plan
from worker.models.profiles import TILE_SHAPES, select_profile
from worker.models.recognizer import fix_width, rewrite_recognizer
from worker.models.rewriting import load_graph
from worker.models.serving_checks import GraphTensor, check_matches_plan
from worker.models.shape_ranges import OptimizationProfile, ShapeRange, shape_ranges
from worker.models.templates import templates_directory
from worker.models.tensorrt_builder import PlanError, build_plan

pytestmark = pytest.mark.tensorrt

FP32_ON_TURING = r"for compute capability 7\.5 \(.*FP32 GEMM is not supported"
MIN_PLAN_BYTES, MAX_PLAN_BYTES = 1_000_000, 64_000_000
W96 = "text_recognizer_w96"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    asked = _is_asked(metafunc.config)
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", all_cases() if asked else few_cases(), ids=str)
    if "lowered_case" in metafunc.fixturenames:
        metafunc.parametrize("lowered_case", lowered_cases() if asked else few_lowered_cases(), ids=str)
    if "imported_case" in metafunc.fixturenames:
        metafunc.parametrize("imported_case", imported_cases() if asked else few_imported_cases(), ids=str)


def _is_asked(config: pytest.Config) -> bool:
    asked: str = config.option.markexpr
    return "tensorrt" in asked


@pytest.fixture(scope="module")
def tensorrt(pytestconfig: pytest.Config) -> Iterator[None]:
    """TensorRT for RTX, so that it can be imported."""
    environment = python_environment("tensorrt") if _is_asked(pytestconfig) else find_python_environment("tensorrt")
    if environment is None:
        pytest.skip("TensorRT for RTX was not fetched: make tensorrt-test does that")
    folder = str(environment.site_packages)
    sys.path.append(folder)
    yield
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def repositories(onnx_on_gpu: Path, onnx_repository: Path) -> dict[str, Path]:
    """The onnx profile by device."""
    return {"gpu": onnx_on_gpu, "cpu": onnx_repository}


def _graph(repository: Path, model: str) -> Path:
    (graph,) = (repository / model).glob("*/model.onnx")
    return graph


def _lines(width: int, *batches: int) -> ShapeRange:
    return ShapeRange(*((batch, 48, width, 3) for batch in batches))


def _sides(*batches: int) -> ShapeRange:
    return ShapeRange(*((batch, 1) for batch in batches))


@pytest.mark.usefixtures("tensorrt")
def test_a_plan_is_built_of_each_graph_at_each_shape_for_each_gpu(
    case: Case, repositories: Mapping[str, Path], tmp_path: Path
) -> None:
    assert MIN_PLAN_BYTES < len(_plan(case, repositories[case.repository], tmp_path)) < MAX_PLAN_BYTES


def _plan(case: Case, repository: Path, folder: Path) -> bytes:
    graph = _graph(repository, case.model)
    if case.compute_capability == TURING and case.multiplies_matrices:
        graph = folder / "fp16_products.onnx"
        onnx.save(with_fp16_products(onnx.load(_graph(repository, case.model))), graph)
    return build_plan(graph, [case.profile(repository)], compute_capability=case.compute_capability).content


def test_each_graph_of_the_onnx_profile_is_among_them(repositories: Mapping[str, Path]) -> None:
    models = {(case.repository, case.model) for case in all_cases()}
    built = {_graph(repositories[device], model).read_bytes() for device, model in models}

    there = {path.read_bytes() for folder in repositories.values() for path in folder.glob("*/*/model.onnx")}
    assert there == built


@pytest.mark.usefixtures("tensorrt")
@pytest.mark.parametrize("model", ["line_orientation", W96])
def test_no_matrix_is_multiplied_in_fp32_on_turing(repositories: Mapping[str, Path], model: str) -> None:
    """A limit of TensorRT for RTX. Where a later version has it no more, build the graphs as they are."""
    case = Case.of_lines("gpu", model, 96, TURING)

    with pytest.raises(PlanError, match=FP32_ON_TURING):
        build_plan(_graph(repositories["gpu"], model), [case.profile(repositories["gpu"])], compute_capability=TURING)


def test_what_is_built_for_turing_reads_the_same_token_for_token(
    repositories: Mapping[str, Path], lines: list[Pixels]
) -> None:
    graph = _graph(repositories["cpu"], "text_recognizer")
    exact, fp16 = (
        onnxruntime_session(graph),
        onnxruntime_session(with_fp16_products(onnx.load(graph)).SerializeToString()),
    )

    for line in lines:
        inputs = {"line": line[None], "upside_down": np.zeros((1, 1), dtype=np.float32)}
        (expected, sure), (token, confidence) = exact.run(None, inputs), fp16.run(None, inputs)
        np.testing.assert_array_equal(token[..., 0], expected[..., 0])
        np.testing.assert_allclose(confidence[..., 0], sure[..., 0], atol=0.02)


@pytest.mark.usefixtures("tensorrt")
def test_a_plan_takes_several_profiles(repositories: Mapping[str, Path]) -> None:
    graph = _graph(repositories["cpu"], "text_recognizer")
    profiles = [{"line": _lines(width, 1, 4, 4), "upside_down": _sides(1, 4, 4)} for width in (64, 320)]

    assert len(build_plan(graph, profiles, compute_capability="8.9").content) > MIN_PLAN_BYTES


@pytest.fixture(scope="module")
def lowered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The onnx profile for a GPU with TensorRT, in a lower precision; each is built once."""

    @functools.cache
    def build(precision: str) -> Path:
        profile = select_profile("onnx", device="gpu", accelerator="tensorrt", precision=precision)
        narrow = replace(profile, buckets=(96, 320), warmup_widths=(96, 320))
        return build_repository(narrow, tmp_path_factory.mktemp(precision) / "onnx", alphabet="latin")

    return build


@pytest.mark.usefixtures("tensorrt")
def test_a_plan_is_built_of_each_lowered_graph_for_each_gpu(
    lowered_case: Case, lowered: Callable[[str], Path], repositories: Mapping[str, Path]
) -> None:
    repository = lowered(lowered_case.repository)
    graph, in_fp32 = (_graph(folder, W96) for folder in (repository, repositories["gpu"]))
    assert graph.stat().st_size < 0.7 * in_fp32.stat().st_size

    build = functools.partial(
        build_plan,
        _graph(repository, lowered_case.model),
        [lowered_case.profile(repository)],
        compute_capability=lowered_case.compute_capability,
    )

    if (lowered_case.repository, lowered_case.compute_capability) == ("int8", TURING) and (
        lowered_case.multiplies_matrices
    ):
        with pytest.raises(PlanError, match=FP32_ON_TURING):  # the layers that INT8 hurts are in FP32
            build()
    else:
        assert MIN_PLAN_BYTES / 4 < len(build().content) < MAX_PLAN_BYTES


@pytest.fixture(scope="module")
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The onnx profile for a GPU, of the imported models that a fixture names; each is built once."""

    @functools.cache
    def build(family: str) -> Path:
        folder = tmp_path_factory.mktemp(family) / "models"
        return build_repository(
            select_profile("onnx", device="gpu"), folder, sources=request.getfixturevalue(family), alphabet="latin"
        )

    return build


@pytest.mark.usefixtures("tensorrt")
def test_a_plan_is_built_of_each_imported_graph_for_each_gpu(
    imported_case: Case, imported: Callable[[str], Path], tmp_path: Path
) -> None:
    repository = imported(imported_case.repository)

    assert MIN_PLAN_BYTES < len(_plan(imported_case, repository, tmp_path)) < MAX_PLAN_BYTES


@pytest.mark.usefixtures("tensorrt")
def test_a_plan_is_built_of_a_crnn_of_lines_32_pixels_high(tmp_path: Path) -> None:
    """LSTMs, which no other graph here has. It reads nothing, so it is rewritten without being imported."""
    crnn = load_graph(own_models.crnn(tmp_path / "crnn.onnx"))
    graph = fix_width(rewrite_recognizer(crnn, line=LineFormat(height=32, width=128, stride=4)), 192, 6)
    onnx.save(graph, tmp_path / "rewritten.onnx")
    profile = {"line": _lines(192, 1, 16, 64), "upside_down": _sides(1, 16, 64)}

    plan = build_plan(tmp_path / "rewritten.onnx", [profile], compute_capability="8.9")

    assert plan.tensors.outputs["token"] == GraphTensor("TYPE_INT32", (-1, 32, 1))


@pytest.mark.usefixtures("tensorrt")
@pytest.mark.parametrize("operator", ["Slice", "Pad"])
def test_a_node_that_works_on_bytes_is_refused(repositories: Mapping[str, Path], tmp_path: Path, operator: str) -> None:
    model = onnx.load(_graph(repositories["gpu"], "line_orientation"))
    parameters = {"Slice": ["labelwire/cut_from", "labelwire/cut_to", "labelwire/cut_axis"], "Pad": ["labelwire/pads"]}
    planted = helper.make_node(operator, ["line", *parameters[operator]], ["planted"])
    model.graph.node[0].input[0] = "planted"
    model.graph.node.insert(0, planted)
    onnx.save(model, tmp_path / "planted.onnx")

    with pytest.raises(
        PlanError, match=rf"planted\.onnx at node 0, a {operator}, \(.*Found unsupported input type of UINT8\)"
    ):
        build_plan(tmp_path / "planted.onnx", [{"line": _lines(320, 1, 16, 64)}], compute_capability="8.9")


@pytest.mark.usefixtures("tensorrt")
def test_bytes_that_leave_by_something_else_than_a_cast_are_refused(
    repositories: Mapping[str, Path], tmp_path: Path
) -> None:
    model = onnx.load(_graph(repositories["gpu"], "text_detector"))
    model.graph.node[-1].output[0] = "upright"
    model.graph.node.append(helper.make_node("Transpose", ["upright"], ["probability"], perm=[0, 2, 1]))
    onnx.save(model, tmp_path / "planted.onnx")
    tiles = ShapeRange(*((batch, 544, 544, 3) for batch in (1, 8, 8)))

    with pytest.raises(PlanError, match=r"planted\.onnx.*UINT8"):
        build_plan(tmp_path / "planted.onnx", [{"image": tiles}], compute_capability="8.9")


@pytest.mark.usefixtures("tensorrt")
@pytest.mark.parametrize(
    ("model", "profile", "words"),
    [
        (W96, {"line": _lines(96, 1, 16, 64)}, r"takes \['line', 'upside_down'\], but its profile gives \['line'\]"),
        (
            W96,
            {"line": _lines(128, 1, 16, 64), "upside_down": _sides(1, 16, 64)},
            r"takes line as \[-1, 48, 96, 3\], but its profile gives \[1, 48, 128, 3\]",
        ),
        (
            W96,
            {"line": _lines(96, 1, 16, 64), "upside_down": ShapeRange((1,), (16,), (64,))},
            r"takes upside_down as \[-1, 1\], but its profile gives \[1\]",
        ),
        (
            W96,
            {"line": _lines(96, 1, 64, 16), "upside_down": _sides(1, 16, 64)},
            r"from \[1, 48, 96, 3\] over \[64, 48, 96, 3\] to \[16, 48, 96, 3\]: give sizes that do not fall",
        ),
        (
            W96,
            {"line": _lines(96, 1, 16, 64), "upside_down": _sides(2, 3, 5)},
            r"does not build .* for compute capability 8\.9 \(.*invalid shape profile",
        ),
        (
            "text_detector",
            {"image": ShapeRange(*((batch, 545, 544, 3) for batch in (1, 8, 8)))},
            r"\(.*broadcast dimensions must be conformable.*\): change the graph or the shapes of its profiles",
        ),
    ],
    ids=["input", "width", "rank", "order", "batches", "tile"],
)
def test_a_profile_that_does_not_fit_is_refused(
    repositories: Mapping[str, Path], model: str, profile: OptimizationProfile, words: str
) -> None:
    with pytest.raises(PlanError, match=words):
        build_plan(_graph(repositories["gpu"], model), [profile], compute_capability="8.9")


@pytest.mark.usefixtures("tensorrt")
def test_a_gpu_that_the_library_does_not_know_is_refused(repositories: Mapping[str, Path]) -> None:
    graph = _graph(repositories["gpu"], "line_orientation")

    with pytest.raises(PlanError, match=r"not build for compute capability 9\.0: choose one of 7\.5, 8\.0, .*12\.0"):
        build_plan(graph, [{"line": _lines(320, 1, 16, 64)}], compute_capability="9.0")


@pytest.mark.usefixtures("tensorrt")
def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")

    with pytest.raises(PlanError, match=r"refuses .*broken\.onnx \(.*Failed to parse the ONNX model"):
        build_plan(tmp_path / "broken.onnx", [], compute_capability="8.9")
    with pytest.raises(PlanError, match=r"absent\.onnx cannot be read \(No such file or directory\)"):
        build_plan(tmp_path / "absent.onnx", [], compute_capability="8.9")


@pytest.mark.usefixtures("tensorrt")
def test_a_plan_says_what_its_network_takes_and_returns(repositories: Mapping[str, Path]) -> None:
    profile = {"line": _lines(96, 1, 16, 64), "upside_down": _sides(1, 16, 64)}

    plan = build_plan(_graph(repositories["gpu"], W96), [profile], compute_capability="8.9")

    assert plan.tensors.inputs == {
        "line": GraphTensor("TYPE_UINT8", (-1, 48, 96, 3)),
        "upside_down": GraphTensor("TYPE_FP32", (-1, 1)),
    }
    assert {name: tensor.data_type for name, tensor in plan.tensors.outputs.items()} == {
        "token": "TYPE_INT32",
        "confidence": "TYPE_FP32",
    }


@pytest.mark.usefixtures("tensorrt")
def test_one_plan_of_the_detector_takes_every_multiple_of_32(onnx_on_gpu: Path) -> None:
    config = read_config(templates_directory() / "text_detector" / "configs" / "tensorrt.pbtxt")
    config.cc_model_filenames["8.9"] = "sm89.plan"
    profile = shape_ranges(config, TILE_SHAPES)

    plan = build_plan(_graph(onnx_on_gpu, "text_detector"), [profile], compute_capability="8.9")

    assert profile["image"] == ShapeRange((1, 32, 32, 3), (4, 1056, 1056, 3), (4, 2048, 2048, 3))
    assert MIN_PLAN_BYTES < len(plan.content) < MAX_PLAN_BYTES
    check_matches_plan(config, plan.tensors, profile)


@pytest.mark.usefixtures("tensorrt")
def test_the_tensorrt_profile_is_built_by_the_builder_that_production_calls(tmp_path: Path) -> None:
    """All of it but the engine's target and its run on a GPU, which ONNX Runtime stands in for."""
    profile = replace(select_profile("tensorrt"), buckets=(96, 320), warmup_widths=(96, 320))

    repository = build_repository(profile, tmp_path / "tensorrt", alphabet="latin", plans=RtxPlanMaker())

    plans = {path.parent.parent.name: path for path in repository.glob("*/*/sm89.plan")}
    assert set(plans) == {"text_detector", "text_recognizer_w96", "text_recognizer"}
    assert all(MIN_PLAN_BYTES < path.stat().st_size < MAX_PLAN_BYTES for path in plans.values())


@pytest.mark.usefixtures("tensorrt")
@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_a_plan_is_not_run_without_a_driver(repositories: Mapping[str, Path]) -> None:
    import tensorrt_rtx_bindings  # noqa: PLC0415

    graph = _graph(repositories["gpu"], "line_orientation")
    plan = build_plan(graph, [{"line": _lines(96, 1, 1, 1)}], compute_capability="8.9")

    with pytest.raises(PlanError, match=r"the NVIDIA driver's libcuda\.so\.1 does not load"):
        run_plan(plan.content, {"line": np.zeros((1, 48, 96, 3), dtype=np.uint8)}, library=tensorrt_rtx_bindings)


@pytest.mark.usefixtures("tensorrt")
def test_only_a_named_compute_capability_takes_tensorrt_for_rtx(repositories: Mapping[str, Path]) -> None:
    """TensorRT for RTX can be imported here, but its plans would not be served."""
    with pytest.raises(PlanError, match="the Python module tensorrt cannot be imported"):
        build_plan(_graph(repositories["gpu"], W96), [])


def test_without_tensorrt_for_rtx_no_gpu_can_be_named() -> None:
    code = (
        "from pathlib import Path; from worker.models.tensorrt_builder import build_plan; "
        "build_plan(Path(), [], compute_capability='8.9')"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "PlanError: TensorRT for RTX, which alone builds for a named compute capability, is not installed" in (
        ended.stderr
    )


def test_without_the_library_it_is_said_which_module_is_missing() -> None:
    code = "from pathlib import Path; from worker.models.tensorrt_builder import build_plan; build_plan(Path(), [])"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "PlanError: the Python module tensorrt cannot be imported (No module named 'tensorrt')" in ended.stderr
