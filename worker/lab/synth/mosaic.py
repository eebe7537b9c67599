"""Huge pictures with exact truth, made of the pictures of a dataset, to show that size does not matter to the reading.

A mosaic is full of pictures; a sparse one has few pieces of text on a large ground. Pictures are pasted as they are,
pixel by pixel, so that what is read of a mosaic can be compared with what is read of its pictures one by one.
Invariant: no two pasted pieces overlap, and a line of the truth lies whole within its piece. The pixels lie in a file
while they are pasted, so that memory holds little more than one piece.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pyvips
from numpy.typing import NDArray

from worker.domain.errors import LabelwireError
from worker.lab.synth.chance import Chance
from worker.lab.synth.truth import Corner

Progress = Callable[[int, int], None]

_QUALITY: Final = 92
_GAP_PIXELS: Final = 24
_GROUND: Final = 214
_GRAIN: Final = 1.2
_ROWS_AT_ONCE: Final = 256
_PIECE_SIDE: Final = 960
_MIN_LINES: Final = 5
_PLACES_TRIED: Final = 4000


@dataclass(frozen=True, slots=True)
class MosaicPiece:
    """A rectangle of a source picture and where its left upper corner lies in the mosaic; all in pixels."""

    row: Mapping[str, Any]
    source: tuple[int, int, int, int]
    left: int
    top: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.source[2] - self.source[0], self.source[3] - self.source[1]

    def overlaps(self, other: "MosaicPiece", gap: int) -> bool:
        """Return whether two pieces come nearer than the gap."""
        (width, height), (wide, high) = self.size, other.size
        apart = (
            self.left + width + gap <= other.left
            or other.left + wide + gap <= self.left
            or self.top + height + gap <= other.top
            or other.top + high + gap <= self.top
        )
        return not apart

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the truth's lines that lie whole in the rectangle, where they lie in the mosaic."""
        x0, y0, x1, y1 = self.source
        for line in self.row["lines"]:
            corners: Sequence[Corner] = line["polygon"]
            if all(x0 <= x <= x1 and y0 <= y <= y1 for x, y in corners):
                moved = [[x - x0 + self.left, y - y0 + self.top] for x, y in corners]
                yield {"polygon": moved, "text": line["text"]}


