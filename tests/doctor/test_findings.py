"""Facts about models to findings."""

import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2

from worker.adapters.triton.serving import Serving, parse_serving
from worker.adapters.triton.statistics import ModelTimes
from worker.doctor.findings import ExaminedModel, find, find_failures, find_others, in_order
from worker.doctor.golden import missed_lines
from worker.domain.errors import LabelwireError
from worker.domain.manifest import ModelManifest, ModelRole, PlanTarget
from worker.models import configs
from worker.models.accelerator import accelerate
from worker.models.profiles import Profile, select_profile
from worker.models.shape_ranges import shape_ranges
from worker.models.templates import config_path
from worker.reporting.ocr import FileReading
from worker.testing.backend import fake_models

BUSY = ModelTimes(
    requests=30,
    items=90,
    executions=10,
    queued=9.0,
    copied=0.1,
    computed=0.9,
    waited_copying=0.3,
    waited_computing=2.7,
)
SINGLE_LINES = replace(BUSY, items=12)


def healthy(role: ModelRole, times: ModelTimes = BUSY) -> ExaminedModel:
    manifest = ModelManifest.model_validate_json(fake_models()[role.value].parameters["manifest"])
    serving = Serving(
        model=role.value,
        backend="python",
        devices=frozenset({"cpu"}),
        instances=2,
        max_batch_size=manifest.max_batch_size,
        is_batched=True,
        warm_ups=3,
        members=(),
        batch_delay_seconds=0.005,
        warmed_shapes=frozenset({(960, 960, 3)}),
    )
    return ExaminedModel(manifest, serving, times)


DETECTOR, RECOGNIZER = healthy(ModelRole.DETECTOR), healthy(ModelRole.RECOGNIZER)


def planted(**changes: Any) -> list[ExaminedModel]:  # noqa: ANN401 - fields of Serving
    """Return a healthy detector, and a recognizer that is served otherwise."""
    return [DETECTOR, replace(RECOGNIZER, serving=replace(RECOGNIZER.serving, **changes))]


def test_nothing_is_found_on_healthy_models() -> None:
    ensemble = replace(
        RECOGNIZER.serving, backend="ensemble", devices=frozenset(), instances=0, is_batched=False, warm_ups=0
    )
    reader = replace(healthy(ModelRole.READER), serving=replace(ensemble, members=("line_orientation",)))
    assert find([DETECTOR, RECOGNIZER, reader]) == []


def examined(model: ExaminedModel, manifest: dict[str, Any] = {}, **changes: Any) -> list[ExaminedModel]:  # noqa: ANN401, B006 - read only
    """Return a healthy detector and a recognizer, one of them with another manifest and other fields of Serving."""
    other = RECOGNIZER if model is DETECTOR else DETECTOR
    changed = replace(
        model, manifest=model.manifest.model_copy(update=manifest), serving=replace(model.serving, **changes)
    )
    return [other, changed]


@pytest.mark.parametrize(
    ("models", "what", "is_broken"),
    [
        (planted(devices=frozenset({"gpu"})), "text_recognizer runs on the GPU though its manifest says CPU", True),
        (
            planted(max_batch_size=1),
            "text_recognizer computes 1 lines together at most, though its manifest says 8",
            True,
        ),
        (planted(precision="fp16"), "text_recognizer computes in FP16 though it was built and tested in FP32", True),
        (planted(is_batched=False), "text_recognizer computes each request alone, however many lines wait", False),
        (planted(warm_ups=0), "text_recognizer is not warmed up: after a start", False),
        (
            [DETECTOR, replace(RECOGNIZER, times=SINGLE_LINES, seen={(48, 96, 3): (), (48, 320, 3): ()})],
            "text_recognizer computes 1.2 lines at a time although others wait: they come in 2 widths",
            False,
        ),
        (
            examined(DETECTOR, {"passed_precisions": ("bf16", "int8")}),
            "text_detector computes in FP32 although it reads well enough in BF16 and INT8, which is often faster",
            False,
        ),
        (planted(instances=1), "text_recognizer does one thing at a time on the CPU, and requests wait", False),
        (
            [replace(DETECTOR, seen={(640, 1056, 3): (0.9, 0.8, 0.12, 0.1)}), RECOGNIZER],
            "text_detector took 900 ms for the first of its tiles (height x width) 640 x 1056 and at most 120 ms later",
            False,
        ),
        (  # the other instance met the size last
            [replace(DETECTOR, seen={(640, 1056, 3): (0.9, 0.12, 0.1, 0.8)}), RECOGNIZER],
            "text_detector took 900 ms for the first of its tiles (height x width) 640 x 1056 and at most 120 ms later",
            False,
        ),
    ],
)
def test_what_is_not_as_it_should_be_is_found(models: list[ExaminedModel], what: str, *, is_broken: bool) -> None:
    (finding,) = find(models)
    assert finding.sentence.startswith(what)
    assert finding.is_broken is is_broken
    assert finding.remedy


