"""TensorRT inside the onnxruntime backend: only options that it knows, shapes pinned, no engine for two graphs."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.test_tensorrt_profile import two_widths
from worker.domain.errors import LocalStackError
from worker.local.triton import TritonServer
from worker.models.accelerator import KNOWN_OPTIONS, check_accelerators
from worker.models.build import build_repository
from worker.models.configs import ConfigError, read_config
from worker.models.profiles import ProfileError, select_profile

# What Triton's onnxruntime backend of r24.10 takes for the accelerator `tensorrt` (those of 25.12 and 26.06 take the
# same); any other option ends the load of the model.
BACKEND_OPTIONS = {
    "int8_calibration_table_name",
    "int8_use_native_calibration_table",
    "max_workspace_size_bytes",
    "precision_mode",
    "trt_auxiliary_streams",
    "trt_build_heuristics_enable",
    "trt_builder_optimization_level",
    "trt_context_memory_sharing_enable",
    "trt_cuda_graph_enable",
    "trt_detailed_build_log",
    "trt_dla_core",
    "trt_dla_enable",
    "trt_dump_ep_context_model",
    "trt_dump_subgraphs",
    "trt_engine_cache_enable",
    "trt_engine_cache_path",
    "trt_engine_cache_prefix",
    "trt_ep_context_embed_mode",
    "trt_ep_context_file_path",
    "trt_extra_plugin_lib_paths",
    "trt_force_sequential_engine_build",
    "trt_force_timing_cache",
    "trt_layer_norm_fp32_fallback",
    "trt_max_partition_iterations",
    "trt_min_subgraph_size",
    "trt_profile_max_shapes",
    "trt_profile_min_shapes",
    "trt_profile_opt_shapes",
    "trt_sparsity_enable",
    "trt_tactic_sources",
    "trt_timing_cache_enable",
    "trt_timing_cache_path",
}
ACCELERATED = ("text_detector", "text_recognizer_w96", "text_recognizer")


@pytest.fixture(scope="module")
def accelerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    profile = two_widths(select_profile("onnx", device="gpu", accelerator="tensorrt"))
    return build_repository(profile, tmp_path_factory.mktemp("accelerated") / "onnx", alphabet="latin")


def options_of(config: Any) -> dict[str, str]:  # noqa: ANN401  generated code without types
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    return dict(accelerator.parameters)


def test_the_options_are_those_of_the_backend(accelerated: Path) -> None:
    assert KNOWN_OPTIONS == BACKEND_OPTIONS
    for model in ACCELERATED:
        options = options_of(read_config(accelerated / model / "config.pbtxt"))
        assert set(options) <= BACKEND_OPTIONS
        assert all(options.values()), "the backend drops an option without a value"
        assert (options["trt_engine_cache_enable"], options["trt_engine_cache_path"]) == ("1", "/engines")


def test_the_shapes_are_pinned_to_what_the_models_take(accelerated: Path) -> None:
    recognizer = options_of(read_config(accelerated / "text_recognizer_w96" / "config.pbtxt"))
    detector = options_of(read_config(accelerated / "text_detector" / "config.pbtxt"))

    assert [recognizer[f"trt_profile_{end}_shapes"] for end in ("min", "opt", "max")] == [
        "line:1x48x96x3,upside_down:1x1",
        "line:16x48x96x3,upside_down:16x1",
        "line:64x48x96x3,upside_down:64x1",
    ]
    assert [detector[f"trt_profile_{end}_shapes"] for end in ("min", "opt", "max")] == [
        "image:1x32x32x3",
        "image:4x1056x1056x3",
        "image:4x2048x2048x3",
    ]


def test_no_two_models_share_an_engine(accelerated: Path) -> None:
    """All graphs lie in files of one name, and the recognizers have the same nodes: their engines had one name too."""
    for model in ACCELERATED:
        (graph,) = (accelerated / model).glob("*/model.onnx")
        sha256 = hashlib.sha256(graph.read_bytes()).hexdigest()
        options = options_of(read_config(accelerated / model / "config.pbtxt"))
        assert options["trt_engine_cache_prefix"] == f"{model}-{sha256[:16]}", "nor do two builds of one model"


def test_the_classifier_and_the_readers_stay_as_they_are(accelerated: Path) -> None:
    for model in ("line_orientation", "text_reader"):
        assert not read_config(accelerated / model / "config.pbtxt").HasField("optimization")


@pytest.mark.real
def test_the_real_triton_reads_an_accelerated_configuration_and_lacks_the_backend_only(
    accelerated: Path, tmp_path: Path
) -> None:
    shutil.copytree(accelerated / "text_recognizer", tmp_path / "models" / "text_recognizer")

    with pytest.raises(LocalStackError, match="unable to find backend library for backend 'onnxruntime'"):
        TritonServer(tmp_path / "models", run_dir=tmp_path / "run").start()


@pytest.mark.parametrize(
    ("name", "device", "accelerator"),
    [
        ("onnx", "cpu", "tensorrt"),
        ("embedded", None, "tensorrt"),
        ("tensorrt", None, "tensorrt"),
        ("onnx", "gpu", "dla"),
    ],
)
def test_no_other_profile_is_accelerated(name: str, device: str | None, accelerator: str) -> None:
    with pytest.raises(ProfileError, match=r"has no accelerator .*: give tensorrt, and only with --profile onnx"):
        select_profile(name, device=device, accelerator=accelerator)


def _set(option: str, value: str) -> Callable[[Any], None]:
    def change(parameters: Any) -> None:  # noqa: ANN401
        parameters[option] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            _set("trt_op_types_to_exclude", "Pad"),
            "has the option trt_op_types_to_exclude, which the onnxruntime backend",
        ),
        (_set("trt_fp16_enable", "1"), "has the option trt_fp16_enable, which the onnxruntime backend"),
        (_set("precision_mode", "BF16"), "has precision_mode as 'BF16': it has to be one of FP16, FP32, INT8"),
        (_set("trt_engine_cache_enable", "yes"), "has trt_engine_cache_enable as 'yes': it has to be 0 or 1"),
        (_set("max_workspace_size_bytes", "2G"), "has max_workspace_size_bytes as '2G': it has to be a whole number"),
        (_set("trt_engine_cache_path", ""), "has trt_engine_cache_path as ''"),
        (_set("trt_profile_min_shapes", "line:1x48x96x3"), "pins some shapes only"),
        (lambda parameters: parameters.pop("trt_profile_opt_shapes"), "pins some shapes only"),
        (_set("trt_profile_min_shapes", "line:1x48x64x3,upside_down:1x1"), r"pins line from \[1, 48, 64, 3\]"),
        (_set("trt_profile_opt_shapes", "line:65x48x96x3,upside_down:16x1"), r"over \[65, 48, 96, 3\] to \[64, 48"),
        (
            _set("trt_profile_max_shapes", "line:32x48x96x3,upside_down:32x1"),
            "pins batches of 1 to 32, but takes 1 to 64",
        ),
        (_set("trt_profile_max_shapes", "line:axb"), "as 'line:axb': write name:1x48x320x3"),
    ],
)
def test_a_config_that_the_backend_would_refuse_is_refused(
    accelerated: Path, change: Callable[[Any], None], words: str
) -> None:
    config = read_config(accelerated / "text_recognizer_w96" / "config.pbtxt")
    change(config.optimization.execution_accelerators.gpu_execution_accelerator[0].parameters)

    with pytest.raises(ConfigError, match=words):
        check_accelerators(config)


def test_an_accelerator_that_no_backend_knows_is_refused(accelerated: Path) -> None:
    config = read_config(accelerated / "text_detector" / "config.pbtxt")
    config.optimization.execution_accelerators.gpu_execution_accelerator[0].name = "migraphx"

    with pytest.raises(ConfigError, match="asks for the accelerator 'migraphx'"):
        check_accelerators(config)
