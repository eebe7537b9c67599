"""A server that this worker cannot use is refused with a sentence that says what differs."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from worker.domain.errors import ErrorCode, JobError, ServerMismatchError
from worker.domain.manifest import dictionary_digest
from worker.pipeline.models import check_device, load_models, with_line_widths
from worker.ports import ModelDescription, TensorSpec
from worker.testing.backend import DEFAULT_BUCKETS, FakeBackend, fake_models
from worker.testing.block_font import DICTIONARY

Models = dict[str, ModelDescription]


def set_manifest(models: Models, name: str, **changes: Any) -> None:  # noqa: ANN401 - any JSON
    manifest = json.loads(models[name].parameters["manifest"])
    manifest.update(changes)
    set_parameter(models, name, "manifest", json.dumps(manifest))


def set_parameter(models: Models, name: str, parameter: str, value: str | None) -> None:
    parameters = dict(models[name].parameters)
    parameters.pop(parameter, None)
    if value is not None:
        parameters[parameter] = value
    models[name] = replace(models[name], parameters=parameters)


def set_tensors(models: Models, name: str, *, inputs: tuple[TensorSpec, ...] | None = None,
                outputs: tuple[TensorSpec, ...] | None = None) -> None:  # fmt: skip
    model = models[name]
    models[name] = replace(model, inputs=inputs or model.inputs, outputs=outputs or model.outputs)


def lower_the_lines(models: Models) -> None:
    set_manifest(models, "line_orientation", line_height=32)
    set_tensors(models, "line_orientation", inputs=(TensorSpec("line", "UINT8", (32, -1, 3)),))


async def test_nothing_is_parsed_anew_that_is_described_as_before() -> None:
    backend = FakeBackend()
    models = await load_models(backend)

    assert await load_models(backend, models) is models


@pytest.mark.parametrize(
    ("model", "parameter", "value"),
    [("text_recognizer_w320", "accuracy", "1"), ("text_detector", "threads", "2"), ("line_orientation", "note", "x")],
)
async def test_a_model_that_says_anything_else_of_itself_is_loaded_anew(model: str, parameter: str, value: str) -> None:
    backend = FakeBackend()
    models = await load_models(backend)
    set_parameter(backend.models, model, parameter, value)

    changed = await load_models(backend, models)

    assert changed != models
    assert await load_models(backend, changed) is changed


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("text_recognizer", {"dictionary_sha256": "1" * 64}),
        ("text_recognizer_w320", {"source_sha256": "1" * 64}),
        ("text_detector", {"content_sha256": "1" * 64}),
        ("line_orientation", {"version": None}),
        ("line_orientation", {"content_sha256": None}),
    ],
)
async def test_models_are_identified_only_by_a_version_that_belongs_to_what_they_say(
    model: str, changes: dict[str, Any]
) -> None:
    backend = FakeBackend()
    assert (await load_models(backend)).identified

    set_manifest(backend.models, model, **changes)
    if "dictionary_sha256" in changes:
        dictionary = ["", *reversed(DICTIONARY[1:])]
        for name in [name for name in backend.models if name.startswith("text_recognizer")]:
            set_parameter(backend.models, name, "dictionary", json.dumps(dictionary))
            set_manifest(backend.models, name, dictionary_sha256=dictionary_digest(dictionary))

    assert not (await load_models(backend)).identified


async def test_models_served_under_another_version_than_their_own_are_not_identified() -> None:
    backend = FakeBackend()
    backend.models["text_detector"] = replace(backend.models["text_detector"], version="2")

    assert not (await load_models(backend)).identified


async def test_a_model_that_is_gone_is_missed() -> None:
    backend = FakeBackend()
    models = await load_models(backend)
    del backend.models["text_recognizer_w320"]

    with pytest.raises(ServerMismatchError, match="Triton has no model text_recognizer_w320"):
        await load_models(backend, models)


async def test_models_for_another_device_are_refused() -> None:
    backend = FakeBackend()
    check_device(await load_models(backend), "cpu")

    for name in backend.models:
        set_manifest(backend.models, name, device="gpu")
    models = await load_models(backend)

    check_device(models, "gpu")
    with pytest.raises(ServerMismatchError, match=r"built for a gpu, but LABELWIRE_TRITON__DEVICE .* --device cpu`"):
        check_device(models, "cpu")


async def test_a_server_that_fits_gives_a_model_set() -> None:
    models = await load_models(FakeBackend(max_batch_size=6))
    assert models.detector.name == "text_detector"
    assert models.line.bucket_widths == DEFAULT_BUCKETS
    assert (models.line.height, models.line.stride, models.line.pad_value) == (48, 8, 255)
    assert {width: model.name for width, model in models.recognizers.items()} == {
        96: "text_recognizer_w96",
        192: "text_recognizer_w192",
        320: "text_recognizer_w320",
        640: "text_recognizer_w640",
        1280: "text_recognizer",
    }
    assert models.dictionary == DICTIONARY
    assert set(models.used) == {"text_detector", "line_orientation", "text_recognizer"}
    assert models.used["text_recognizer"].version == fake_models(6)["text_recognizer"].version


async def test_a_server_without_the_readers_fits_for_the_worker_never_calls_them() -> None:
    backend = FakeBackend()
    whole = await load_models(backend)
    for name in [name for name in backend.models if name.startswith("text_reader")]:
        del backend.models[name]

    assert await load_models(backend) == whole


async def test_readers_are_described_only_where_the_recognizer_is_to_be_called_through_them() -> None:
    assert (await load_models(FakeBackend())).readers == {}
    backend = FakeBackend(reads_by_ensemble=True)
    models = await load_models(backend)
    assert {width: model.name for width, model in models.readers.items()} == {
        width: model.name.replace("text_recognizer", "text_reader") for width, model in models.recognizers.items()
    }
    del backend.models["text_reader_w320"]
    with pytest.raises(ServerMismatchError, match="no model text_reader_w320"):
        await load_models(backend)
    backend = FakeBackend(reads_by_ensemble=True)
    backend.models |= {
        name: described
        for name, described in fake_models(buckets=(96, 1280), reads_by_ensemble=True).items()
        if name.startswith("text_reader")
    }
    with pytest.raises(
        ServerMismatchError, match="text_reader takes lines of 96, 1280 pixels, but text_recognizer of 96, 192,"
    ):
        await load_models(backend)


MISMATCHES: dict[str, tuple[Callable[[Models], object], str]] = {
    "no detector": (lambda m: m.pop("text_detector"), "no model text_detector"),
    "no bucket": (lambda m: m.pop("text_recognizer_w320"), "no model text_recognizer_w320"),
    "no classifier": (lambda m: m.pop("line_orientation"), "no model line_orientation"),
    "no manifest": (lambda m: set_parameter(m, "text_detector", "manifest", None), "no parameter `manifest`"),
    "broken manifest": (lambda m: set_parameter(m, "text_detector", "manifest", "{"), "text_detector.*JSON"),
    "other version": (
        lambda m: set_manifest(m, "text_recognizer_w96", schema="labelwire.manifest/2"),
        r"text_recognizer_w96 is not one of labelwire.manifest/1 \(schema",
    ),
    "unknown field": (lambda m: set_manifest(m, "line_orientation", color="blue"), "color"),
    "other role": (lambda m: m.update(text_detector=m["line_orientation"]), "says it is a line_orientation"),
    "other input": (
        lambda m: set_tensors(m, "text_detector", inputs=(TensorSpec("x", "FP32", (3, -1, -1)),)),
        "text_detector has the inputs x instead of image",
    ),
    "missing output": (
        lambda m: set_tensors(m, "text_recognizer_w96", outputs=m["text_recognizer_w96"].outputs[:1]),
        "outputs token instead of confidence, token",
    ),
    "other type": (
        lambda m: set_tensors(m, "text_detector", inputs=(TensorSpec("image", "FP32", (-1, -1, 3)),)),
        r"image of text_detector is FP32 \[-1, -1, 3\] instead of UINT8",
    ),
    "other rank": (
        lambda m: set_tensors(m, "text_detector", outputs=(TensorSpec("probability", "UINT8", (1, -1, -1)),)),
        r"UINT8 \[1, -1, -1\] instead of UINT8 \[-1, -1\]",
    ),
    "other height": (
        lambda m: set_tensors(m, "line_orientation", inputs=(TensorSpec("line", "UINT8", (32, -1, 3)),)),
        r"\[32, -1, 3\] instead of UINT8 \[48, -1, 3\]",
    ),
    "heights that differ": (
        lower_the_lines,
        "line_orientation has line_height 32, but text_recognizer has 48",
    ),
    "no dictionary": (lambda m: set_parameter(m, "text_recognizer", "dictionary", None), "no parameter `dictionary`"),
    "dictionary no JSON": (lambda m: set_parameter(m, "text_recognizer", "dictionary", "[a"), "not JSON"),
    "dictionary no list": (lambda m: set_parameter(m, "text_recognizer", "dictionary", '{"a": 1}'), "not an array"),
    "shorter dictionary": (
        lambda m: set_parameter(m, "text_recognizer", "dictionary", json.dumps(DICTIONARY[:-1])),
        "38 entries.*another digest",
    ),
    "bucket with another dictionary": (
        lambda m: set_manifest(m, "text_recognizer_w96", dictionary_sha256="1" * 64),
        "text_recognizer_w96 has dictionary_sha256 111",
    ),
    "no buckets": (lambda m: set_manifest(m, "text_recognizer", buckets={}), "names no line widths"),
    "no batching": (
        lambda m: m.update(text_detector=replace(m["text_detector"], max_batch_size=0)),
        "does not batch",
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
async def test_a_server_that_differs_is_refused_in_a_sentence(name: str) -> None:
    change, words = MISMATCHES[name]
    backend = FakeBackend()
    change(backend.models)
    with pytest.raises(ServerMismatchError, match=words) as caught:
        await load_models(backend)
    assert str(caught.value).endswith(".")


async def test_a_server_that_is_away_is_no_mismatch() -> None:
    backend = FakeBackend()
    backend.broken = JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton is away.")
    with pytest.raises(JobError) as caught:
        await load_models(backend)
    assert caught.value.code is ErrorCode.INFERENCE_UNAVAILABLE


async def test_lines_of_chosen_widths_alone() -> None:
    models = await load_models(FakeBackend())
    assert with_line_widths(models, ()) == models
    assert with_line_widths(models, (640, 96)).line.bucket_widths == (96, 640)
    with pytest.raises(ServerMismatchError, match=r"no lines 100 pixels wide.*96, 192, 320, 640, 1280"):
        with_line_widths(models, (96, 100))
