"""The gate on drawn labels: what reads as well passes, what does not is refused, and nothing is left behind."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from typer.testing import CliRunner

from worker.cli.models import app
from worker.cli.quantize import read_set, serve_in_process
from worker.domain.manifest import ModelManifest, ModelRole
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.embedded import Labels, drawn
from worker.lab.evaluation.in_process import InProcessBackend
from worker.lab.evaluation.scores import Counts
from worker.lab.precision.errors import GateError
from worker.lab.precision.gate import Gate, Limits, check_baseline, check_set
from worker.lab.precision.samples import Recorder, Request
from worker.lab.synth.camera import Degradation
from worker.models.build import build_repository
from worker.models.configs import read_config
from worker.models.precision.integers import with_names
from worker.models.precision.recipe import PAIR, find_recipes
from worker.models.profiles import select_profile
from worker.models.source import find_sources

_LABELS = 2
_ON_CPU = select_profile("onnx", device="cpu")


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    kinds = Labels(_LABELS, seed=4, degradations=(Degradation.NONE,))
    return drawn(kinds, tmp_path_factory.mktemp("labels"))


@pytest.fixture(scope="module")
def in_fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_repository(_ON_CPU, tmp_path_factory.mktemp("models") / "fp32")


@pytest.fixture(scope="module")
def recorder(in_fp32: Path) -> Recorder:
    return Recorder(InProcessBackend(in_fp32))


@pytest.fixture(scope="module")
def gate(labels: Dataset, recorder: Recorder) -> Gate:
    return Gate(labels, {}, _ON_CPU, Limits(), serve_in_process, read_set, read_set(labels, recorder))


def test_the_pinned_recipe_reads_drawn_labels_as_well(gate: Gate) -> None:
    recipes = find_recipes("onnx", {role: source.judged_sha256 for role, source in find_sources().items()}, ())

    verdict = gate.judge(recipes["int8"])

    assert verdict.word_f1_fp32 > 0.9
    assert verdict.word_f1 > verdict.word_f1_fp32 - 0.02  # a hundred words: one is half a percent
    assert verdict.pictures == _LABELS


class _Lines(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, requests: list[Request]) -> None:
        self._requests: Iterator[Request] = iter(requests)

    def get_next(self) -> Request | None:
        return next(self._requests, None)


def test_the_usual_recipe_for_a_whole_recognizer_is_refused(
    gate: Gate, recorder: Recorder, in_fp32: Path, tmp_path: Path
) -> None:
    repository = shutil.copytree(in_fp32, tmp_path / "whole")
    (path,) = (repository / ModelRole.RECOGNIZER).glob("*/model.onnx")
    options = {"ActivationSymmetric": True, "QuantizeBias": False}
    quantize_static(
        with_names(onnx.load(path)),
        path,
        _Lines(recorder.requests(ModelRole.RECOGNIZER)[:4]),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        extra_options=options,
    )

    verdict = gate.judge_repository(repository)

    assert verdict.word_f1 < 0.5
    assert not verdict.passed


def test_a_set_that_cannot_judge_is_refused(labels: Dataset) -> None:
    without_truth = Dataset("photos", (replace(labels.samples[0], truth=None),))

    with pytest.raises(GateError, match=r"has no truth: the gate compares what is read with truth\.jsonl"):
        check_set(without_truth, Limits())
    with pytest.raises(GateError, match=r"words, so that a loss of 0\.001 in word F1 cannot be seen: .* 1000 words"):
        check_set(labels, Limits(max_word_f1_loss=0.001))


@pytest.mark.parametrize("limit", [0.0, 1.0, float("nan"), float("inf")])
def test_a_limit_that_shows_no_loss_is_refused(labels: Dataset, limit: float) -> None:
    for limits in (Limits(max_word_f1_loss=limit), Limits(max_line_hmean_loss=limit)):
        with pytest.raises(GateError, match="is no loss that can be seen: give more than 0 and less than 1"):
            check_set(labels, limits)


def test_models_that_read_next_to_nothing_cannot_be_judged(labels: Dataset) -> None:
    nothing = Counts(words_true=900, lines_true=300)
    fair = Counts(words_true=900, words_read=900, words_right=800, lines_true=300, lines_read=300, lines_right=200)

    check_baseline(labels, fair, Limits())
    for counts in (nothing, replace(fair, words_right=4), replace(fair, lines_right=3)):
        with pytest.raises(GateError, match="so that a loss cannot be seen: give --data pictures that the models can"):
            check_baseline(labels, counts, Limits())


def test_a_command_that_finds_a_recipe_writes_it_and_a_build_takes_it(labels: Dataset, tmp_path: Path) -> None:
    data = str(labels.samples[0].path.parents[1])
    limits = ["--max-word-f1-loss", "0.05", "--max-line-hmean-loss", "0.1"]
    own = {role: tmp_path / f"{role}.onnx" for role in PAIR}
    for role, source in find_sources().items():
        if role in own:
            model = onnx.load(source.path)
            model.producer_name = "own"  # another file, with another digest
            onnx.save(model, own[role])
    files = ["--detector", str(own[ModelRole.DETECTOR]), "--recognizer", str(own[ModelRole.RECOGNIZER])]

    ended = CliRunner().invoke(
        app, ["quantize", "--precision", "int8", "--data", data, *files, *limits, "--output", str(tmp_path)]
    )

    assert ended.exit_code == 0, ended.output
    assert "text_recognizer" in ended.output
    assert "passed" in ended.output
    assert ended.output.strip().endswith("onnx-int8.recipe.json")
    profile = select_profile("onnx", device="cpu", precision="int8")
    repository = build_repository(profile, tmp_path / "models", sources=own)
    manifests = {role: _manifest(repository, role) for role in ModelRole}
    assert {role: manifest.precision for role, manifest in manifests.items()} == {
        ModelRole.DETECTOR: "int8",
        ModelRole.ORIENTATION: "fp32",
        ModelRole.RECOGNIZER: "int8",
        ModelRole.READER: "int8",
    }
    accuracy = manifests[ModelRole.DETECTOR].accuracy
    assert accuracy is not None
    assert accuracy["pictures"] == _LABELS
    plain = build_repository(select_profile("onnx", device="cpu"), tmp_path / "plain", sources=own)
    assert _manifest(plain, ModelRole.RECOGNIZER).passed_precisions == ("int8",)


def _manifest(repository: Path, role: ModelRole) -> ModelManifest:
    config = read_config(repository / role / "config.pbtxt")
    return ModelManifest.model_validate_json(config.parameters["manifest"].string_value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--precision", "int4", "--data", "x"], "'int4' is no lower precision that a graph can have"),
        (["--precision", "int8", "--data", "x"], "the recipe has no place: give --output, or an imported model"),
        (
            ["--precision", "int8", "--data", "x", "--profile", "tensorrt"],
            "judged by ONNX Runtime: give --profile onnx",
        ),
        (["--precision", "int8", "--data", "absent", "--output", "y"], "absent"),
    ],
)
def test_a_wrong_command_is_refused_with_a_sentence(arguments: list[str], sentence: str) -> None:
    ended = CliRunner().invoke(app, ["quantize", *arguments])

    assert ended.exit_code == 1
    assert sentence in str(ended.exception)
    assert not Path("y").exists()