@pytest.mark.parametrize(
    ("profile", "options", "manifest", "serving"),
    [
        (select_profile("embedded"), "--profile embedded", {}, {"backend": "python"}),
        (select_profile("onnx"), "--profile onnx --device cpu", {}, {"backend": "onnxruntime"}),
        (
            select_profile("onnx", device="gpu", accelerator="tensorrt"),
            "--profile onnx --device gpu --accelerator tensorrt",
            {"device": "gpu"},
            {"backend": "onnxruntime", "by_tensorrt": True},
        ),
        (
            select_profile("tensorrt"),
            "--profile tensorrt",
            {"device": "gpu", "plan": PlanTarget(gpu="L4", compute_capability="8.9", driver="570", tensorrt="11.0")},
            {"backend": "tensorrt", "by_tensorrt": True},
        ),
    ],
)
def test_the_build_of_a_smaller_precision_is_of_the_same_profile(
    profile: Profile, options: str, manifest: dict[str, object], serving: dict[str, object]
) -> None:
    devices = frozenset({profile.device})
    models = examined(DETECTOR, {"passed_precisions": ("int8",), **manifest}, devices=devices, **serving)

    (remedy,) = [one.remedy for one in find(models) if "reads well enough" in one.what]

    assert f"`labelwire models build {options} --precision int8`" in remedy
    assert "int8" in profile.precisions


@pytest.mark.parametrize(
    "models",
    [
        planted(devices=frozenset({"auto"})),
        # A CPU gains nothing from a batch, and this configuration does not wait for one.
        [DETECTOR, replace(planted(batch_delay_seconds=0.0)[1], times=SINGLE_LINES)],
        # Nobody was there to share a batch with.
        [DETECTOR, replace(RECOGNIZER, times=replace(SINGLE_LINES, queued=0.3))],
        # What is quantized leaves the precision of the other layers open.
        examined(RECOGNIZER, {"precision": "int8"}, precision="bf16"),
        # FP16 is no less work than BF16, and FP32 was what passed before.
        examined(DETECTOR, {"precision": "bf16", "passed_precisions": ("fp16",)}),
        # The first of a size was hardly slower, or was waited for with others that were slow as well.
        [replace(DETECTOR, seen={(640, 1056, 3): (0.14, 0.12, 0.12, 0.1)}), RECOGNIZER],
        [replace(DETECTOR, seen={(640, 1056, 3): (0.9, 0.1, 0.1, 0.4)}), RECOGNIZER],
        [replace(DETECTOR, seen={(640, 1056, 3): (0.04, 0.01, 0.01, 0.01)}), RECOGNIZER],
        # It is warmed up for this size, so something else made the first one slow.
        [replace(DETECTOR, seen={(960, 960, 3): (0.9, 0.1, 0.1, 0.1)}), RECOGNIZER],
        # On a CPU, ONNX Runtime prepares nothing for a size.
        [replace(planted(backend="onnxruntime")[1], seen={(48, 96, 3): ()}), DETECTOR],
        # Requests wait no longer than they are computed, beside the time for which the configuration lets them wait.
        [DETECTOR, replace(planted(instances=1)[1], times=replace(BUSY, queued=3.1))],
    ],
)
def test_what_costs_nothing_is_not_found(models: list[ExaminedModel]) -> None:
    assert find(models) == []


