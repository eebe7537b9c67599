"""Taking a deployment's own ONNX file: checked, run once on drawn text, and written with a card.

Invariant: a folder of an import holds a model that was seen to work, whole; what does not fit its family is refused
with one sentence, and then nothing is written. The file's bytes stay as they are.

Facts of the families: PaddleOCR trains detectors on BGR pixels normalized by ImageNet's mean and deviation, and
recognizers and classifiers by 0.5; the CTC blank comes first. docTR, and OnnxTR which runs its exports, take RGB pixels
with means of their own, pad lines with black, return logits, and have the blank last.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.external_data_helper import uses_external_data

from worker.domain.errors import LabelwireError
from worker.domain.manifest import DetectionThresholds, ModelRole
from worker.models.detector import rewrite_detector
from worker.models.golden import (
    GoldenLine,
    Pixels,
    check_detector,
    check_detector_on,
    check_orientation,
    check_recognizer,
    session,
)
from worker.models.model_card import (
    CARD_FILE,
    GRAPH_FILE,
    LINE_HEIGHT_PIXELS,
    LineFormat,
    ModelCard,
    ModelKind,
    Normalization,
)
from worker.models.orientation import WIDTH_PIXELS, rewrite_orientation
from worker.models.recognizer import class_count, recognizer_characters, rewrite_recognizer
from worker.models.rewriting import GraphError, load_graph
from worker.models.source import file_digest

_CHANNELS: Final = 3
_TILE_STEP_PIXELS: Final = 32
_PAGE_PIXELS: Final = (480, 480)
_SIDES: Final = 2
_MAP_RANK, _STEPS_RANK, _SIDES_RANK = 4, 3, 2
_PROBED_WIDTHS: Final = (320, 640)
_LINE_HEIGHTS: Final = (48, 32)
_BATCH: Final = 2
_WHOLE_LINE: Final = (80, 160)  # height and width that PP-LCNet_*_textline_ori sees every line in, in pixels

_IMAGENET: Final = Normalization(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))
_WHOLE_LINES: Final = Normalization(channels="rgb", mean=_IMAGENET.mean, deviation=_IMAGENET.deviation)
_DOCTR_PAGES: Final = Normalization(channels="rgb", mean=(0.798, 0.785, 0.772), deviation=(0.264, 0.2749, 0.287))
_DOCTR_LINES: Final = Normalization(channels="rgb", mean=(0.694, 0.695, 0.693), deviation=(0.299, 0.296, 0.301))
_NORMALIZATIONS: Final = {
    ModelKind.PADDLE_DETECTOR: _IMAGENET,
    ModelKind.PADDLE_RECOGNIZER: Normalization(),
    ModelKind.PADDLE_CLASSIFIER: Normalization(),
    ModelKind.DOCTR_DETECTOR: _DOCTR_PAGES,
    ModelKind.ONNXTR_DETECTOR: _DOCTR_PAGES,
    ModelKind.DOCTR_RECOGNIZER: _DOCTR_LINES,
    ModelKind.ONNXTR_RECOGNIZER: _DOCTR_LINES,
}
_PADDLE_DETECTION: Final = DetectionThresholds(
    binarize=0.3, box_score=0.6, unclip_ratio=1.5, dilate=False, min_side_pixels=3
)
_DOCTR_DETECTION: Final = DetectionThresholds(
    binarize=0.3, box_score=0.1, unclip_ratio=1.5, dilate=False, min_side_pixels=3
)
_WHAT_IT_IS: Final = {
    ModelRole.DETECTOR: "a detector's is [N, 1, H, W]",
    ModelRole.RECOGNIZER: "a recognizer's is [N, T, classes]",
    ModelRole.ORIENTATION: "a classifier's is [N, 2]",
}
_RANKS: Final = {
    ModelRole.DETECTOR: _MAP_RANK,
    ModelRole.RECOGNIZER: _STEPS_RANK,
    ModelRole.ORIENTATION: _SIDES_RANK,
}
_NAMES: Final = {
    ModelRole.DETECTOR: "a detector",
    ModelRole.RECOGNIZER: "a recognizer",
    ModelRole.ORIENTATION: "an orientation classifier",
}

_Dims = Sequence[int | None]


class ModelImportError(LabelwireError):
    """An ONNX file does not fit the family that it is said to be of."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What only the owner of a model can tell: where it comes from, its license, and its characters in order.

    `characters` are without blank, in the order of the head's classes; None if the file's own metadata name them.
    `golden` is a line that a recognizer reads, and `page` a picture that a detector finds text on, UINT8 [H, W, 3]
    (BGR), where what is drawn is not their print.
    """

    origin: str | None = None
    license: str = "unknown"
    characters: tuple[str, ...] | None = None
    golden: GoldenLine | None = None
    page: Pixels | None = None


def import_model(kind: ModelKind, onnx_file: Path, output: Path, facts: ModelFacts) -> Path:
    """Check an ONNX file, run it on drawn text, and write it with its card to `output`/<role>, which is returned.

    An imported model that is there is replaced. Raises GraphError if the file is no graph that can be served,
    ModelImportError if it does not fit `kind`, GoldenError if it does not read what was drawn.
    """
    if not onnx_file.is_file():
        raise ModelImportError(f"the ONNX file {onnx_file} does not exist: give the path of a file")
    _check_self_contained(onnx_file)
    candidate = _Candidate(kind, onnx_file, load_graph(onnx_file))
    candidate.check_signature()
    if facts.characters is not None and kind.role is not ModelRole.RECOGNIZER:
        raise ModelImportError(f"{_NAMES[kind.role]} has no characters: leave out --dictionary and --characters")
    if facts.golden is not None and kind.role is not ModelRole.RECOGNIZER:
        raise ModelImportError(f"{_NAMES[kind.role]} reads no line: leave out --text")
    if facts.page is not None and kind.role is not ModelRole.DETECTOR:
        raise ModelImportError(
            f"a picture without its text is for a detector, not for {_NAMES[kind.role]}: give --text"
        )
    describe: Callable[[ModelFacts], ModelCard] = {
        ModelRole.DETECTOR: candidate.describe_detector,
        ModelRole.ORIENTATION: candidate.describe_orientation,
        ModelRole.RECOGNIZER: candidate.describe_recognizer,
    }[kind.role]
    return _write(describe(facts), onnx_file, output.absolute() / kind.role)


def read_dictionary(path: Path) -> tuple[str, ...]:
    """Return the characters of a PaddleOCR dictionary: one a line, UTF-8. Raises ModelImportError."""
    characters = _text(path).replace("\r\n", "\n").removesuffix("\n").split("\n")
    if "" in characters:
        raise ModelImportError(f"line {characters.index('') + 1} of {path} is empty: write one character on each line")
    return tuple(characters)


def read_characters(path: Path) -> tuple[str, ...]:
    """Return the characters of a file of one row of them, UTF-8, as docTR's vocabularies. Raises ModelImportError."""
    text = _text(path).strip("\r\n")
    if not text or "\n" in text:
        raise ModelImportError(
            f"{path} has {len(text.splitlines())} lines: write all characters in one row, or give it as --dictionary"
        )
    return tuple(text)


