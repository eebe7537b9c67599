"""A deployment's own models: what fits its family is taken, seen to read, built into every profile, and reads there."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.models import own_models
from tests.models.drawing import Pixels
from tests.models.own_models import CLASSIFIER, DETECTOR, RECOGNIZER, characters_of
from tests.models.page import page_blocks
from tests.models.reference import normalized, onnxruntime_session
from worker import bootstrap, settings
from worker.domain.errors import LabelwireError
from worker.domain.manifest import ModelManifest, ModelRole
from worker.lab.evaluation.in_process import InProcessBackend
from worker.local.triton import TritonServer
from worker.models.build import build_repository
from worker.models.configs import read_config
from worker.models.detector import rewrite_detector
from worker.models.golden import GoldenError
from worker.models.importing import (
    ModelFacts,
    ModelImportError,
    import_model,
    read_characters,
    read_dictionary,
    read_picture,
)
from worker.models.model_card import LineFormat, ModelCard, ModelKind, Normalization
from worker.models.orientation import rewrite_orientation
from worker.models.precision.recipe import RecipeError
from worker.models.profiles import select_profile
from worker.models.recognizer import rewrite_recognizer
from worker.models.rewriting import GraphError, load_graph
from worker.models.source import ModelSourceError, find_sources
from worker.ports import InferenceBackend
from worker.reporting.ocr import FileReading, read_files

ROOT = Path(__file__).parents[2]
LINES = ("SHIP TO", "Hafenstrasse 12", "20457 Hamburg", "Weight 12.70 kg")


@pytest.fixture(scope="module")
def label(tmp_path_factory: pytest.TempPathFactory) -> Path:
    picture = np.full((440, 520, 3), 235, dtype=np.uint8)
    for row, text in enumerate(LINES):
        cv2.putText(picture, text, (30, 70 + 100 * row), cv2.FONT_HERSHEY_SIMPLEX, 1.3, (20, 20, 20), 2, cv2.LINE_AA)
    path = tmp_path_factory.mktemp("label") / "label.png"
    cv2.imwrite(str(path), picture)
    return path


def card_of(folder: Path) -> ModelCard:
    return ModelCard.model_validate_json((folder / "model.json").read_bytes())


def manifest_of(repository: Path, model: str) -> ModelManifest:
    config = read_config(repository / model / "config.pbtxt")
    return ModelManifest.model_validate_json(config.parameters["manifest"].string_value)


async def words_read(picture: Path, backend: InferenceBackend) -> str:
    """What a worker reads on a picture, without spaces."""
    read: list[FileReading] = []
    async with bootstrap.open_model_client(settings.load({}), backend) as reader:
        assert await read_files([picture], reader, read.append), read
    (reading,) = read
    assert reading.result is not None
    return "".join(line.text for page in reading.result.pages for line in page.lines).replace(" ", "")


def test_a_recognizer_whose_weights_are_constants_is_taken_with_its_dictionary(
    files: Path, paddle: dict[ModelRole, Path]
) -> None:
    folder = paddle[ModelRole.RECOGNIZER]

    card = card_of(folder)

    assert {path.name for path in folder.iterdir()} == {"model.onnx", "model.json"}
    assert (folder / "model.onnx").read_bytes() == (files / RECOGNIZER).read_bytes()
    assert card.sha256 == hashlib.sha256((files / RECOGNIZER).read_bytes()).hexdigest()
    assert (card.origin, card.license) == (RECOGNIZER, "unknown")
    assert card.classes == ("", *characters_of(files / RECOGNIZER), " ")
    assert card.line is not None
    assert (card.line.height, card.line.width, card.line.stride) == (48, None, 8)


@pytest.mark.parametrize("option", ["--dictionary", "--characters"])
def test_characters_that_the_metadata_lack_are_given_in_a_file(files: Path, tmp_path: Path, option: str) -> None:
    bare = own_models.without_metadata(files / RECOGNIZER, tmp_path / "bare.onnx")
    characters = characters_of(files / RECOGNIZER)
    given = tmp_path / "characters.txt"
    given.write_text(("\n" if option == "--dictionary" else "").join(characters) + "\n", encoding="utf-8")

    ended = labelwire("models", "import", "--kind", "paddle-rec", "--onnx", str(bare), option, str(given), cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == [str(tmp_path / "build/models/text_recognizer")]
    assert card_of(tmp_path / "build/models/text_recognizer").classes == ("", *characters, " ")


def labelwire(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments], cwd=cwd, capture_output=True, text=True, timeout=240, check=False
    )


def test_a_detector_is_normalized_and_thresholded_as_its_family(
    paddle: dict[ModelRole, Path], doctr: dict[ModelRole, Path]
) -> None:
    of_paddle, of_doctr = card_of(paddle[ModelRole.DETECTOR]), card_of(doctr[ModelRole.DETECTOR])

    assert of_paddle.detection is not None
    assert of_doctr.detection is not None
    assert (of_paddle.normalization.channels, of_doctr.normalization.channels) == ("bgr", "rgb")
    assert (of_paddle.normalization.mean, of_doctr.normalization.mean) == ((0.485, 0.456, 0.406), (0.798, 0.785, 0.772))
    assert (of_paddle.detection.box_score, of_doctr.detection.box_score) == (0.6, 0.1)
    assert (of_paddle.tile, of_doctr.tile) == (None, (480, 480))
    assert (of_paddle.returns_logits, of_doctr.returns_logits) == (False, True)


def test_a_detector_of_either_family_computes_what_its_own_preprocessing_gives(
    files: Path, doctr: dict[ModelRole, Path]
) -> None:
    """The same network, once for Paddle's BGR and once for docTR's RGB: colors, so that a swap is seen."""
    page = _colored_page()
    card = card_of(doctr[ModelRole.DETECTOR])
    original = onnxruntime_session(files / DETECTOR)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalized = ((page / 255 - mean) / deviation).astype(np.float32).transpose(2, 0, 1)[None]
    expected = original.run(None, {"x": np.ascontiguousarray(normalized)})[0][:, 0]
    assert expected.max() > 0.9, "there must be text to find"

    for graph in (
        rewrite_detector(
            load_graph(files / DETECTOR), Normalization(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))
        ),
        rewrite_detector(
            load_graph(doctr[ModelRole.DETECTOR] / "model.onnx"),
            card.normalization,
            returns_logits=card.returns_logits,
            tile=card.tile,
        ),
    ):
        (probability,) = onnxruntime_session(graph.SerializeToString()).run(None, {"image": page[None]})
        assert np.abs(probability / 255 - expected).max() <= 0.5 / 255 + 1e-3


def _colored_page() -> Pixels:
    page = np.full((480, 480, 3), (40, 200, 250), dtype=np.uint8)
    for row, text in enumerate(LINES):
        cv2.putText(page, text, (20, 60 + 110 * row), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (120, 20, 200), 2, cv2.LINE_AA)
    return page


async def test_a_repository_of_imported_models_reads_a_label(
    paddle: dict[ModelRole, Path], label: Path, tmp_path: Path
) -> None:
    repository = build_repository(select_profile("onnx", device="cpu"), tmp_path / "models", sources=paddle)

    read = await words_read(label, InProcessBackend(repository))

    assert read == "".join(LINES).replace(" ", "")
    for role in (ModelRole.DETECTOR, ModelRole.RECOGNIZER, ModelRole.ORIENTATION):
        assert manifest_of(repository, role).source_sha256 == card_of(paddle[role]).sha256
    detection = manifest_of(repository, ModelRole.DETECTOR).detection
    assert detection is not None
    assert (detection.box_score, detection.unclip_ratio, detection.dilate) == (0.6, 1.5, False)


async def test_a_repository_of_words_32_by_128_reads_a_label(
    doctr: dict[ModelRole, Path], label: Path, tmp_path: Path
) -> None:
    repository = build_repository(select_profile("onnx", device="cpu"), tmp_path / "models", sources=doctr)

    read = await words_read(label, InProcessBackend(repository))

    manifest = manifest_of(repository, ModelRole.RECOGNIZER)
    assert (manifest.buckets, manifest.stride, manifest.pad_value) == ({192: "text_recognizer"}, 6, 0)
    assert manifest_of(repository, ModelRole.DETECTOR).tile_shapes is not None
    for word in ("SHIP", "20457", "Hamburg", "12.70"):
        assert word in read


async def test_pp_ocr_v5_and_its_classifier_of_whole_lines_read_a_label(
    paddle_v5: dict[ModelRole, Path], label: Path, tmp_path: Path
) -> None:
    repository = build_repository(
        select_profile("onnx", device="cpu"), tmp_path / "models", sources=paddle_v5, alphabet="latin"
    )

    assert await words_read(label, InProcessBackend(repository)) == "".join(LINES).replace(" ", "")
    picture = cv2.imread(str(label), cv2.IMREAD_COLOR)
    assert picture is not None
    cv2.imwrite(str(tmp_path / "turned.png"), cv2.rotate(picture, cv2.ROTATE_180))
    assert "20457Hamburg" in await words_read(tmp_path / "turned.png", InProcessBackend(repository))


@pytest.mark.parametrize("ends_in", ["Softmax", "Add"])
def test_a_classifier_of_whole_lines_computes_what_its_own_preprocessing_gives(
    lines: list[Pixels], tmp_path: Path, ends_in: str
) -> None:
    """PaddleX's: RGB, scaled to 80 x 160 whatever the shape, by ImageNet's mean and deviation."""
    original = own_models.pp_ocr_v5() / own_models.CLASSIFIER_V5
    model = onnx.load(original)
    if ends_in == "Add":
        assert model.graph.node[-1].op_type == "Softmax"
        model.graph.output[0].name = model.graph.node[-1].input[0]
        del model.graph.node[-1]
    onnx.save(model, tmp_path / "classifier.onnx")
    card = card_of(import_model(ModelKind.PADDLE_CLASSIFIER, tmp_path / "classifier.onnx", tmp_path, ModelFacts()))
    graph = rewrite_orientation(
        load_graph(tmp_path / "classifier.onnx"),
        card.normalization,
        whole_line=card.whole_line,
        returns_logits=card.returns_logits,
    )
    served, own = onnxruntime_session(graph.SerializeToString()), onnxruntime_session(original)

    for line in [*lines, *(np.ascontiguousarray(line[::-1, ::-1]) for line in lines)]:
        scaled = cv2.resize(line.astype(np.float32), (160, 80), interpolation=cv2.INTER_LINEAR)
        pixels = (scaled[..., ::-1] / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
        expected = own.run(None, {"x": np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)})[0]
        (upside_down,) = served.run(None, {"line": line[None]})
        assert abs(upside_down[0, 0] - expected[0, 1]) < 1e-3
    assert card.returns_logits == (ends_in == "Add")


async def test_lines_32_pixels_high_are_scaled_in_the_graph(
    files: Path, paddle: dict[ModelRole, Path], label: Path, tmp_path: Path
) -> None:
    model = onnx.load(files / RECOGNIZER)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 32
    onnx.save(model, tmp_path / "low.onnx")

    low = import_model(ModelKind.PADDLE_RECOGNIZER, tmp_path / "low.onnx", tmp_path, ModelFacts())

    sources = paddle | {ModelRole.RECOGNIZER: low}
    for device, widths in (("cpu", range(96, 1249, 96)), ("gpu", (96, 192, 288, 384, 480, 576, 768, 960, 1248))):
        repository = build_repository(
            select_profile("onnx", device=device), tmp_path / device, sources=sources, alphabet="latin"
        )
        manifest = manifest_of(repository, ModelRole.RECOGNIZER)
        assert (tuple(manifest.buckets or ()), manifest.stride) == (tuple(widths), 12)
    read = await words_read(label, InProcessBackend(tmp_path / "cpu"))
    for word in ("SHIP", "20457", "Hamburg", "12.70"):
        assert word in read


def test_a_crnn_is_run_as_trained_and_refused_for_reading_nothing(tmp_path: Path) -> None:
    path = own_models.crnn(tmp_path / "crnn.onnx")

    with pytest.raises(GoldenError, match=r"reads the drawn lines \['SHIP TO 1335 Halle'"):
        import_model(
            ModelKind.PADDLE_RECOGNIZER, path, tmp_path / "out", ModelFacts(characters=tuple(map(chr, range(32, 127))))
        )

    line = np.random.default_rng(0).integers(0, 256, (2, 48, 192, 3), dtype=np.uint8)
    lowered = np.stack([cv2.resize(pixels, (128, 32), interpolation=cv2.INTER_LINEAR) for pixels in line])
    expected = onnxruntime_session(path).run(None, {"x": normalized(lowered)})[0]
    graph = rewrite_recognizer(load_graph(path), line=LineFormat(height=32, stride=4))
    token, confidence = onnxruntime_session(graph.SerializeToString()).run(
        None, {"line": line, "upside_down": np.zeros((2, 1), dtype=np.float32)}
    )
    assert token.shape == (2, 32, 1)
    assert np.mean(token[..., 0] == expected.argmax(axis=2)) > 0.95, "pixels of OpenCV are rounded"
    assert np.abs(confidence[..., 0] - expected.max(axis=2)).max() < 0.05


def test_own_models_stay_as_they_were_trained_unless_a_recipe_passed(
    doctr: dict[ModelRole, Path], tmp_path: Path
) -> None:
    repository = build_repository("embedded", tmp_path / "models", sources=doctr)

    assert {manifest_of(repository, role).precision for role in doctr} == {"fp32"}
    with pytest.raises(RecipeError, match="no int8 recipe of this detector and this recognizer together has passed"):
        build_repository(select_profile("embedded", precision="int8"), tmp_path / "int8", sources=doctr)


def test_a_recognizers_file_need_not_be_imported_if_its_metadata_name_its_characters(
    files: Path, tmp_path: Path
) -> None:
    profile = select_profile("onnx", device="cpu")

    repository = build_repository(
        profile, tmp_path / "models", sources={ModelRole.RECOGNIZER: files / RECOGNIZER}, alternatives=1
    )

    assert manifest_of(repository, ModelRole.RECOGNIZER).source == RECOGNIZER
    bare = own_models.without_metadata(files / RECOGNIZER, tmp_path / "bare.onnx")
    with pytest.raises(GraphError, match=r"names no characters .* import it with `labelwire models import`"):
        build_repository(profile, tmp_path / "other", sources={ModelRole.RECOGNIZER: bare})


def test_the_pinned_models_can_be_imported_too(tmp_path: Path) -> None:
    for kind in (ModelKind.PADDLE_DETECTOR, ModelKind.PADDLE_RECOGNIZER, ModelKind.PADDLE_CLASSIFIER):
        pinned = find_sources()[kind.role]

        folder = import_model(kind, pinned.path, tmp_path, ModelFacts())

        assert find_sources({kind.role: folder})[kind.role].sha256 == pinned.sha256


@pytest.mark.parametrize("family", ["paddle", "doctr"])
async def test_a_repository_for_a_gpu_of_imported_models_reads_a_label(
    family: str, request: pytest.FixtureRequest, label: Path, tmp_path: Path
) -> None:
    models = request.getfixturevalue(family)

    repository = build_repository(
        select_profile("onnx", device="gpu"), tmp_path / "models", sources=models, alphabet="latin"
    )

    buckets = manifest_of(repository, ModelRole.RECOGNIZER).buckets or {}
    assert len(buckets) == (16 if family == "paddle" else 1)
    read = await words_read(label, InProcessBackend(repository))
    for word in ("SHIP", "20457", "Hamburg", "12.70"):
        assert word in read


@pytest.mark.real
async def test_the_real_triton_serves_imported_models_embedded(
    doctr: dict[ModelRole, Path], label: Path, tmp_path: Path
) -> None:
    """The page's commands do the same with models of Paddle's."""
    repository = build_repository("embedded", tmp_path / "models", sources=doctr)

    with TritonServer(repository, run_dir=tmp_path / "triton") as server:
        chosen = settings.load({"LABELWIRE_TRITON__URL": server.grpc_url})
        read = await words_read(label, bootstrap.triton_backend(chosen))

    for word in ("SHIP", "20457", "Hamburg", "12.70"):
        assert word in read


def test_an_import_replaces_an_earlier_one_and_nothing_else(files: Path, tmp_path: Path) -> None:
    for _ in range(2):
        folder = import_model(ModelKind.PADDLE_CLASSIFIER, files / CLASSIFIER, tmp_path, ModelFacts(license="MIT"))
    assert [path.name for path in tmp_path.iterdir()] == ["line_orientation"]
    (folder / "model.json").rename(folder / "notes.json")

    with pytest.raises(ModelImportError, match="holds something that is no imported model"):
        import_model(ModelKind.PADDLE_CLASSIFIER, files / CLASSIFIER, tmp_path, ModelFacts())

    assert (folder / "notes.json").is_file()


def test_an_imported_folder_is_not_taken_for_another_role_or_with_other_bytes(
    paddle: dict[ModelRole, Path], tmp_path: Path
) -> None:
    with pytest.raises(ModelSourceError, match=r"holds a text_detector \(paddle-det\), but is given for text_recog"):
        find_sources({ModelRole.RECOGNIZER: paddle[ModelRole.DETECTOR]})
    with pytest.raises(ModelSourceError, match=r"lacks model\.onnx or model\.json"):
        find_sources({ModelRole.RECOGNIZER: tmp_path})
    card = (paddle[ModelRole.DETECTOR] / "model.json").read_bytes()
    (tmp_path / "model.onnx").write_bytes(b"other")
    (tmp_path / "model.json").write_bytes(card)
    with pytest.raises(ModelSourceError, match=r"has SHA-256 [0-9a-f]{64}, but its card [0-9a-f]{64}: import"):
        find_sources({ModelRole.DETECTOR: tmp_path})
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ModelSourceError, match=r"is no card of labelwire\.model/1 \(kind: Field required\)"):
        find_sources({ModelRole.DETECTOR: tmp_path})


_Change = Callable[[onnx.ModelProto], None]


def _as_it_is(_: onnx.ModelProto) -> None:
    pass


def _tensor(name: str, dims: list[int | str | None], element_type: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element_type, dims)


def _take(dims: list[int | str | None], element_type: int = TensorProto.FLOAT) -> _Change:
    def change(model: onnx.ModelProto) -> None:
        name = model.graph.input[0].name
        model.graph.input[0].CopyFrom(_tensor(name, dims, element_type))

    return change


def _named_as_ours(model: onnx.ModelProto) -> None:
    names = {model.graph.input[0].name: "image", model.graph.output[0].name: "probability"}
    for node in model.graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(name, name) for name in tensors]
    model.graph.input[0].name, model.graph.output[0].name = names.values()


def _weights_as_inputs(model: onnx.ModelProto) -> None:
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        value = helper.get_attribute_value(node.attribute[0])
        value.name = node.output[0]
        model.graph.initializer.append(value)
        model.graph.input.append(_tensor(value.name, list(value.dims), value.data_type))
        model.graph.node.remove(node)


def _ends_in_identity(model: onnx.ModelProto) -> None:
    name = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Identity", [name], ["same"]))
    model.graph.output[0].name = "same"


ORDINARY = [
    ("paddle-det", DETECTOR, _named_as_ours),
    ("paddle-det", DETECTOR, _weights_as_inputs),
    ("paddle-det", DETECTOR, _ends_in_identity),
    ("paddle-det", DETECTOR, _take([1, 3, "H", "W"])),
    ("paddle-det", DETECTOR, _take(["N", 3, 640, 640])),
    ("paddle-rec", RECOGNIZER, _ends_in_identity),
    ("paddle-rec", RECOGNIZER, _take([1, 3, 48, 320])),
    ("paddle-cls", CLASSIFIER, _take(["N", 3, 48, 192])),
]


@pytest.mark.parametrize(("kind", "name", "change"), ORDINARY)
def test_what_is_ordinary_among_exports_is_taken_and_built(
    files: Path, tmp_path: Path, kind: str, name: str, change: _Change
) -> None:
    model = onnx.load(files / name)
    change(model)
    onnx.save(model, tmp_path / "ordinary.onnx")

    folder = import_model(ModelKind(kind), tmp_path / "ordinary.onnx", tmp_path, ModelFacts())

    sources = {ModelKind(kind).role: folder}
    for device in ("cpu", "gpu"):
        build_repository(
            select_profile("onnx", device=device), tmp_path / device, sources=sources, alphabet="latin", alternatives=1
        )


def _without_sigmoid(model: onnx.ModelProto) -> None:
    model.graph.output[0].CopyFrom(_tensor(model.graph.node[-1].input[0], ["N", 1, "H", "W"]))
    del model.graph.node[-1]


def _two_outputs(model: onnx.ModelProto) -> None:
    model.graph.output.append(_tensor(model.graph.node[-1].input[0], ["N", 1, "H", "W"]))


def _old(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 9


def _foreign_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node[-1].domain = "com.microsoft"


def _halved(model: onnx.ModelProto) -> None:
    name = model.graph.output[0].name
    model.graph.node.append(helper.make_node("AveragePool", [name], ["half"], kernel_shape=[2, 2], strides=[2, 2]))
    model.graph.output[0].CopyFrom(_tensor("half", ["N", 1, "H", "W"]))


def _blind(model: onnx.ModelProto) -> None:
    """Say everywhere that there is text."""
    name = model.graph.output[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.0, dtype=np.float32), "nothing"))
    model.graph.node.append(helper.make_node("Mul", [name, "nothing"], ["zeros"]))
    model.graph.output[0].CopyFrom(_tensor("zeros", ["N", 1, "H", "W"]))


def _no_numbers(model: onnx.ModelProto) -> None:
    name = model.graph.output[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.array(np.nan, dtype=np.float32), "nan"))
    model.graph.node.append(helper.make_node("Mul", [name, "nan"], ["spoilt"]))
    model.graph.output[0].CopyFrom(_tensor("spoilt", ["N", 1, "H", "W"]))


def _one_at_a_time(model: onnx.ModelProto) -> None:
    name = model.graph.output[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 480, 480]), "size"))
    model.graph.node.append(helper.make_node("Reshape", [name, "size"], ["single"]))
    model.graph.output[0].CopyFrom(_tensor("single", [1, 1, 480, 480]))


def _relu_last(model: onnx.ModelProto) -> None:
    name = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Relu", [name], ["rectified"]))
    model.graph.output[0].CopyFrom(_tensor("rectified", ["N", "T", 6625]))


def _steps_first(model: onnx.ModelProto) -> None:
    name = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Transpose", [name], ["by_step"], perm=[1, 0, 2]))
    model.graph.output[0].CopyFrom(_tensor("by_step", ["T", "N", 6625]))


def _swapped_sides(model: onnx.ModelProto) -> None:
    name = model.graph.output[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 0]), "swap"))
    model.graph.node.append(helper.make_node("Gather", [name, "swap"], ["swapped"], axis=1))
    model.graph.output[0].CopyFrom(_tensor("swapped", ["N", 2]))


WRONG = [
    (
        "paddle-rec",
        DETECTOR,
        _as_it_is,
        r"sigmoid_0\.tmp_0 of shape \[\?, 1, \?, \?\], but a recognizer's is .* so import it with --kind paddle-det",
    ),
    (
        "paddle-det",
        RECOGNIZER,
        _as_it_is,
        r"softmax_11\.tmp_0 of shape \[\?, \?, 6625\], but a detector's is \[N, 1, H, W\]: it looks like a recognizer",
    ),
    (
        "paddle-det",
        CLASSIFIER,
        _as_it_is,
        r"it looks like an orientation classifier, so import it with --kind paddle-cls",
    ),
    ("paddle-cls", DETECTOR, _as_it_is, r"but a classifier's is \[N, 2\]: it looks like a detector"),
    ("doctr-det", RECOGNIZER, _as_it_is, r"looks like a recognizer, so import it with --kind doctr-rec"),
    ("paddle-det", DETECTOR, _take(["N", 1, "H", "W"]), r"input x of shape \[\?, 1, \?, \?\], but \[N, 3, H, W\]"),
    ("paddle-det", DETECTOR, _take(["N", 480, 480, 3]), r"x of shape \[\?, 480, 480, 3\], .*: give .* channels first"),
    ("paddle-det", DETECTOR, _take(["N", 3, "H"]), r"input x of shape \[\?, 3, \?\], but \[N, 3, H, W\]"),
    (
        "paddle-det",
        DETECTOR,
        _take(["N", 3, "H", "W"], TensorProto.FLOAT16),
        r"takes its input x as FLOAT16, but FLOAT is expected",
    ),
    ("paddle-det", DETECTOR, _take(["N", 3, 500, 500]), r"fixed to a multiple of 32"),
    ("paddle-det", DETECTOR, _take(["N", 3, 640, "W"]), r"both free, or both fixed"),
    (
        "paddle-det",
        DETECTOR,
        _without_sigmoid,
        r"returns values from -\S+ to \S+ in p2o\.Add\.281, but probabilities, 0 to 1, are expected",
    ),
    ("paddle-det", DETECTOR, _two_outputs, r"has 1 inputs \(x\) and 2 outputs \(sigmoid_0\.tmp_0, p2o\.Add\.281\)"),
    ("paddle-det", DETECTOR, _old, r"is of opset 9: export it anew with opset 11 or later"),
    ("paddle-det", DETECTOR, _foreign_operator, r"has the operators com\.microsoft\.Sigmoid, which are not of ONNX"),
    ("paddle-det", DETECTOR, _halved, r"makes half of shape \[2, 1, 240, 240\] out of pictures \[2, 3, 480, 480\]"),
    ("paddle-det", DETECTOR, _blind, r"gives drawn lines of text a probability of 0\.00"),
    ("paddle-det", DETECTOR, _no_numbers, r"returns values in spoilt that are no numbers"),
    ("paddle-rec", RECOGNIZER, _take(["N", 3, 64, "W"]), r"of shape \[\?, 3, 64, \?\], but \[N, 3, 48 or 32, W\]"),
    (
        "paddle-det",
        DETECTOR,
        _one_at_a_time,
        r"cannot be run by ONNX Runtime on its input x of shape \[2, 3, 480, 480\] \(.*: export it with a free first",
    ),
    (
        "paddle-rec",
        RECOGNIZER,
        _relu_last,
        r"returns rectified, .*: the recognizer's head ends in Relu \(rectified\), not in a linear layer",
    ),
    ("paddle-rec", RECOGNIZER, _steps_first, r"makes by_step of shape \[40, 2, 6625\] out of 2 lines"),
    (
        "doctr-rec",
        RECOGNIZER,
        _take(["N", 3, 48, "W"]),
        r"6625 classes in softmax_11\.tmp_0, .* 6624 characters are expected, but .* 6623",
    ),
    (
        "paddle-cls",
        CLASSIFIER,
        _take([-1, 3, 80, 192]),
        r"of shape \[\?, 3, 80, 192\], but \[N, 3, 48, 192\] or \[N, 3, 80, 160\] is expected",
    ),
    ("paddle-cls", CLASSIFIER, _swapped_sides, r"upright lines a mean probability of \S+ of being upside down"),
]


@pytest.mark.parametrize(("kind", "name", "change", "words"), WRONG)
def test_a_model_that_does_not_fit_is_refused_in_a_sentence_and_nothing_is_written(
    files: Path, tmp_path: Path, kind: str, name: str, change: _Change, words: str
) -> None:
    model = onnx.load(files / name)
    change(model)
    onnx.save(model, tmp_path / "wrong.onnx")

    with pytest.raises(LabelwireError, match=words) as refused:
        import_model(ModelKind(kind), tmp_path / "wrong.onnx", tmp_path / "out", ModelFacts())

    assert isinstance(refused.value, ModelImportError | GraphError | GoldenError)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (95, r"classes in softmax_11\.tmp_0, .* 6623 characters and the space, or 6624 characters are .* has 95"),
        (6625, r"its dictionary has 6625"),
    ],
)
def test_a_dictionary_of_another_length_is_refused(files: Path, tmp_path: Path, count: int, words: str) -> None:
    facts = ModelFacts(characters=tuple(map(chr, range(0x4E00, 0x4E00 + count))))

    with pytest.raises(ModelImportError, match=words):
        import_model(ModelKind.PADDLE_RECOGNIZER, files / RECOGNIZER, tmp_path, facts)


def test_a_dictionary_in_another_order_is_refused_for_what_it_reads(files: Path, tmp_path: Path) -> None:
    characters = characters_of(files / RECOGNIZER)
    facts = ModelFacts(characters=(*characters[1:], characters[0]))

    with pytest.raises(GoldenError, match=r"reads the drawn lines \['SHIP TO 1335 Halle', .*\] as \["):
        import_model(ModelKind.PADDLE_RECOGNIZER, files / RECOGNIZER, tmp_path, facts)

    assert list(tmp_path.iterdir()) == []


def test_a_line_of_ones_own_takes_the_place_of_drawn_ones(files: Path, tmp_path: Path) -> None:
    line = np.full((70, 420, 3), 200, dtype=np.uint8)
    cv2.putText(line, "0044 2288", (20, 50), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.imwrite(str(tmp_path / "line.png"), line)
    arguments = ["--kind", "paddle-rec", "--onnx", str(files / RECOGNIZER), "--picture", "line.png"]

    taken = labelwire("models", "import", *arguments, "--text", "0044 2288", cwd=tmp_path)
    refused = labelwire("models", "import", *arguments, "--text", "0044 2289", "--output", "other", cwd=tmp_path)
    alone = labelwire("models", "import", *arguments, cwd=tmp_path)

    assert (taken.returncode, refused.returncode, alone.returncode) == (0, 1, 1), taken.stderr
    assert "reads the given lines ['0044 2289'] as ['0044 2288']" in refused.stderr.replace("00442288", "0044 2288")
    assert alone.stderr == "a picture without its text is for a detector, not for a recognizer: give --text\n"
    assert not (tmp_path / "other").exists()


def test_a_picture_of_ones_own_takes_the_place_of_a_drawn_page(files: Path, label: Path, tmp_path: Path) -> None:
    """Drawn text is dark on light; this detector finds text on dark pages alone."""
    model = onnx.load(files / DETECTOR)
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.0, dtype=np.float32), "middle"))
    model.graph.node.extend(
        [
            helper.make_node("ReduceMean", [model.graph.input[0].name], ["mean"], keepdims=0),
            helper.make_node("Less", ["mean", "middle"], ["is_dark"]),
            helper.make_node("Cast", ["is_dark"], ["share"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [model.graph.output[0].name, "share"], ["of_dark_pages"]),
        ]
    )
    model.graph.output[0].CopyFrom(_tensor("of_dark_pages", ["N", 1, "H", "W"]))
    onnx.save(model, tmp_path / "dark.onnx")
    drawn = read_picture(label)
    paper = np.full((480, 640, 3), 20, dtype=np.uint8)

    with pytest.raises(GoldenError, match=r"or give a picture of what it finds text on with --picture"):
        import_model(ModelKind.PADDLE_DETECTOR, tmp_path / "dark.onnx", tmp_path / "out", ModelFacts())
    with pytest.raises(GoldenError, match=r"finds 0 regions of text on the given picture and takes 0% of it for text"):
        import_model(ModelKind.PADDLE_DETECTOR, tmp_path / "dark.onnx", tmp_path / "out", ModelFacts(page=paper))
    assert not (tmp_path / "out").exists()
    import_model(ModelKind.PADDLE_DETECTOR, tmp_path / "dark.onnx", tmp_path / "out", ModelFacts(page=255 - drawn))


def test_a_detector_that_calls_a_whole_picture_text_is_refused(files: Path, label: Path, tmp_path: Path) -> None:
    model = onnx.load(files / DETECTOR)
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.9, dtype=np.float32), "sure"))
    model.graph.node.append(helper.make_node("Max", [model.graph.output[0].name, "sure"], ["everywhere"]))
    model.graph.output[0].CopyFrom(_tensor("everywhere", ["N", 1, "H", "W"]))
    onnx.save(model, tmp_path / "everywhere.onnx")

    with pytest.raises(
        GoldenError, match=r"finds 1 regions .* takes 100% of it for text, but at least 1 and at most 50%"
    ):
        import_model(
            ModelKind.PADDLE_DETECTOR, tmp_path / "everywhere.onnx", tmp_path, ModelFacts(page=read_picture(label))
        )


def test_digits_alone_are_drawn_for_a_recognizer_that_knows_no_letters(files: Path, tmp_path: Path) -> None:
    unknown = iter(map(chr, range(0x20000, 0x2A000)))
    characters = [
        character if character in "0123456789" else next(unknown) for character in characters_of(files / RECOGNIZER)
    ]
    mistaken = [str((int(character) + 1) % 10) if character.isascii() else character for character in characters]

    with pytest.raises(GoldenError, match=r"lines \['1335', '12700', '2288', '0044'\]"):
        import_model(ModelKind.PADDLE_RECOGNIZER, files / RECOGNIZER, tmp_path, ModelFacts(characters=tuple(mistaken)))
    import_model(ModelKind.PADDLE_RECOGNIZER, files / RECOGNIZER, tmp_path, ModelFacts(characters=tuple(characters)))


def test_a_card_that_was_changed_to_nonsense_is_refused(paddle: dict[ModelRole, Path], tmp_path: Path) -> None:
    folder = paddle[ModelRole.RECOGNIZER]
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    card = card_of(folder)
    changed: list[tuple[dict[str, object], str]] = [
        ({"line": None}, r"the whole: Value error, a card of paddle-rec needs line"),
        ({"classes": ("a", "b")}, r"classes have 0 empty texts, but need one"),
        ({"classes": ("", "a", "b", "c", "d", "e")}, r"head has 6625 classes, but 6 are named"),
    ]
    for changes, words in changed:
        (tmp_path / "model.json").write_text(card.model_copy(update=changes).to_json(), encoding="utf-8")
        with pytest.raises(LabelwireError, match=words):
            build_repository(
                select_profile("onnx", device="cpu"), tmp_path / "built", sources={ModelRole.RECOGNIZER: tmp_path}
            )
        assert not (tmp_path / "built").exists()


def test_a_recognizer_without_characters_says_what_to_give(files: Path, tmp_path: Path) -> None:
    bare = own_models.without_metadata(files / RECOGNIZER, tmp_path / "bare.onnx")

    with pytest.raises(
        ModelImportError, match=r"bare\.onnx, given as paddle-rec, names no characters .*: give them by"
    ):
        import_model(ModelKind.PADDLE_RECOGNIZER, bare, tmp_path, ModelFacts())


def test_a_detector_takes_no_characters(files: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelImportError, match="a detector has no characters: leave out --dictionary"):
        import_model(ModelKind.PADDLE_DETECTOR, files / DETECTOR, tmp_path, ModelFacts(characters=("a",)))


def test_weights_in_other_files_are_refused(files: Path, tmp_path: Path) -> None:
    model = load_graph(files / RECOGNIZER)
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)

    with pytest.raises(ModelImportError, match=r"keeps \d+ weights in other files"):
        import_model(ModelKind.PADDLE_RECOGNIZER, tmp_path / "split.onnx", tmp_path / "out", ModelFacts())


@pytest.mark.parametrize("name", ["absent.onnx", "text.onnx"])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.onnx").write_text("no model")

    with pytest.raises(LabelwireError, match=rf"{name} (does not exist|is not an ONNX model)"):
        import_model(ModelKind.PADDLE_DETECTOR, tmp_path / name, tmp_path / "out", ModelFacts())


@pytest.mark.parametrize(
    ("read", "content", "words"),
    [
        (read_dictionary, b"a\n\nb\n", r"line 2 of .* is empty"),
        (read_dictionary, b"\xff\xfe", r"cannot be read as UTF-8"),
        (read_characters, b"a\nb\n", r"has 2 lines: write all characters in one row, or give it as --dictionary"),
        (read_characters, b"\n", r"has 0 lines"),
    ],
)
def test_a_file_of_characters_that_is_none_is_refused(
    tmp_path: Path, read: Callable[[Path], tuple[str, ...]], content: bytes, words: str
) -> None:
    path = tmp_path / "characters.txt"
    path.write_bytes(content)

    with pytest.raises(ModelImportError, match=words):
        read(path)


def test_a_file_of_characters_is_read_with_spaces_and_line_ends_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "characters.txt"
    path.write_bytes("\ufeffa\r\n \r\né\r\n".encode())

    assert read_dictionary(path) == ("a", " ", "é")


@pytest.mark.real
def test_the_commands_of_the_page_lead_from_onnx_files_to_text_in_the_result_topic(
    files: Path, label: Path, tmp_path: Path
) -> None:
    """PP-OCRv4's recognizer with v5's detector and classifier: any pairing works."""
    imports_and_builds, reads = (block for block in page_blocks() if block.startswith((".venv/", "eval ")))
    command = tmp_path / ".venv/bin/labelwire"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m worker "$@"\n')
    command.chmod(0o755)
    shutil.copy(own_models.pp_ocr_v5() / own_models.DETECTOR_V5, tmp_path / "my_detector.onnx")
    shutil.copy(own_models.pp_ocr_v5() / own_models.CLASSIFIER_V5, tmp_path / "my_classifier.onnx")
    own_models.without_metadata(files / RECOGNIZER, tmp_path / "my_recognizer.onnx")
    (tmp_path / "my_dictionary.txt").write_text("\n".join(characters_of(files / RECOGNIZER)), encoding="utf-8")
    picture = cv2.imread(str(label))
    assert picture is not None
    cv2.imwrite(str(tmp_path / "label.jpg"), picture)

    try:
        ended = subprocess.run(
            ["bash", "-e", "-c", f"{imports_and_builds}{reads}"],
            cwd=tmp_path,
            env={**os.environ, "LABELWIRE_HTTP__PORT": "0"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        labelwire("local", "down", cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    read = "".join(line.split("  ")[-1] for line in ended.stdout.splitlines())
    for word in ("SHIP", "20457", "Hamburg", "12.70"):
        assert word in read.replace(" ", "")


def test_the_page_says_which_commands_need_what_is_not_installed_here() -> None:
    others = [block for block in page_blocks() if not block.startswith((".venv/", "eval "))]

    assert [block.split()[0] for block in others] == ["python", "doctr/bin/python"]