def test_models_with_the_same_fault_share_a_finding() -> None:
    (finding,) = find([
        replace(model, serving=replace(model.serving, warm_ups=0)) for model in (DETECTOR, RECOGNIZER, RECOGNIZER)
    ])  # fmt: skip
    assert finding.sentence.startswith("text_detector (and 2 others) is not warmed up")
    assert finding.share == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"text_detector": 31, "text_recognizer": 29}, None),
        ({"text_detector": 30, "text_recognizer": 20}, "other clients used the server"),
        ({"text_detector": 60, "text_recognizer": 60}, "the server counted fewer requests than it was sent"),
    ],
)
def test_requests_of_others_and_of_other_servers_are_noticed(sent: dict[str, int], said: str | None) -> None:
    found = [finding.what for finding in find_others([DETECTOR, RECOGNIZER], sent)]
    assert [what.startswith(said or "nothing") for what in found] == [True] * (said is not None)


def test_lines_that_did_not_come_back_are_named() -> None:
    (finding,) = find([DETECTOR, RECOGNIZER], ["PARCEL 8 OF 20"])
    assert finding.is_broken
    assert "'PARCEL 8 OF 20' did not come back" in finding.what


def test_broken_promises_come_first_and_then_the_dearest() -> None:
    slow = replace(BUSY, computed=7.9)
    models = [
        replace(DETECTOR, serving=replace(DETECTOR.serving, is_batched=False, warm_ups=0, max_batch_size=3)),
        replace(RECOGNIZER, serving=replace(RECOGNIZER.serving, is_batched=False, warm_ups=0), times=slow),
    ]
    others = find_others(models, {})
    found = in_order([*find(models), *others])
    assert [(finding.sentence.split()[0], finding.sentence.split()[1]) for finding in found] == [
        ("text_detector", "computes"),
        ("other", "clients"),
        ("text_recognizer", "computes"),
        ("text_detector", "computes"),
        ("text_detector", "(and"),
    ]
    assert [finding.share and round(finding.share, 1) for finding in found[1:]] == [None, 0.9, 0.1, 1.0]


def test_counts_that_go_back_say_nothing() -> None:
    assert BUSY.since(replace(BUSY, items=100)) == ModelTimes()
    assert BUSY.since(ModelTimes(items=10)).items == 80


def test_only_lines_of_the_models_alphabet_are_missed() -> None:
    assert missed_lines(["PARCEL8OF20", "nothing"], set(string.printable)) == [
        "SHIP TO 4711 HARBOR ROAD",
        "NET WEIGHT 12.5 KG",
        "4711 80 20",
    ]
    assert missed_lines([], set(string.digits)) == ["4711 80 20"]
    assert missed_lines([], set("ß")) == []


def gpu_answer(role: ModelRole, *, accelerated: bool = False) -> Any:  # noqa: ANN401 - protobuf's classes are untyped
    """Return the ModelConfig that a server of the onnx profile on a GPU gives; no GPU is at hand here."""
    profile = select_profile("onnx", device="gpu")
    config = configs.read_config(config_path(role, profile.config_name))
    if role is ModelRole.DETECTOR:
        configs.warm_up_tiles(config, profile.warmup_tiles, (1,))
    else:
        configs.fix_width(config, 1280)
        configs.warm_up_lines(config, (1280,), (1, config.max_batch_size))
    if accelerated:
        tiles = DETECTOR.manifest.tile_shapes if role is ModelRole.DETECTOR else None
        accelerate(config, shape_ranges(config, tiles), "0" * 64, "fp32")
    answer = model_config_pb2.ModelConfig()
    answer.ParseFromString(config.SerializeToString())
    return answer


def on_gpu(answer: Any, role: ModelRole, **seen: Any) -> ExaminedModel:  # noqa: ANN401
    model = healthy(role)
    manifest = model.manifest.model_copy(
        update={"device": "gpu", "max_batch_size": answer.max_batch_size, "buckets": {1280: role.value}}
    )
    return ExaminedModel(manifest, parse_serving(answer), model.times, **seen)


def test_nothing_is_found_in_the_recorded_answers_of_a_gpu() -> None:
    tile, lines = {(544, 1056, 3): (0.02, 0.01, 0.01, 0.01)}, {(48, 1280, 3): (0.02, 0.01, 0.01, 0.01)}
    detector = on_gpu(gpu_answer(ModelRole.DETECTOR), ModelRole.DETECTOR, seen=tile)
    recognizer = on_gpu(gpu_answer(ModelRole.RECOGNIZER), ModelRole.RECOGNIZER, seen=lines)
    assert detector.serving.devices == recognizer.serving.devices == {"gpu"}
    assert detector.serving.takes_shapes
    assert not recognizer.serving.takes_shapes
    assert find([detector, recognizer]) == []


