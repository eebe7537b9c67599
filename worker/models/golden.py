"""Drawn pictures that every OCR model of its family reads: what an imported model has to show before it is taken.

Invariant: the same pictures at each run, and nothing of anybody's. They are run through the rewritten graph, so that
normalization, channels, sizes and dictionary are shown to be right together. Each text holds a character twice in a
row: a recognizer that is not decoded by CTC loses one of them.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from worker.domain.errors import LabelwireError
from worker.domain.geometry import Transform
from worker.domain.image import ProbabilityMap
from worker.domain.manifest import DetectionThresholds
from worker.models.model_card import LINE_HEIGHT_PIXELS, LineFormat
from worker.models.rewriting import PAD_VALUE
from worker.pipeline.detect.regions import find_regions, text_mask
from worker.pipeline.detect.tile import scaled
from worker.pipeline.recognize.ctc import decode_ctc

Pixels = NDArray[np.uint8]

_TEXTS: Final = ("SHIP TO 1335 Halle", "Weight 12.700 kg", "HAMM 2288", "Otto 0044")
_WORDS: Final = ("Halle", "1335", "HAMM", "2288")  # for recognizers of one width, which read words
_MIN_CHARACTERS: Final = 3
_FONT_PIXELS: Final = 34
_MARGIN_PIXELS: Final = 8
_PAPER, _INK = 240, 20
_WIDEST_PIXELS: Final = 1280
_LINES_EVERY_PIXELS: Final = 96
_MAX_TEXT_SHARE: Final = 0.5  # of a given picture
_MAX_ON_PAPER: Final = 0.1  # mean probability of text where there is none


@dataclass(frozen=True, slots=True)
class GoldenLine:
    """A line cut out of a picture, UINT8 [H, W, 3] (BGR), and its text."""

    pixels: Pixels
    text: str


class GoldenError(LabelwireError):
    """A model does not read what every model of its kind reads."""


@dataclass(frozen=True, slots=True)
class _Band:
    """The middle of a drawn line, in pixels: rows and columns that every detector calls text."""

    rows: slice
    columns: slice


def session(model: onnx.ModelProto) -> Any:  # noqa: ANN401  onnxruntime ships no types
    """Return an ONNX Runtime session of a graph, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def check_detector(model: onnx.ModelProto, tile: tuple[int, int], min_probability: float) -> None:
    """Raise GoldenError if a rewritten detector does not find drawn lines on a page of (height, width) in pixels."""
    page, bands = _draw_page(*tile)
    (probability,) = session(model).run(None, {"image": np.stack([page, page[::-1]])})
    found = probability[0].astype(np.float32) / 255
    on_text = [float(found[band.rows, band.columns].mean()) for band in bands]
    on_paper = float(found[-_LINES_EVERY_PIXELS // 2 :].mean())
    if min(on_text) < min_probability or on_paper > _MAX_ON_PAPER:
        raise GoldenError(
            f"the detector gives drawn lines of text a probability of {min(on_text):.2f} and empty paper one of "
            f"{on_paper:.2f}, but at least {min_probability:.2f} and at most {_MAX_ON_PAPER:.2f} are expected: check "
            "that --kind names its family, or give a picture of what it finds text on with --picture"
        )


def check_detector_on(
    model: onnx.ModelProto, size: tuple[int, int], picture: Pixels, thresholds: DetectionThresholds
) -> None:
    """Raise GoldenError if a rewritten detector finds no region of text on a picture, or takes half of it for text.

    The picture, UINT8 [H, W, 3] (BGR), is shrunk to (height, width) in pixels if it is larger, and padded.
    """
    scale = min(1.0, size[0] / picture.shape[0], size[1] / picture.shape[1])
    width, height = (max(1, round(side * scale)) for side in picture.shape[1::-1])
    page = np.full((*size, 3), PAD_VALUE, dtype=np.uint8)
    page[:height, :width] = scaled(picture, width, height)
    (probability,) = session(model).run(None, {"image": page[None]})
    found = ProbabilityMap(probability[0, :height, :width], Transform.identity())
    regions = find_regions(found, thresholds)
    share = float(text_mask(found.values, thresholds).mean())
    if not regions or share > _MAX_TEXT_SHARE:
        raise GoldenError(
            f"the detector finds {len(regions)} regions of text on the given picture and takes {share:.0%} of it for "
            f"text, but at least 1 and at most {_MAX_TEXT_SHARE:.0%} are expected: check that --kind names its family, "
            "and give a picture with text"
        )


def check_recognizer(
    model: onnx.ModelProto,
    dictionary: Sequence[str],
    line: LineFormat,
    pad_value: int,
    golden: GoldenLine | None = None,
) -> None:
    """Raise GoldenError if a rewritten recognizer, `dictionary` in its classes' order, does not read lines.

    More than half of the drawn ones must come out, whatever the case and spaces; characters that the dictionary lacks
    are not drawn. If `golden` is given, it takes the place of what is drawn.
    """
    texts, pictures = _drawn(dictionary, line, pad_value) if golden is None else _given(golden, line, pad_value)
    runner = session(model)
    read = [text for picture in pictures for text in _read(runner, [picture], dictionary)]
    right = sum(_plain(one) == _plain(other) for one, other in zip(read, texts, strict=True))
    if 2 * right <= len(texts):
        raise GoldenError(
            f"the recognizer reads the {'drawn' if golden is None else 'given'} lines {texts} as {read}: give the "
            "dictionary in the order that it was trained with, and a recognizer that is decoded by CTC; if it reads "
            "other print, give a line of that with --picture and --text"
        )
    _check_batch(runner, pictures, dictionary, read[0])


def _given(golden: GoldenLine, line: LineFormat, pad_value: int) -> tuple[list[str], list[Pixels]]:
    height, width = golden.pixels.shape[:2]
    widest = line.served_width or _WIDEST_PIXELS
    size = (min(widest, max(1, round(width * LINE_HEIGHT_PIXELS / height))), LINE_HEIGHT_PIXELS)
    shrunk = np.asarray(cv2.resize(golden.pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return [golden.text], [_padded(shrunk, line, pad_value)]


def _drawn(dictionary: Sequence[str], line: LineFormat, pad_value: int) -> tuple[list[str], list[Pixels]]:
    known = set(dictionary)
    texts = [_known_part(text, known) for text in _texts(line)]
    texts = [text for text in texts if len(text.replace(" ", "")) >= _MIN_CHARACTERS]
    if not texts:
        raise GoldenError(
            f"the dictionary of {len(dictionary)} classes has no letters and digits of which a line could be drawn "
            f"({' '.join(dictionary[1:11])} …): give a line that it reads with --picture and --text"
        )
    return texts, [_draw_line(text, line, pad_value) for text in texts]


def check_orientation(model: onnx.ModelProto) -> None:
    """Raise GoldenError if a rewritten classifier does not tell drawn lines from the same upside down."""
    lines = [_draw_line(text, LineFormat(), _PAPER) for text in _TEXTS]
    runner = session(model)
    upright, turned = (
        [float(runner.run(None, {"line": np.ascontiguousarray(line)[None]})[0][0, 0]) for line in side]
        for side in (lines, [line[::-1, ::-1] for line in lines])
    )
    if np.mean(upright) > 0.5 or np.mean(turned) < 0.5:  # noqa: PLR2004  as likely as not
        raise GoldenError(
            f"the classifier gives upright lines a mean probability of {np.mean(upright):.2f} of being upside down and "
            f"turned ones {np.mean(turned):.2f}: give one whose classes are 0° and 180°, in this order"
        )


def _texts(line: LineFormat) -> Sequence[str]:
    return _TEXTS if line.width is None else _WORDS


def _known_part(text: str, known: Collection[str]) -> str:
    """Return a text without the characters that a dictionary lacks; words stay apart."""
    kept = "".join(character for character in text if character in known or character == " ")
    return " ".join(kept.split())


def _plain(text: str) -> str:
    return text.replace(" ", "").casefold()


def _read(runner: Any, pictures: Sequence[Pixels], dictionary: Sequence[str]) -> Iterator[str]:  # noqa: ANN401
    upright = np.zeros((len(pictures), 1), dtype=np.float32)
    token, confidence = runner.run(["token", "confidence"], {"line": np.stack(pictures), "upside_down": upright})
    for spelling in decode_ctc(token, confidence, dictionary):
        yield spelling.text


def _check_batch(runner: Any, pictures: Sequence[Pixels], dictionary: Sequence[str], alone: str) -> None:  # noqa: ANN401
    """Raise GoldenError if a line reads otherwise beside another one: servers batch."""
    first = pictures[0]
    text, _ = _read(runner, [first, np.ascontiguousarray(first[:, ::-1])], dictionary)
    if text != alone:
        raise GoldenError(
            f"the recognizer reads a drawn line as {alone!r} alone and as {text!r} in a batch of 2: export it with a "
            "free first dimension"
        )


def _draw_line(text: str, line: LineFormat, pad_value: int) -> Pixels:
    """Return a line UINT8 [48, W, 3], padded on the right to a width that the recognizer takes."""
    font = ImageFont.load_default(_FONT_PIXELS)
    width = round(font.getlength(text)) + 2 * _MARGIN_PIXELS
    drawn = Image.new("RGB", (width, LINE_HEIGHT_PIXELS), (_PAPER,) * 3)
    ImageDraw.Draw(drawn).text((_MARGIN_PIXELS, LINE_HEIGHT_PIXELS / 2), text, (_INK,) * 3, font, anchor="lm")
    return _padded(np.asarray(drawn, dtype=np.uint8), line, pad_value)


def _padded(drawn: Pixels, line: LineFormat, pad_value: int) -> Pixels:
    bucket = line.served_width or -(-drawn.shape[1] // line.served_step) * line.served_step
    pixels = np.full((LINE_HEIGHT_PIXELS, bucket, 3), pad_value, dtype=np.uint8)
    shown = drawn[:, :bucket]
    pixels[:, : shown.shape[1]] = shown
    return pixels


def _draw_page(height: int, width: int) -> tuple[Pixels, list[_Band]]:
    """Return a page UINT8 [H, W, 3], its lower end empty, and where its lines lie."""
    font = ImageFont.load_default(_FONT_PIXELS)
    page = Image.new("RGB", (width, height), (_PAPER,) * 3)
    draw = ImageDraw.Draw(page)
    bands = []
    for index, middle in enumerate(range(_LINES_EVERY_PIXELS // 2, height - _LINES_EVERY_PIXELS, _LINES_EVERY_PIXELS)):
        text = _TEXTS[index % len(_TEXTS)].split(" ")[0]
        draw.text((_LINES_EVERY_PIXELS // 3, middle), text, (_INK,) * 3, font, anchor="lm")
        left, top, right, bottom = draw.textbbox((_LINES_EVERY_PIXELS // 3, middle), text, font, anchor="lm")
        quarters = (bottom - top) / 4, (right - left) / 4
        bands.append(
            _Band(
                slice(round(top + quarters[0]), round(bottom - quarters[0])),
                slice(round(left + quarters[1]), round(right - quarters[1])),
            )
        )
    return np.asarray(page, dtype=np.uint8).copy(), bands
