"""Facts about models to findings."""

import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worker.adapters.triton.serving import Serving
from worker.adapters.triton.statistics import ModelTimes
from worker.doctor.findings import ExaminedModel, find, find_failures
from worker.doctor.golden import missed_lines
from worker.domain.errors import LabelwireError
from worker.domain.manifest import ModelManifest, ModelRole
from worker.reporting.ocr import FileReading
from worker.testing.backend import fake_models

BUSY = ModelTimes(requests=30, items=90, executions=10, queued=9.0, copied=0.1, computed=0.9)


def healthy(role: ModelRole, times: ModelTimes = BUSY) -> ExaminedModel:
    manifest = ModelManifest.model_validate_json(fake_models()[role.value].parameters["manifest"])
    serving = Serving(role.value, "onnxruntime", frozenset({"cpu"}), 2, manifest.max_batch_size, True, 3, ())
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


@pytest.mark.parametrize(
    ("models", "what", "is_broken"),
    [
        (planted(devices=frozenset({"gpu"})), "text_recognizer runs on the GPU though its manifest says CPU", True),
        (planted(max_batch_size=1), "text_recognizer takes batches of 1 though its manifest says 8", True),
        (planted(is_batched=False), "text_recognizer has no dynamic batching", False),
        (planted(warm_ups=0), "text_recognizer is not warmed up", False),
        (
            [DETECTOR, replace(RECOGNIZER, times=replace(BUSY, items=12))],
            "text_recognizer computes batches of 1.2 lines although several pages were read at once",
            False,
        ),
    ],
)
def test_what_is_not_as_it_should_be_is_found(models: list[ExaminedModel], what: str, *, is_broken: bool) -> None:
    (finding,) = find(models)
    assert finding.what.startswith(what)
    assert finding.is_broken is is_broken
    assert finding.remedy


def test_a_device_that_the_server_chooses_breaks_no_promise() -> None:
    assert find(planted(devices=frozenset({"auto"}))) == []


def test_lines_that_did_not_come_back_are_named() -> None:
    (finding,) = find([DETECTOR, RECOGNIZER], ["PARCEL 8 OF 20"])
    assert finding.is_broken
    assert "'PARCEL 8 OF 20' did not come back" in finding.what


def test_broken_promises_come_first_and_then_the_dearest() -> None:
    slow = replace(BUSY, computed=7.9)
    models = [
        replace(DETECTOR, serving=replace(DETECTOR.serving, is_batched=False, max_batch_size=3)),
        replace(RECOGNIZER, serving=replace(RECOGNIZER.serving, is_batched=False, warm_ups=0), times=slow),
    ]
    assert [(finding.what.split()[0], finding.is_broken, round(finding.cost, 2)) for finding in find(models)] == [
        ("text_detector", True, 1.0),
        ("text_recognizer", False, 0.44),
        ("text_detector", False, 0.06),
        ("text_recognizer", False, 0.04),
    ]


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