def read_picture(picture: Path) -> Pixels:
    """Return the pixels of a picture, UINT8 [H, W, 3] (BGR). Raises ModelImportError if it is none."""
    pixels = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ModelImportError(f"{picture} cannot be read as a picture: give a JPEG or PNG")
    return np.asarray(pixels, dtype=np.uint8)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelImportError(f"{path} cannot be read as UTF-8 text ({error}): give another file") from error


def _check_self_contained(path: Path) -> None:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf and onnx share no base class
        raise GraphError(f"{path} is not an ONNX model ({error}): give an ONNX file") from error
    outside = [tensor.name for tensor in model.graph.initializer if uses_external_data(tensor)]
    if outside:
        raise ModelImportError(
            f"{path} keeps {len(outside)} weights in other files ({outside[0]} …): save it as one file, with onnx.save"
        )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A graph that is to be taken as a member of a family."""

    kind: ModelKind
    path: Path
    model: onnx.ModelProto

    @property
    def _input_dims(self) -> _Dims:
        return _dims(self.model.graph.input[0])

    def check_signature(self) -> None:
        """Refuse other pixels than FP32 [N, 3, H, W] in, and the output of another role."""
        tensor = self.model.graph.input[0]
        dims = self._input_dims
        element_type = tensor.type.tensor_type.elem_type
        if element_type != TensorProto.FLOAT:
            raise self._refusal(
                f"takes its input {tensor.name} as {TensorProto.DataType.Name(element_type)}, but FLOAT is expected: "
                "export it in FP32"
            )
        if len(dims) != _MAP_RANK or dims[1] not in (None, _CHANNELS):
            raise self._refusal(
                f"has the input {tensor.name} of shape {_shown(dims)}, but [N, 3, H, W] is expected: give a model of "
                "color pictures, channels first"
            )
        output = self.model.graph.output[0]
        if _dims(output):  # Paddle2ONNX 2 leaves it empty
            self._check_role(output.name, _dims(output))

    def describe_detector(self, facts: ModelFacts) -> ModelCard:
        """Return the card of a detector that finds drawn lines."""
        height, width = self._input_dims[2:]
        tile = None if height is None or width is None else (height, width)
        if (height is None) != (width is None) or any(side % _TILE_STEP_PIXELS for side in tile or ()):
            raise self._refusal(
                f"has the input {self.model.graph.input[0].name} of shape {_shown(self._input_dims)}, but height and "
                f"width are expected both free, or both fixed to a multiple of {_TILE_STEP_PIXELS}: export it so"
            )
        size = tile or _PAGE_PIXELS
        found = self._run(*size)
        if found.shape != (_BATCH, 1, *size):
            raise self._refusal(
                f"makes {self._output} of shape {list(found.shape)} out of pictures [{_BATCH}, 3, "
                f"{size[0]}, {size[1]}], but [{_BATCH}, 1, {size[0]}, {size[1]}] is expected: "
                "give a detector whose map is as large as its picture"
            )
        returns_logits = bool(found.min() < 0 or found.max() > 1)
        is_paddle = self.kind is ModelKind.PADDLE_DETECTOR
        if returns_logits and is_paddle:
            raise self._refusal(
                f"returns values from {found.min():.3g} to {found.max():.3g} in {self._output}, but probabilities, 0 "
                "to 1, are expected: export it with its sigmoid"
            )
        card = self._card(
            facts,
            detection=_PADDLE_DETECTION if is_paddle else _DOCTR_DETECTION,
            tile=tile,
            returns_logits=returns_logits,
        )
        graph = rewrite_detector(self._copy(), card.normalization, returns_logits=returns_logits, tile=tile)
        thresholds = card.detection or _PADDLE_DETECTION
        if facts.page is None:
            check_detector(graph, size, thresholds.binarize)
        else:
            check_detector_on(graph, size, facts.page, thresholds)
        return card

    def describe_orientation(self, facts: ModelFacts) -> ModelCard:
        """Return the card of a classifier that tells drawn lines from the same upside down."""
        height, width = self._input_dims[2:]
        whole_line = _WHOLE_LINE if (height, width) == _WHOLE_LINE else None
        if whole_line is None:
            self._check_size((LINE_HEIGHT_PIXELS,), WIDTH_PIXELS, f" or [N, 3, {_WHOLE_LINE[0]}, {_WHOLE_LINE[1]}]")
        found = self._run(*(whole_line or (LINE_HEIGHT_PIXELS, WIDTH_PIXELS)))
        if found.shape != (_BATCH, _SIDES):
            raise self._refusal(
                f"makes {self._output} of shape {list(found.shape)}, but [{_BATCH}, 2] is expected: {self._advice}"
            )
        returns_logits = not np.allclose(found.sum(axis=1), 1, atol=1e-3) or bool(found.min() < 0)
        card = self._card(facts, whole_line=whole_line, returns_logits=returns_logits)
        if whole_line is not None:
            card = card.model_copy(update={"normalization": _WHOLE_LINES})
        graph = rewrite_orientation(
            self._copy(), card.normalization, whole_line=whole_line, returns_logits=returns_logits
        )
        check_orientation(graph)
        return card

    def describe_recognizer(self, facts: ModelFacts) -> ModelCard:
        """Return the card of a recognizer that reads drawn lines."""
        line = self._line_format()
        count = self._class_count()
        is_paddle = self.kind is ModelKind.PADDLE_RECOGNIZER
        card = self._card(
            facts,
            line=line,
            classes=self._classes(facts, count),
            pad_value=127 if is_paddle else 0,
        )
        order = card.class_order
        labels = card.classes or ()
        graph = rewrite_recognizer(self._copy(), order, labels=labels, normalization=card.normalization, line=line)
        check_recognizer(graph, [labels[index] for index in order], line, card.pad_value, facts.golden)
        return card

    def _class_count(self) -> int:
        try:
            return class_count(self._copy())
        except GraphError as error:
            raise self._refusal(f"returns {self._output}, whose classes cannot be told: {error}") from error

    def _line_format(self) -> LineFormat:
        """Return height, width and stride, which are found by running the graph."""
        is_paddle = self.kind is ModelKind.PADDLE_RECOGNIZER
        self._check_size(_LINE_HEIGHTS, None)
        fixed_height, fixed_width = self._input_dims[2:]
        height = fixed_height or (LINE_HEIGHT_PIXELS if is_paddle else _LINE_HEIGHTS[1])
        widths = _PROBED_WIDTHS if fixed_width is None else (fixed_width,)
        found = [self._run(height, width) for width in widths]
        for width, steps in zip(widths, found, strict=True):
            if steps.ndim != _STEPS_RANK or len(steps) != _BATCH:
                self._check_role(self._output, steps.shape)
                raise self._refusal(
                    f"makes {self._output} of shape {list(steps.shape)} out of {_BATCH} lines, but [{_BATCH}, T, "
                    "classes] is expected: export it with a free first dimension, batch first"
                )
            if width % steps.shape[1] or width // steps.shape[1] != widths[0] // found[0].shape[1]:
                raise self._refusal(
                    f"makes {steps.shape[1]} steps in {self._output} out of a line {width} pixels wide, but one step "
                    "for a fixed number of pixels is expected: give a recognizer that is decoded by CTC"
                )
        stride = widths[0] // found[0].shape[1]
        in_served = stride * LINE_HEIGHT_PIXELS / height, (fixed_width or 0) * LINE_HEIGHT_PIXELS / height
        if not all(pixels.is_integer() for pixels in in_served):
            raise self._refusal(
                f"makes a step of {self._output} every {stride} pixels of lines {height} high, which are no whole "
                f"pixels of lines {LINE_HEIGHT_PIXELS} high: give a recognizer of another stride"
            )
        return LineFormat(height=height, width=fixed_width, stride=stride)

    def _classes(self, facts: ModelFacts, count: int) -> tuple[str, ...]:
        """Return what the head's classes stand for, in its order, the blank as an empty text."""
        characters = facts.characters or self._named_characters()
        known = len(characters)
        if self.kind is not ModelKind.PADDLE_RECOGNIZER:
            if count == known + 1:
                return (*characters, "")
            wanted = f"{count - 1} characters"
        elif count in {known + 1, known + 2}:
            # PaddleOCR adds the space behind the dictionary where it is trained with use_space_char.
            return ("", *characters) if count == known + 1 else ("", *characters, " ")
        else:
            wanted = f"{count - 2} characters and the space, or {count - 1} characters"
        raise self._refusal(
            f"has {count} classes in {self._output}, so beside the blank {wanted} are expected, but its dictionary has "
            f"{known}: give the one that it was trained with by --dictionary or --characters"
        )

    def _named_characters(self) -> tuple[str, ...]:
        try:
            return recognizer_characters(self.model)
        except GraphError as error:
            raise self._refusal(
                "names no characters in its metadata ('character'): give them by --dictionary or --characters"
            ) from error

    def _card(self, facts: ModelFacts, **particular: Any) -> ModelCard:  # noqa: ANN401  the card validates
        return ModelCard(
            kind=self.kind,
            sha256=file_digest(self.path),
            origin=facts.origin or self.path.name,
            license=facts.license,
            normalization=_NORMALIZATIONS[self.kind],
            **particular,
        )

    def _check_size(self, heights: Sequence[int], width: int | None, others: str = "") -> None:
        dims = self._input_dims
        if dims[2] not in (None, *heights) or (width is not None and dims[3] not in (None, width)):
            wanted = f"[N, 3, {' or '.join(map(str, heights))}, {width or 'W'}]{others}"
            raise self._refusal(
                f"has the input {self.model.graph.input[0].name} of shape {_shown(dims)}, but {wanted} is expected: "
                "give a model of such lines, or export it with free sizes"
            )

    def _check_role(self, output: str, dims: Sequence[int | None]) -> None:
        """Refuse the output of another role, and say whose it is."""
        role = self.kind.role
        fits = len(dims) == _RANKS[role]
        if role is ModelRole.DETECTOR:
            fits = fits and dims[1] in (None, 1)
        elif role is ModelRole.ORIENTATION:
            fits = fits and dims[1] in (None, _SIDES)
        if not fits:
            raise self._refusal(
                f"has the output {output} of shape {_shown(dims)}, but {_WHAT_IT_IS[role]}: {self._advice_for(dims)}"
            )

    def _advice_for(self, dims: Sequence[int | None]) -> str:
        looks_like = [role for role, rank in _RANKS.items() if len(dims) == rank and role is not self.kind.role]
        if not looks_like:
            return self._advice
        family = self.kind.value.partition("-")[0]
        kinds = [kind for kind in ModelKind if kind.role is looks_like[0] and kind.value.startswith(family)]
        return f"it looks like {_NAMES[looks_like[0]]}" + (f", so import it with --kind {kinds[0]}" if kinds else "")

    @property
    def _advice(self) -> str:
        return f"give {_NAMES[self.kind.role]} or another --kind"

    @property
    def _output(self) -> str:
        return str(self.model.graph.output[0].name)

    def _run(self, height: int, width: int) -> NDArray[np.float32]:
        """Return what the original makes of two normalized pictures of noise."""
        noise = np.random.default_rng(0).uniform(-1, 1, (_BATCH, _CHANNELS, height, width)).astype(np.float32)
        model = self._copy()
        _free_batch(model)
        try:
            found: NDArray[np.float32] = session(model).run(None, {model.graph.input[0].name: noise})[0]
        except Exception as error:  # onnxruntime's errors share no base class
            raise self._refusal(
                f"cannot be run by ONNX Runtime on its input {model.graph.input[0].name} of shape {list(noise.shape)} "
                f"({_first_line(error)}): export it with a free first dimension, for such pictures"
            ) from error
        if not np.isfinite(found).all():
            raise self._refusal(
                f"returns values in {self._output} that are no numbers (NaN or infinite): export it in FP32"
            )
        return found

    def _copy(self) -> onnx.ModelProto:
        """Return a copy: what rewrites a graph changes it."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        return copy

    def _refusal(self, words: str) -> ModelImportError:
        return ModelImportError(f"{self.path}, given as {self.kind}, {words}")


def _dims(tensor: onnx.ValueInfoProto) -> _Dims:
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
        for dim in tensor.type.tensor_type.shape.dim
    ]


def _shown(dims: _Dims) -> str:
    return f"[{', '.join('?' if dim is None else str(dim) for dim in dims)}]"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _free_batch(model: onnx.ModelProto) -> None:
    """Let the graph say nothing of how many pictures it takes; whether it takes two is seen when it runs."""
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    first.ClearField("dim_value")
    first.dim_param = "N"
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.graph.ClearField("value_info")


def _write(card: ModelCard, onnx_file: Path, folder: Path) -> Path:
    """Write graph and card beside the folder, then put them in its place."""
    if folder.exists() and not (folder / CARD_FILE).is_file():
        raise ModelImportError(
            f"{folder} holds something that is no imported model: give another --output or remove it"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        new, old = work / "new", work / "old"
        new.mkdir()
        shutil.copyfile(onnx_file, new / GRAPH_FILE)
        if file_digest(new / GRAPH_FILE) != card.sha256:
            raise ModelImportError(f"{onnx_file} changed while it was read: import it again")
        (new / CARD_FILE).write_text(card.to_json(), encoding="utf-8")
        if folder.exists():
            folder.replace(old)
        new.replace(folder)
    finally:
        shutil.rmtree(work)
    return folder
