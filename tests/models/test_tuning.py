"""A tuning decides how a repository is served; what does not fit is refused in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker.models.build import build_repository
from worker.models.configs import read_config
from worker.models.profiles import select_profile
from worker.models.stamp import read_stamp
from worker.models.tuning import (
    CandidateEvidence,
    RateSpread,
    Tuning,
    TuningError,
    TuningEvidence,
    read_tuning,
    settings_of,
    tuned,
)

TUNING = Tuning(
    instances=1,
    threads=2,
    static_widths=(64, 320),
    static_tiles=((960, 960), (64, 96)),
    max_queue_delay_microseconds=1000,
    max_batch_lines=8,
    max_batch_tiles=1,
)


def _evidence() -> TuningEvidence:
    candidate = CandidateEvidence(
        change="default",
        settings=settings_of(select_profile("embedded")),
        outcome="default",
        reason="what the others are measured against",
        pictures_per_second=RateSpread(median=4.0, min=3.9, max=4.1),
    )
    return TuningEvidence(
        machine={"cpu": "AMD EPYC", "cores": 2},
        openvino="2026.4.1",
        labelwire="0.1.0",
        alphabet="full",
        models={},
        dataset="labels",
        pictures=2,
        cores=2,
        rounds=3,
        max_word_f1_loss=0.002,
        candidates=(candidate,),
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_repository("embedded", tmp_path_factory.mktemp("tuned") / "models", alphabet="latin", tuning=TUNING)


def _config(repository: Path, name: str) -> Any:  # noqa: ANN401  generated code without types
    return read_config(repository / name / "config.pbtxt")


@pytest.mark.parametrize("name", ["text_detector", "line_orientation", "text_recognizer"])
def test_a_build_serves_as_the_tuning_says(repository: Path, name: str) -> None:
    config = _config(repository, name)

    assert [group.count for group in config.instance_group] == [1]
    assert config.parameters["threads"].string_value == "2"
    assert config.dynamic_batching.max_queue_delay_microseconds == 1000


def test_an_ensemble_takes_no_more_than_its_members(repository: Path) -> None:
    sizes = {name: _config(repository, name).max_batch_size for name in ("text_detector", "text_recognizer")}

    assert sizes == {"text_detector": 1, "text_recognizer": 8}
    assert _config(repository, "text_reader").max_batch_size == 8


@pytest.mark.parametrize(
    ("name", "tensor", "static"),
    [
        ("text_detector", "image", [[960, 960, 3], [64, 96, 3]]),
        ("text_recognizer", "line", [[48, 64, 3], [48, 320, 3]]),
    ],
)
def test_every_static_shape_and_the_free_graph_are_warm_before_the_server_is_ready(
    repository: Path, name: str, tensor: str, static: list[list[int]]
) -> None:
    config = _config(repository, name)

    warm = [list(warmup.inputs[tensor].dims) for warmup in config.model_warmup]

    assert json.loads(config.parameters["static_shapes"].string_value) == static
    assert [shape for shape in static if shape not in warm] == []
    assert [shape for shape in warm if shape not in static], "the graph with free sizes would be compiled later"
    assert len({warmup.name for warmup in config.model_warmup}) == len(config.model_warmup)


def test_the_stamp_names_the_tuning(repository: Path) -> None:
    stamp = read_stamp(repository)

    assert stamp is not None
    assert stamp.tuning_sha256 == TUNING.sha256


def test_another_tuning_is_another_build(repository: Path, tmp_path: Path) -> None:
    first = read_stamp(repository)
    other = TUNING.model_copy(update={"max_queue_delay_microseconds": 0})

    again = read_stamp(build_repository("embedded", tmp_path / "models", alphabet="latin", tuning=other))

    assert first is not None
    assert again is not None
    assert again.digest != first.digest


def test_the_settings_of_a_profile_change_nothing_of_it() -> None:
    profile = select_profile("embedded", cores=4)

    same = tuned(profile, settings_of(profile))

    assert settings_of(same) == settings_of(profile)
    assert (same.instances, same.threads) == (4, 1)


def test_the_onnx_profile_takes_instances_threads_and_delay_alone(tmp_path: Path) -> None:
    repository = build_repository("onnx", tmp_path / "onnx", alphabet="latin", tuning=TUNING)
    untuned = select_profile("onnx")

    config = _config(repository, "text_recognizer")

    assert [group.count for group in config.instance_group] == [1]
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    assert config.dynamic_batching.max_queue_delay_microseconds == 1000
    assert "static_shapes" not in config.parameters
    assert config.max_batch_size == 4
    assert tuned(untuned, TUNING).static_widths == ()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"static_widths": (64, 65)}, "static width of 65 pixels"),
        ({"static_widths": (1312,)}, "static width of 1312 pixels"),
        ({"static_tiles": ((960, 970),)}, "static tile of 960 x 970 pixels"),
        ({"static_tiles": ((2080, 64),)}, "multiples of 32 up to 2048"),
        ({"instances": 64, "threads": 2}, "needs 128 cores, and a build is for at most 64"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TuningError, match=sentence):
        tuned(select_profile("embedded"), TUNING.model_copy(update=changed))


@pytest.mark.parametrize(("name", "device"), [("onnx", "gpu"), ("tensorrt", None)])
def test_a_gpu_takes_no_tuning_and_says_so_before_anything_is_built(
    name: str, device: str | None, tmp_path: Path
) -> None:
    with pytest.raises(TuningError, match=f"the profile {name} on a gpu has no cores"):
        build_repository(select_profile(name, device=device), tmp_path / "models", tuning=TUNING)

    assert list(tmp_path.iterdir()) == []


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    tuning = TUNING.model_copy(update={"evidence": _evidence()})
    path = tmp_path / "tuning.json"
    path.write_text(tuning.to_json(), encoding="utf-8")

    assert read_tuning(path) == tuning
    assert read_tuning(path).sha256 == tuning.sha256 != TUNING.sha256
    assert json.loads(path.read_text(encoding="utf-8"))["schema"] == "labelwire.tuning/1"


def _text(**changed: object) -> str:
    return json.dumps(json.loads(TUNING.to_json()) | changed)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", r"is no tuning of labelwire.tuning/1 \(the whole: "),
        (_text(schema="labelwire.tuning/2"), r"\(schema: "),
        (_text(streams=2), r"\(streams: "),
        (_text(instances=0), r"\(instances: "),
        (_text(static_widths=[64, 64]), r"\(static_widths: .*64 is there twice"),
        (_text(static_widths=list(range(65))), r"\(static_widths: "),
        (" " * (4 * 1024 * 1024 + 1), "has over 4194304 bytes"),
    ],
)
def test_a_file_that_is_no_tuning_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "tuning.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(TuningError, match=sentence):
        read_tuning(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TuningError, match="No such file"):
        read_tuning(tmp_path / "absent.json")