@pytest.mark.parametrize("role", [ModelRole.DETECTOR, ModelRole.RECOGNIZER])
def test_cpu_though_the_gpu_was_promised_is_found_in_a_recorded_answer(role: ModelRole) -> None:
    answer = gpu_answer(role)
    answer.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_CPU
    answer.instance_group[0].count = 2
    (finding,) = find([on_gpu(answer, role)])
    assert finding.sentence == f"{role} runs on the CPU though its manifest says GPU"
    assert finding.is_broken


def test_a_tile_that_is_not_warmed_up_on_a_gpu_is_found_in_a_recorded_answer() -> None:
    (finding,) = find(
        [on_gpu(gpu_answer(ModelRole.DETECTOR), ModelRole.DETECTOR, seen={(544, 544, 3): (), (96, 96, 3): ()})]
    )
    assert finding.sentence.startswith("text_detector is not warmed up for tiles (height x width) 96 x 96: on a GPU")
    assert finding.is_first


def test_widths_of_the_manifest_that_are_not_warmed_up_on_a_gpu_are_found_in_a_recorded_answer() -> None:
    answer = gpu_answer(ModelRole.RECOGNIZER)
    answer.input[0].dims[1] = -1
    model = on_gpu(answer, ModelRole.RECOGNIZER)
    widths = dict.fromkeys((320, 640, 960, 1024, 1280), "text_recognizer")
    (finding,) = find([replace(model, manifest=model.manifest.model_copy(update={"buckets": widths}))])
    assert "is not warmed up for lines of width 320, 640, 960 and 1 more: on a GPU" in finding.sentence


def test_fp16_that_nobody_tested_is_found_in_a_recorded_answer_with_the_accelerator() -> None:
    answer = gpu_answer(ModelRole.DETECTOR, accelerated=True)
    # TensorRT has chosen its kernels for every size before it serves.
    model = on_gpu(answer, ModelRole.DETECTOR, seen={(96, 96, 3): ()})
    assert find([model]) == []
    # The accelerator is told FP32 where the graph itself is in FP16.
    assert find([replace(model, manifest=model.manifest.model_copy(update={"precision": "fp16"}))]) == []
    accelerator = answer.optimization.execution_accelerators.gpu_execution_accelerator[0]
    accelerator.parameters["precision_mode"] = "FP16"
    (finding,) = find([replace(model, serving=parse_serving(answer))])
    assert finding.sentence == "text_detector computes in FP16 though it was built and tested in FP32"
    assert finding.is_broken


def test_single_lines_on_a_gpu_are_found_in_a_recorded_answer() -> None:
    model = replace(on_gpu(gpu_answer(ModelRole.RECOGNIZER), ModelRole.RECOGNIZER), times=SINGLE_LINES)
    (finding,) = find([model])
    assert finding.sentence == "text_recognizer computes 1.2 lines at a time although others wait"


def failed(code: str | None, count: int = 1) -> list[FileReading]:
    page = Path("golden.png")
    return [FileReading(page, None, f"{page}: It went wrong here.", code)] * count


@pytest.mark.parametrize(
    ("code", "is_broken"),
    [
        ("INFERENCE_FAILED", True),
        ("INFERENCE_REJECTED", True),
        ("INFERENCE_OVERLOADED", False),
        ("MODELS_CHANGED", False),
    ],
)
def test_pages_that_fail_break_a_promise_unless_the_server_is_busy(code: str, *, is_broken: bool) -> None:
    (finding,) = find_failures([FileReading(Path("golden.png"), None, None), *failed(code, 2)])
    assert finding.is_broken is is_broken
    assert finding.what.endswith("2 of 3 golden pages failed, the first because It went wrong here")


def test_what_the_workers_own_settings_refuse_is_no_fault_of_the_server() -> None:
    with pytest.raises(LabelwireError, match=r"cannot be read with these settings: It went wrong here\.$"):
        list(find_failures(failed("IMAGE_TOO_LARGE")))
