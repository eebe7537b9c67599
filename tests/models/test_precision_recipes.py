"""Recipes: which one a build takes, which it refuses, and what the manifest then says."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from worker.domain.manifest import DetectionThresholds, ModelRole
from worker.models.build import build_repository
from worker.models.model_card import CARD_FILE, GRAPH_FILE, Normalization
from worker.models.precision.choice import resolve_precision
from worker.models.precision.recipe import (
    PAIR,
    GateVerdict,
    GraphRecipe,
    LowPrecision,
    PrecisionRecipe,
    RecipeError,
    find_recipes,
    recipe_file,
)
from worker.models.profiles import Profile, ProfileError, select_profile
from worker.models.source import ModelSource, find_sources

_SOURCES = {ModelRole.DETECTOR: "d" * 64, ModelRole.RECOGNIZER: "e" * 64, ModelRole.ORIENTATION: "f" * 64}
_EVERY_FLAG = "flags : avx512_vnni avx512_bf16"


def _verdict(word_f1: float = 0.95, line_hmean: float = 0.78) -> GateVerdict:
    return GateVerdict(
        pictures=24,
        word_f1=word_f1,
        word_f1_fp32=0.952,
        line_hmean=line_hmean,
        line_hmean_fp32=0.782,
        max_word_f1_loss=0.005,
        max_line_hmean_loss=0.01,
    )


def _recipe(precision: LowPrecision = "int8", verdict: GateVerdict | None = None) -> PrecisionRecipe:
    return PrecisionRecipe(
        engine="onnx",
        precision=precision,
        sources={role: _SOURCES[role] for role in PAIR},
        graphs={ModelRole.DETECTOR: GraphRecipe(ranges={"conv": (-1.0, 2.0)})},
        verdict=verdict,
    )


def _cpu(folder: Path, flags: str) -> Path:
    file = folder / "cpuinfo"
    file.write_text(f"processor : 0\n{flags}\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("verdict", "is_found"),
    [
        (_verdict(), True),
        (_verdict(word_f1=0.96, line_hmean=0.79), True),
        (_verdict(word_f1=0.946), False),
        (_verdict(line_hmean=0.771), False),
        (None, False),
    ],
)
def test_only_a_recipe_that_passed_is_taken(tmp_path: Path, verdict: GateVerdict | None, *, is_found: bool) -> None:
    recipe_file(tmp_path, "onnx", "int8").write_text(_recipe(verdict=verdict).to_json(), encoding="utf-8")

    assert ("int8" in find_recipes("onnx", _SOURCES, [tmp_path])) == is_found


def test_a_recipe_is_of_two_files_together_and_of_one_engine(tmp_path: Path) -> None:
    recipe_file(tmp_path, "onnx", "fp16").write_text(_recipe("fp16", _verdict()).to_json(), encoding="utf-8")

    assert set(find_recipes("onnx", _SOURCES, [tmp_path])) == {"fp16"}
    assert find_recipes("openvino", _SOURCES, [tmp_path]) == {}
    assert find_recipes("onnx", {**_SOURCES, ModelRole.RECOGNIZER: "0" * 64}, [tmp_path]) == {}
    assert find_recipes("onnx", {**_SOURCES, ModelRole.ORIENTATION: "0" * 64}, [tmp_path]).keys() == {"fp16"}


def test_a_card_that_was_changed_after_the_verdict_has_no_recipe(
    sources: Mapping[ModelRole, ModelSource], tmp_path: Path
) -> None:
    pinned = sources[ModelRole.DETECTOR]
    shutil.copyfile(pinned.path, tmp_path / GRAPH_FILE)
    profile = select_profile("onnx", device="cpu", precision="int8")

    def given(**changes: object) -> ModelSource:
        (tmp_path / CARD_FILE).write_text(pinned.card.model_copy(update=changes).to_json(), encoding="utf-8")
        return find_sources({ModelRole.DETECTOR: tmp_path})[ModelRole.DETECTOR]

    assert given(origin="ours", license="MIT").judged_sha256 == pinned.judged_sha256
    for changes in (
        {"normalization": Normalization(channels="rgb")},
        {"detection": DetectionThresholds(binarize=0.9)},
        {"returns_logits": True},
    ):
        assert given(**changes).judged_sha256 != pinned.judged_sha256
        with pytest.raises(RecipeError, match="no int8 recipe of this detector"):
            build_repository(profile, tmp_path / "models", sources={ModelRole.DETECTOR: tmp_path})


def test_recipes_are_sought_beside_the_pair_alone(sources: Mapping[ModelRole, ModelSource], tmp_path: Path) -> None:
    given = {role: tmp_path / role.value / GRAPH_FILE for role in (ModelRole.DETECTOR, ModelRole.ORIENTATION)}
    for role, path in given.items():
        path.parent.mkdir()
        path.write_bytes(sources[role].path.read_bytes() + b"\x00")  # another digest
    recipe_file(tmp_path / ModelRole.ORIENTATION.value, "onnx", "int8").write_text("{", encoding="utf-8")

    with pytest.raises(RecipeError, match="no int8 recipe of this detector"):
        build_repository(select_profile("onnx", precision="int8"), tmp_path / "models", sources=given)


def test_the_recipe_beside_the_recognizer_is_taken_where_the_detector_has_one_too(
    sources: Mapping[ModelRole, ModelSource], tmp_path: Path
) -> None:
    digests = {role: sources[role].judged_sha256 for role in PAIR}
    folders = [tmp_path / role.value for role in PAIR]
    for pictures, folder in enumerate(folders, start=1):
        folder.mkdir()
        verdict = _verdict().model_copy(update={"pictures": pictures})
        recipe = _recipe("int8", verdict).model_copy(update={"sources": digests})
        recipe_file(folder, "onnx", "int8").write_text(recipe.to_json(), encoding="utf-8")

    found = find_recipes("onnx", digests, folders)["int8"]

    assert found.verdict is not None
    assert found.verdict.pictures == len(PAIR)


def test_a_file_that_is_no_recipe_is_named(tmp_path: Path) -> None:
    damaged = json.loads(_recipe(verdict=_verdict()).to_json()) | {"precision": "int4"}
    recipe_file(tmp_path, "onnx", "int8").write_text(json.dumps(damaged), encoding="utf-8")

    with pytest.raises(RecipeError, match=r"onnx-int8\.recipe\.json is no recipe of .*\(precision: "):
        find_recipes("onnx", _SOURCES, [tmp_path])


@pytest.mark.parametrize(
    ("flags", "recognizer", "other"),
    [
        ("flags : fpu avx512_vnni avx512_bf16", "int8", "bf16"),
        ("flags : avx_vnni sse", "int8", "fp32"),
        ("flags : fpu avx2 sse", "fp32", "fp32"),
        ("model name : unknown", "fp32", "fp32"),
    ],
)
def test_auto_follows_the_cpu(tmp_path: Path, flags: str, recognizer: str, other: str) -> None:
    recipe = _recipe(verdict=_verdict())

    found = resolve_precision(select_profile("embedded"), {"int8": recipe}, _cpu(tmp_path, flags))

    assert found.of(ModelRole.DETECTOR) == recognizer
    assert found.of(ModelRole.ORIENTATION) == other
    assert found.of(ModelRole.RECOGNIZER) == other  # the recipe has none for it


def test_without_a_recipe_auto_is_fp32_and_a_wish_is_refused(tmp_path: Path) -> None:
    cpu = _cpu(tmp_path, _EVERY_FLAG)

    assert resolve_precision(select_profile("embedded"), {}, cpu).of(ModelRole.DETECTOR) == "fp32"
    with pytest.raises(
        RecipeError, match=r"no int8 recipe of this detector and this recognizer .* --profile embedded --pre"
    ):
        resolve_precision(select_profile("embedded", precision="int8"), {}, cpu)
    with pytest.raises(RecipeError, match=r"no fp16 recipe .* --profile onnx .* or build with --precision fp32"):
        resolve_precision(select_profile("tensorrt", precision="fp16"), {"int8": _recipe(verdict=_verdict())}, cpu)


def test_a_manifest_can_say_in_which_other_precisions_the_server_could_compute(tmp_path: Path) -> None:
    passed: Mapping[LowPrecision, PrecisionRecipe] = {
        precision: _recipe(precision, _verdict()) for precision in ("fp16", "int8")
    }
    cpu = _cpu(tmp_path, _EVERY_FLAG)

    def others(profile: Profile) -> tuple[str, ...]:
        return resolve_precision(profile, passed, cpu).passed(ModelRole.DETECTOR)

    accelerated = select_profile("onnx", device="gpu", accelerator="tensorrt", precision="fp16")
    assert others(select_profile("embedded", precision="fp32")) == ("int8",)
    assert others(select_profile("embedded")) == ()
    assert others(select_profile("onnx", device="gpu")) == ("fp16",)
    assert others(accelerated) == ("int8",)
    assert others(select_profile("tensorrt")) == ("fp16", "int8")
    assert resolve_precision(select_profile("tensorrt"), passed, cpu).passed(ModelRole.RECOGNIZER) == ()


def test_each_profile_names_the_precisions_that_its_backend_has() -> None:
    assert select_profile("onnx", device="gpu", precision="fp16").precision == "fp16"
    with pytest.raises(ProfileError, match="onnx on a gpu has no precision 'int8': choose fp32 or fp16"):
        select_profile("onnx", device="gpu", precision="int8")
    with pytest.raises(ProfileError, match="onnx on a cpu has no precision 'fp16': choose fp32 or int8"):
        select_profile("onnx", device="cpu", precision="fp16")
    assert select_profile("onnx", device="gpu", precision="int8", accelerator="tensorrt").accelerator == "tensorrt"


def test_the_scores_of_a_verdict_are_what_a_manifest_says() -> None:
    assert _verdict().accuracy == {
        "pictures": 24.0,
        "word_f1": 0.95,
        "word_f1_fp32": 0.952,
        "line_hmean": 0.78,
        "line_hmean_fp32": 0.782,
    }
