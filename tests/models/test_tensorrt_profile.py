"""The tensorrt profile: complete, checked against its graphs before it is published, and never half there."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.models import own_models
from tests.models.plans import L4, GraphPlanMaker
from tests.models.reference import onnxruntime_session
from tests.registry.builds import read_checked
from worker.domain.errors import LocalStackError
from worker.domain.manifest import ModelManifest, ModelRole, TileShapes
from worker.local.triton import TritonServer
from worker.models.build import build_repository
from worker.models.choice import Gpu, Host, choose
from worker.models.configs import ConfigError, read_config
from worker.models.importing import ModelFacts, import_model
from worker.models.model_card import ModelKind
from worker.models.plan_gate import Tensors, check_agreement, golden_lines, golden_tiles
from worker.models.plans import PlanMaker, host_plan_maker
from worker.models.profiles import TILE_SHAPES, Profile, ProfileError, select_profile
from worker.models.serving_checks import GraphTensor, GraphTensors, check_matches_plan
from worker.models.shape_ranges import ShapeRange, shape_ranges
from worker.models.templates import templates_directory
from worker.models.tensorrt_builder import PlanError

PLANNED = {"text_detector", "text_recognizer_w96", "text_recognizer"}
MODELS = PLANNED | {"line_orientation", "text_reader_w96", "text_reader"}


def two_widths(profile: Profile) -> Profile:
    """All that the profile does, without the time of sixteen widths."""
    return replace(profile, buckets=(96, 320), warmup_widths=(96, 320))


def build(output: Path, plans: PlanMaker) -> Path:
    return build_repository(two_widths(select_profile("tensorrt")), output, alphabet="latin", plans=plans)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("plans") / "tensorrt", GraphPlanMaker())


def manifest_of(repository: Path, model: str) -> ModelManifest:
    text = read_config(repository / model / "config.pbtxt").parameters["manifest"].string_value
    return ModelManifest.model_validate_json(text)


def files_of(repository: Path, model: str) -> set[str]:
    return {path.name for path in (repository / model).glob("*/*")}


def test_each_gpu_loads_its_own_plan_and_another_gpu_none(planned: Path) -> None:
    assert {path.name for path in planned.iterdir() if path.is_dir()} == MODELS
    for name in PLANNED:
        config = read_config(planned / name / "config.pbtxt")
        assert (config.backend, config.platform) == ("tensorrt", "")
        assert dict(config.cc_model_filenames) == {"8.9": "sm89.plan"}
        assert files_of(planned, name) == {"sm89.plan"}, "no file has the default name"
        assert config.default_model_filename not in files_of(planned, name)
    orientation = read_config(planned / "line_orientation" / "config.pbtxt")
    assert (orientation.backend, files_of(planned, "line_orientation")) == ("onnxruntime", {"model.onnx"})
    steps = read_config(planned / "text_reader_w96" / "config.pbtxt").ensemble_scheduling.step
    assert [step.model_name for step in steps] == ["line_orientation", "text_recognizer_w96"]


def test_a_registry_takes_a_repository_of_plans(planned: Path) -> None:
    release = read_checked(planned)

    assert release.build.plans is not None
    assert release.build.plans.target == L4
    assert {name for name, manifest in release.models.items() if manifest.plan == L4} == PLANNED


def test_a_manifest_names_the_gpu_the_driver_and_the_tensorrt_of_its_plan(planned: Path) -> None:
    for name in PLANNED:
        manifest = manifest_of(planned, name)
        assert manifest.plan == L4
        assert manifest.accuracy == {"golden_as_in_onnxruntime": 1.0}
        assert manifest.number == manifest.version
    assert manifest_of(planned, "line_orientation").plan is None
    assert manifest_of(planned, "text_detector").tile_shapes == TILE_SHAPES, "as many shapes as the onnx profile takes"


def test_the_stamp_names_each_plan_so_that_a_start_can_check_them(planned: Path) -> None:
    stamp = json.loads((planned / "labelwire.json").read_text(encoding="utf-8"))

    assert (stamp["device"], stamp["plans"]["target"]) == ("gpu", L4.model_dump())
    assert {name.split("/")[0] for name in stamp["plans"]["files"]} == PLANNED


def test_a_host_like_the_one_that_built_serves_it(planned: Path) -> None:
    host = Host(Gpu("NVIDIA L4", "8.9", "550.54.15"), "", "10.5.0")

    assert choose([planned], host).repository == planned


def _other_tokens(found: Tensors) -> Tensors:
    return {name: tensor + 1 if name == "token" else tensor for name, tensor in found.items()}


def _not_a_number(found: Tensors) -> Tensors:
    return {name: tensor * np.float32("nan") if name == "confidence" else tensor for name, tensor in found.items()}


def _blank(found: Tensors) -> Tensors:
    return {name: np.zeros_like(tensor) if name == "probability" else tensor for name, tensor in found.items()}


def _short(found: Tensors) -> Tensors:
    return {name: tensor[:, 1:] if name == "token" else tensor for name, tensor in found.items()}


def _without_confidence(found: Tensors) -> Tensors:
    return {name: tensor for name, tensor in found.items() if name != "confidence"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_other_tokens, r"the plan of text_recognizer_w96 agrees with ONNX Runtime at 0\.0% of a golden picture"),
        (_blank, r"the plan of text_detector agrees with ONNX Runtime at \d+\.\d% of a golden picture"),
    ],
)
def test_a_plan_that_reads_otherwise_is_never_published(
    tmp_path: Path, spoil: Callable[[Tensors], Tensors], words: str
) -> None:
    with pytest.raises(PlanError, match=words):
        build(tmp_path / "tensorrt", GraphPlanMaker(spoil=spoil))

    assert {path.name for path in tmp_path.iterdir()} == {".tensorrt.lock"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_not_a_number, r"the plan of it agrees with ONNX Runtime at 0\.0%"),
        (_short, r"the plan of it answers .* but its graph"),
        (_without_confidence, r"the plan of it answers .*'confidence': None"),
    ],
)
def test_an_answer_of_another_shape_or_without_numbers_is_no_answer(
    onnx_on_gpu: Path, spoil: Callable[[Tensors], Tensors], words: str
) -> None:
    (graph,) = (onnx_on_gpu / "text_recognizer_w96").glob("*/model.onnx")
    plans = GraphPlanMaker(spoil=spoil)
    plan = plans.build(graph, {})

    with pytest.raises(PlanError, match=words):
        check_agreement("it", graph, golden_lines(96, 4), lambda request: plans.run(plan, request))


@pytest.mark.parametrize("batch", [1, 16])
def test_golden_lines_show_whether_a_plan_turns_what_stands_upside_down(onnx_on_gpu: Path, batch: int) -> None:
    (graph,) = (onnx_on_gpu / "text_recognizer_w320").glob("*/model.onnx")
    session = onnxruntime_session(graph)

    def without_turning(request: Tensors) -> Tensors:
        upright = {**request, "upside_down": np.zeros_like(request["upside_down"])}
        return dict(zip(("token", "confidence"), session.run(["token", "confidence"], upright), strict=True))

    requests = golden_lines(320, 16)
    assert [len(request["line"]) for request in requests] == [1, 16]
    if batch == 1:  # the first line stands upright
        assert check_agreement("it", graph, requests[:1], without_turning) == 1.0
    else:
        with pytest.raises(PlanError, match="the plan of it agrees with ONNX Runtime at"):
            check_agreement("it", graph, requests, without_turning)


def test_golden_pages_hold_text(onnx_on_gpu: Path) -> None:
    (graph,) = (onnx_on_gpu / "text_detector").glob("*/model.onnx")
    session = onnxruntime_session(graph)

    for request in golden_tiles(1):
        (probability,) = session.run(None, dict(request))
        assert 0.02 < float(np.mean(probability >= 77)) < 0.9


def test_what_served_before_stays_if_a_build_fails(planned: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(planned, tmp_path / "tensorrt"))
    before = (repository / "labelwire.json").read_bytes()

    with pytest.raises(PlanError):
        build(repository, GraphPlanMaker(L4.model_copy(update={"driver": "560.28.03"}), _other_tokens))

    assert (repository / "labelwire.json").read_bytes() == before
    assert files_of(repository, "text_recognizer") == {"sm89.plan"}


def test_the_same_host_builds_once_and_another_builds_anew(planned: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(planned, tmp_path / "tensorrt"))
    built = repository.stat().st_ino

    assert build(repository, GraphPlanMaker(spoil=_other_tokens)).stat().st_ino == built, "nothing was built"
    build(repository, GraphPlanMaker(L4.model_copy(update={"tensorrt": "10.6.0.26"})))
    assert repository.stat().st_ino != built
    assert manifest_of(repository, "text_detector").plan != L4


def test_without_tensorrt_the_command_says_so_and_writes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "worker", "models", "build", "--profile", "tensorrt"]

    ended = subprocess.run(
        [*command, "--output", str(tmp_path / "models")], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert "the Python module tensorrt cannot be imported (No module named 'tensorrt')" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_a_gpu_no_plan_is_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="10.5.0.18"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(
        PlanError, match=r"no plan can be built, because nvidia-smi is not on the PATH.*: build on the GPU"
    ):
        build_repository("tensorrt", tmp_path / "models")

    assert not list(tmp_path.iterdir())


def test_the_target_is_what_the_driver_and_the_library_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\necho 'NVIDIA L4, 8.9, 550.54.15'\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="10.5.0.18"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("LABELWIRE_CACHE_DIR", str(tmp_path / "cache"))

    plans = host_plan_maker()

    assert plans.target == L4
    assert plans.timing_cache == tmp_path / "cache" / "tensorrt" / "10.5.0.18-NVIDIA_L4-8.9.timing"


def test_imported_models_of_one_size_get_plans_of_that_size(tmp_path: Path) -> None:
    detector = own_models.doctr_detector(tmp_path / "detector.onnx")
    recognizer = own_models.doctr_recognizer(tmp_path / "recognizer.onnx")
    words = ModelFacts(characters=tuple(own_models.WORDS))
    imported = {
        ModelRole.DETECTOR: import_model(ModelKind.DOCTR_DETECTOR, detector, tmp_path, ModelFacts()),
        ModelRole.RECOGNIZER: import_model(ModelKind.DOCTR_RECOGNIZER, recognizer, tmp_path, words),
    }

    repository = build_repository(
        select_profile("tensorrt"), tmp_path / "models", sources=imported, plans=GraphPlanMaker()
    )

    tile = manifest_of(repository, "text_detector").tile_shapes
    assert tile is not None
    config = read_config(repository / "text_detector" / "config.pbtxt")
    assert list(config.input[0].dims[:2]) == list(tile.fixed[0])
    assert {name for name in ("text_detector", "text_recognizer") if files_of(repository, name) == {"sm89.plan"}} == {
        "text_detector",
        "text_recognizer",
    }


@pytest.mark.real
def test_the_real_triton_reads_the_configuration_of_a_plan_and_lacks_the_backend_only(
    planned: Path, tmp_path: Path
) -> None:
    shutil.copytree(planned / "text_recognizer", tmp_path / "models" / "text_recognizer")

    with pytest.raises(LocalStackError, match="unable to find backend library for backend 'tensorrt'"):
        TritonServer(tmp_path / "models", run_dir=tmp_path / "run").start()


def test_the_profile_cannot_be_varied_into_what_it_is_not() -> None:
    with pytest.raises(ProfileError, match="the profile tensorrt has no device 'cpu'"):
        select_profile("tensorrt", device="cpu")
    with pytest.raises(ProfileError, match="cores cannot be used by the profile tensorrt on a gpu"):
        select_profile("tensorrt", cores=2)


# What the tensorrt backend holds a config to.

LINES = {"line": ShapeRange((1, 48, 96, 3), (16, 48, 96, 3), (64, 48, 96, 3))}
SIDES = {"upside_down": ShapeRange((1, 1), (16, 1), (64, 1))}
TENSORS = GraphTensors(
    {"line": GraphTensor("TYPE_UINT8", (-1, 48, 96, 3)), "upside_down": GraphTensor("TYPE_FP32", (-1, 1))},
    {"token": GraphTensor("TYPE_INT32", (-1, -1, 1)), "confidence": GraphTensor("TYPE_FP32", (-1, -1, 1))},
)


def recognizer_config() -> Any:  # noqa: ANN401  generated code without types
    config = read_config(templates_directory() / "text_recognizer" / "configs" / "tensorrt.pbtxt")
    config.cc_model_filenames["8.9"] = "sm89.plan"
    config.input[0].dims[1] = 96
    return config


def test_a_config_that_fits_its_plan_is_taken() -> None:
    check_matches_plan(recognizer_config(), TENSORS, LINES | SIDES)


def _change(path: str, value: object) -> Callable[[Any], None]:
    def change(config: Any) -> None:  # noqa: ANN401
        *parents, last = path.split(".")
        for part in parents:
            config = config[int(part)] if part.isdigit() else getattr(config, part)
        if last.isdigit():
            config[int(last)] = value
        else:
            setattr(config, last, value)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_change("instance_group.0.kind", 2), "is not of KIND_GPU"),
        (lambda config: config.cc_model_filenames.clear(), "names no plan in cc_model_filenames"),
        (lambda config: config.input.pop(), r"names the inputs \['line'\], but its plan has"),
        (_change("input.0.name", "image"), "names the inputs"),
        (_change("output.0.name", "tokens"), r"names tokens, but its plan has \['confidence', 'token'\]"),
        (_change("input.0.data_type", 11), "has line as TYPE_FP32, but its plan as TYPE_UINT8"),
        (_change("output.1.data_type", 8), "has confidence as TYPE_INT32, but its plan as TYPE_FP32"),
        (_change("input.0.dims.1", 128), r"has line as \[-1, 48, 128, 3\], but its plan as \[-1, 48, 96, 3\]"),
        (_change("output.0.dims.1", 4), r"has token as \[-1, -1, 4\], but its plan as \[-1, -1, 1\]"),
        (lambda config: config.output[0].dims.pop(), r"has token as \[-1, -1\]"),
        (_change("max_batch_size", 65), r"takes batches of 1 to 65, but its plan takes line in batches of 1 to 64"),
        (_change("input.0.allow_ragged_batch", True), "allows ragged batches of line"),
    ],
)
def test_a_config_that_the_backend_would_refuse_beside_its_plan_is_refused(
    change: Callable[[Any], None], words: str
) -> None:
    config = recognizer_config()
    change(config)

    with pytest.raises(ConfigError, match=words):
        check_matches_plan(config, TENSORS, LINES | SIDES)


def test_a_size_outside_of_the_profile_is_refused() -> None:
    tensors = GraphTensors({**TENSORS.inputs, "line": GraphTensor("TYPE_UINT8", (-1, 48, -1, 3))}, TENSORS.outputs)
    lines = {"line": ShapeRange((1, 48, 128, 3), (16, 48, 128, 3), (64, 48, 320, 3))}

    with pytest.raises(
        ConfigError, match=r"takes line as \[48, 96, 3\], but the profile of its plan from \[48, 128, 3\]"
    ):
        check_matches_plan(recognizer_config(), tensors, lines | SIDES)


def test_the_ranges_of_a_detector_are_those_of_its_manifest() -> None:
    config = read_config(templates_directory() / "text_detector" / "configs" / "tensorrt.pbtxt")

    assert shape_ranges(config, TileShapes(multiple_of=64, max_side=1000))["image"] == ShapeRange(
        (1, 64, 64, 3), (4, 960, 960, 3), (4, 960, 960, 3)
    )
