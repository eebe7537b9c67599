"""Which shapes the worker asks for, counted in the requests that it sends for pictures."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from worker.domain.manifest import ModelRole
from worker.ports import InferenceRequest

_PIXELS: Final[Mapping[str, str]] = {ModelRole.DETECTOR: "image", ModelRole.RECOGNIZER: "line"}


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was asked for.

    `columns` are the columns of pixels in lines of each width, padding included; `tiles` how many there are of each
    (height, width). `largest_lines` and `largest_tiles` are the rows of the largest request.
    """

    columns: Mapping[int, int] = field(default_factory=dict)
    tiles: Mapping[tuple[int, int], int] = field(default_factory=dict)
    largest_lines: int = 0
    largest_tiles: int = 0

    def widths_covering(self, share: float, widths: Sequence[int]) -> tuple[int, ...]:
        """Return the narrowest of ascending `widths`, as many of them as hold this share of all columns."""
        wanted, held = share * sum(self.columns.values()), 0
        for number, width in enumerate(widths, start=1):
            held += self.columns.get(width, 0)
            if held >= wanted:
                return tuple(widths[:number])
        return tuple(widths)

    def commonest_tiles(self, count: int) -> tuple[tuple[int, int], ...]:
        """Return the `count` most frequent tile shapes, the smaller one first where two are as frequent."""
        ranked = sorted(self.tiles, key=lambda tile: (-self.tiles[tile], tile))
        return tuple(ranked[:count])

    def share_of_columns(self, widths: Iterable[int]) -> float:
        """Return the share of all columns that lines of these widths hold, 0 if there are none."""
        return _share(sum(self.columns.get(width, 0) for width in set(widths)), sum(self.columns.values()))

    def share_of_tiles(self, tiles: Iterable[tuple[int, int]]) -> float:
        """Return the share of all tiles that have these shapes, 0 if there are none."""
        return _share(sum(self.tiles.get(tile, 0) for tile in set(tiles)), sum(self.tiles.values()))


def count_traffic(requests: Iterable[InferenceRequest]) -> Traffic:
    """Count the lines and tiles of the pipeline's requests; those to the classifier have one width."""
    columns: Counter[int] = Counter()
    tiles: Counter[tuple[int, int]] = Counter()
    largest = dict.fromkeys(_PIXELS, 0)
    for request in requests:
        if request.model not in _PIXELS:
            continue
        rows, height, width = request.inputs[_PIXELS[request.model]].shape[:3]
        largest[request.model] = max(largest[request.model], rows)
        if request.model == ModelRole.DETECTOR:
            tiles[height, width] += rows
        else:
            columns[width] += rows * width
    return Traffic(dict(columns), dict(tiles), largest[ModelRole.RECOGNIZER], largest[ModelRole.DETECTOR])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