def write_mosaic(
    dataset_dir: Path,
    out_dir: Path,
    width: int,
    height: int,
    seed: int,
    *,
    names: AbstractSet[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fill a picture of that many pixels with the pictures of a dataset; return the path of its truth.

    `names` says which pictures, by their name in the dataset's truth; None takes all. They go in rows, in an order of
    chance, each once before one comes again. Writes `images/mosaic.jpg` and `truth.jsonl` into `out_dir`; the truth
    tells the pieces, too. Raises LabelwireError if the dataset has no truth or no picture fits.
    """
    rows = [row for row in _truth_rows(dataset_dir) if names is None or row["image"] in names]
    pieces = list(_in_rows(rows, width, height, Chance(seed)))
    return _written(dataset_dir, out_dir, "mosaic", (width, height), pieces, seed, progress)


def write_sparse(
    dataset_dir: Path,
    out_dir: Path,
    width: int,
    height: int,
    tiles: int,
    seed: int,
    *,
    progress: Progress | None = None,
) -> Path:
    """Scatter pieces of text of at most 960 by 960 pixels over a picture that is empty but for its grain.

    Each piece has at least five whole lines and cuts none of them. Writes as `write_mosaic`, to `images/sparse.jpg`.
    Raises LabelwireError if there is no room for so many.
    """
    rows = _truth_rows(dataset_dir)
    pieces = _scattered(rows, width, height, tiles, Chance(seed))
    return _written(dataset_dir, out_dir, "sparse", (width, height), pieces, seed, progress)


def write_pieces(dataset_dir: Path, mosaic_dir: Path, out_dir: Path) -> Path:
    """Write each piece of a mosaic of the dataset's pictures as a picture of its own; return the path of their truth.

    Writes `images/piece-000.jpg` and so on, as strongly compressed as the mosaic, and `truth.jsonl` into `out_dir`.
    Raises LabelwireError for a picture that is not the one of the truth.
    """
    sources = {row["image"]: row for row in _truth_rows(dataset_dir)}
    [mosaic] = _truth_rows(mosaic_dir)
    (out_dir / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for number, placed in enumerate(mosaic["pieces"]):
        piece = MosaicPiece(sources[placed["image"]], tuple(placed["source"]), 0, 0)
        picture = out_dir / "images" / f"piece-{number:03}.jpg"
        pyvips.Image.new_from_array(_cut(dataset_dir, piece)).jpegsave(str(picture), Q=_QUALITY)
        rows.append(json.dumps(_row(picture, piece.size, [piece]), ensure_ascii=False) + "\n")
    truth = out_dir / "truth.jsonl"
    truth.write_text("".join(rows), encoding="utf-8")
    return truth


def _truth_rows(dataset_dir: Path) -> list[dict[str, Any]]:
    truth = dataset_dir / "truth.jsonl"
    if not truth.is_file():
        raise LabelwireError(f"{truth} is not there; a mosaic is made of pictures with truth.")
    return [json.loads(row) for row in truth.read_text(encoding="utf-8").splitlines() if row.strip()]


def _in_rows(rows: Sequence[Mapping[str, Any]], width: int, height: int, chance: Chance) -> Iterator[MosaicPiece]:
    fitting = [row for row in rows if row["width"] <= width and row["height"] <= height]
    if not fitting:
        raise LabelwireError(
            f"No picture of the dataset fits into {width} by {height} pixels; ask for a larger mosaic."
        )
    left = top = tallest = 0
    for row in _shuffled_again_and_again(fitting, chance):
        if left + row["width"] > width:
            left, top, tallest = 0, top + tallest + _GAP_PIXELS, 0
        if top + row["height"] > height:
            return
        yield MosaicPiece(row, (0, 0, row["width"], row["height"]), left, top)
        left += row["width"] + _GAP_PIXELS
        tallest = max(tallest, row["height"])


def _shuffled_again_and_again(rows: Sequence[Mapping[str, Any]], chance: Chance) -> Iterator[Mapping[str, Any]]:
    while True:
        for index in chance.generator.permutation(len(rows)):
            yield rows[int(index)]


def _scattered(
    rows: Sequence[Mapping[str, Any]], width: int, height: int, tiles: int, chance: Chance
) -> list[MosaicPiece]:
    pieces: list[MosaicPiece] = []
    sources = _shuffled_again_and_again(rows, chance)
    for _ in range(_PLACES_TRIED):
        if len(pieces) == tiles:
            return pieces
        row = next(sources)
        source = _rectangle(row, chance)
        wide, high = source[2] - source[0], source[3] - source[1]
        if wide > width or high > height:
            continue
        piece = MosaicPiece(row, source, chance.whole(0, width - wide), chance.whole(0, height - high))
        enough = sum(1 for _line in piece.lines()) >= _MIN_LINES
        if enough and not any(piece.overlaps(other, _GAP_PIXELS) for other in pieces):
            pieces.append(piece)
    raise LabelwireError(f"{tiles} pieces do not fit into {width} by {height} pixels; ask for fewer or for more room.")


def _rectangle(row: Mapping[str, Any], chance: Chance) -> tuple[int, int, int, int]:
    """Return a rectangle of the picture, shrunk from 960 by 960 until it cuts no line from above, below or aside."""
    wide, high = min(_PIECE_SIDE, row["width"]), min(_PIECE_SIDE, row["height"])
    left, top = chance.whole(0, row["width"] - wide), chance.whole(0, row["height"] - high)
    right, bottom = left + wide, top + high
    boxes = [_box(line["polygon"]) for line in row["lines"]]
    for x0, y0, x1, y1 in sorted(boxes, key=lambda box: box[1]):
        if x0 < right and x1 > left and y0 < top < y1:
            top = y1
    for x0, y0, x1, y1 in sorted(boxes, key=lambda box: -box[3]):
        if x0 < right and x1 > left and y0 < bottom < y1:
            bottom = y0
    for x0, y0, x1, y1 in boxes:
        if y0 < bottom and y1 > top and (x0 < left < x1 or x0 < right < x1):
            return 0, 0, 0, 0
    return left, top, right, bottom


def _box(polygon: Sequence[Corner]) -> tuple[int, int, int, int]:
    corners = np.array(polygon)
    (left, top), (right, bottom) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    return int(left), int(top), int(right), int(bottom)


def _written(
    dataset_dir: Path,
    out_dir: Path,
    name: str,
    size: tuple[int, int],
    pieces: Sequence[MosaicPiece],
    seed: int,
    progress: Progress | None,
) -> Path:
    width, height = size
    picture = out_dir / "images" / f"{name}.jpg"
    picture.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir) as folder:
        raw = Path(folder) / "pixels"
        pixels = np.memmap(raw, dtype=np.uint8, mode="w+", shape=(height, width, 3))
        _lay_ground(pixels, Chance(seed, 1))
        for done, piece in enumerate(pieces, start=1):
            _paste(dataset_dir, pixels, piece)
            if progress:
                progress(done, len(pieces))
        pixels.flush()
        del pixels
        loaded = pyvips.Image.rawload(str(raw), width, height, 3, access="sequential")
        loaded.copy(interpretation="srgb").jpegsave(str(picture), Q=_QUALITY)
    truth = out_dir / "truth.jsonl"
    truth.write_text(json.dumps(_row(picture, size, pieces), ensure_ascii=False) + "\n", encoding="utf-8")
    return truth


def _lay_ground(pixels: NDArray[np.uint8], chance: Chance) -> None:
    """Lay a gray with a fine grain, the same strip again and again: an empty ground is never quite empty."""
    strip = chance.generator.normal(_GROUND, _GRAIN, (_ROWS_AT_ONCE, pixels.shape[1], 1)).astype(np.uint8)
    for top in range(0, len(pixels), _ROWS_AT_ONCE):
        rows = pixels[top : top + _ROWS_AT_ONCE]
        rows[:] = strip[: len(rows)]


def _paste(dataset_dir: Path, pixels: NDArray[np.uint8], piece: MosaicPiece) -> None:
    width, height = piece.size
    pixels[piece.top : piece.top + height, piece.left : piece.left + width] = _cut(dataset_dir, piece)


def _cut(dataset_dir: Path, piece: MosaicPiece) -> NDArray[np.uint8]:
    """Return a piece's pixels, uint8 [h, w, 3] RGB."""
    path = dataset_dir / str(piece.row["image"])
    decoded = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if decoded is None or decoded.shape[:2] != (piece.row["height"], piece.row["width"]):
        raise LabelwireError(f"{path} is not the picture that the truth tells of; make the dataset anew.")
    x0, y0, x1, y1 = piece.source
    return np.asarray(decoded[y0:y1, x0:x1], dtype=np.uint8)


def _row(picture: Path, size: tuple[int, int], pieces: Sequence[MosaicPiece]) -> dict[str, Any]:
    return {
        "image": f"images/{picture.name}",
        "sha256": hashlib.sha256(picture.read_bytes()).hexdigest(),
        "width": size[0],
        "height": size[1],
        "lines": [line for piece in pieces for line in piece.lines()],
        "layout": picture.stem,
        "pieces": [
            {"image": piece.row["image"], "source": piece.source, "left": piece.left, "top": piece.top}
            for piece in pieces
        ],
    }
