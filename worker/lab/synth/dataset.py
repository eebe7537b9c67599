"""Synthetic labels as values, and whole folders of them.

A label depends on its seed, index and options alone: the same ones give the same bytes on the same versions of the
libraries. What it says and how it is laid out does not depend on the degradation.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.domain.errors import LabelwireError
from worker.lab.synth import content
from worker.lab.synth.camera import CONDITIONS, Degradation, Homography, photograph, place_sheet
from worker.lab.synth.chance import Chance
from worker.lab.synth.draw import Sheet
from worker.lab.synth.factors import SINGLE_FACTORS, degraded
from worker.lab.synth.layouts import LAYOUTS, LabelLayout
from worker.lab.synth.theme import Theme
from worker.lab.synth.truth import Polygon, SyntheticLabel

Progress = Callable[[int, int], None]

_CLEAN_QUALITY: Final = 95
_LONG_SIDES: Final = (960.0, 1800.0)
_LARGE_LONG_SIDES: Final = (1900.0, 2600.0)
_LARGE_SHARE: Final = 0.12
CONTENT, LOOK, SCENE = range(3)


def generate(
    seed: int, index: int, *, degradation: Degradation = Degradation.MILD, layouts: Sequence[LabelLayout] = LAYOUTS
) -> SyntheticLabel:
    """Return label `index` of the series `seed`, as JPEG with its truth. Layouts take turns along the index.

    Raises `LabelwireError` if a font package is missing.
    """
    return _label(seed, index, layouts[index % len(layouts)], degradation)


def _label(seed: int, index: int, layout: LabelLayout, degradation: Degradation) -> SyntheticLabel:
    look = Chance(seed, index, LOOK)
    sides = _LARGE_LONG_SIDES if look.likely(_LARGE_SHARE) else _LONG_SIDES
    scale = max(layout.least_scale, look.between(*sides) / max(layout.width, layout.height))
    sheet = drawn(layout, scale, Chance(seed, index, CONTENT), look)
    pixels, homography, quality = _pictured(sheet, degradation, Chance(seed, index, SCENE))
    size = pixels.shape[1], pixels.shape[0]
    return pictured_label(sheet, size, homography, _jpeg(pixels, quality), layout.name, degradation.value)


def write_dataset(
    directory: Path,
    count: int,
    seed: int,
    *,
    degradation: Degradation | Sequence[Degradation] = Degradation.MILD,
    layouts: Sequence[LabelLayout] = LAYOUTS,
    progress: Progress | None = None,
) -> Path:
    """Write `images/000.jpg` and on, and last `truth.jsonl`, one JSON object a label; return the path of the truth.

    Several degradations take turns, and each gets every layout equally often. `progress` is called with the labels done
    and the labels to do, after each. Files of the same names are replaced.
    Raises `LabelwireError` if the count is under 1 or the directory cannot be written.
    """
    kinds = (degradation,) if isinstance(degradation, Degradation) else degradation
    labels = (
        _label(seed, index, layouts[index // len(kinds) % len(layouts)], kinds[index % len(kinds)])
        for index in range(count)
    )
    return write_labels(directory, labels, count, progress)


def write_labels(
    directory: Path, labels: Iterable[SyntheticLabel], count: int, progress: Progress | None = None
) -> Path:
    """Write `count` labels as `write_dataset` says, and return the path of the truth.

    Raises `LabelwireError` if the count is under 1 or the directory cannot be written.
    """
    if count < 1:
        raise LabelwireError(f"The number of labels is {count}; ask for at least 1.")
    try:
        (directory / "images").mkdir(parents=True, exist_ok=True)
        rows = []
        for index, label in enumerate(labels):
            name = f"images/{index:03d}.jpg"
            (directory / name).write_bytes(label.image)
            rows.append(json.dumps(truth_row(name, label), ensure_ascii=False))
            if progress is not None:
                progress(index + 1, count)
        truth = directory / "truth.jsonl"
        truth.write_text("\n".join(rows) + "\n", encoding="utf-8")
    except OSError as error:
        raise LabelwireError(
            f"The labels cannot be written to {directory} ({error.strerror}); choose a directory that can be written."
        ) from error
    return truth


def truth_row(name: str, label: SyntheticLabel) -> dict[str, Any]:
    """Return a label's truth as one line of `truth.jsonl` holds it; `name` is the picture's path beside that file."""
    return {
        "image": name,
        "sha256": hashlib.sha256(label.image).hexdigest(),
        "width": label.width,
        "height": label.height,
        "layout": label.layout,
        "degradation": label.degradation,
        "lines": [{"polygon": line.polygon, "text": line.text} for line in label.lines],
        "fields": [{"type": field.type.value, "value": field.value} for field in label.fields],
        "barcodes": [{"format": code.format, "value": code.value, "polygon": code.polygon} for code in label.barcodes],
    }


def drawn(layout: LabelLayout, scale: float, words: Chance, look: Chance) -> Sheet:
    """Return a sheet of `scale` pixels a dot: what it says is drawn from `words`, how it looks from `look`."""
    sheet = Sheet(layout.width, layout.height, scale)
    layout.draw(sheet, content.consignment(words, layout.directory), Theme.drawn(look, layout.families), look)
    return sheet


def pictured_label(
    sheet: Sheet, size: tuple[int, int], homography: Homography, image: bytes, layout: str, degradation: str
) -> SyntheticLabel:
    """Return the label of a sheet in a picture: `size` is its width and height, the map goes from the sheet to it."""
    width, height = size
    return SyntheticLabel(
        image=image,
        width=width,
        height=height,
        layout=layout,
        degradation=degradation,
        lines=tuple(replace(line, polygon=_moved(line.polygon, homography)) for line in sheet.lines),
        fields=tuple(sheet.fields),
        barcodes=tuple(replace(code, polygon=_moved(code.polygon, homography)) for code in sheet.barcodes),
    )


def _pictured(sheet: Sheet, degradation: Degradation, scene: Chance) -> tuple[NDArray[np.uint8], Homography, int]:
    """Return the pixels of the picture, the map from the sheet to it, and the JPEG quality."""
    if degradation is Degradation.NONE:
        return sheet.pixels, Homography(np.eye(3)), _CLEAN_QUALITY
    if degradation in SINGLE_FACTORS:
        return degraded(sheet.pixels, degradation, sheet.scale, scene)
    conditions = CONDITIONS[degradation]
    height, width = sheet.pixels.shape[:2]
    placement = place_sheet(width, height, conditions, scene)
    pixels = photograph(sheet.pixels, placement, conditions, scene)
    return pixels, placement.homography, round(scene.between(*conditions.jpeg_quality))


def _moved(polygon: Polygon, homography: Homography) -> Polygon:
    """Return the polygon in the picture, to a tenth of a pixel."""
    first, second, third, fourth = np.round(homography.apply(np.array(polygon)), 1).tolist()
    return (tuple(first), tuple(second), tuple(third), tuple(fourth))


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()
