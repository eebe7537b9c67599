"""The shapes that an engine is built for, where it has to know them beforehand.

Invariant: every shape that a model's configuration and manifest let a client send lies within its ranges.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from worker.domain.manifest import TileShapes
from worker.models.configs import ModelConfig
from worker.models.profiles import LONG_SIDE_PIXELS

USUAL_BATCH: Final = 16
_FREE: Final = -1


@dataclass(frozen=True, slots=True)
class ShapeRange:
    """The shapes, with the batch in front, that a plan takes of one input; `optimum` is what it is tuned for."""

    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    maximum: tuple[int, ...]


OptimizationProfile = Mapping[str, ShapeRange]
"""The range of each input of a graph, by its name."""


def shape_ranges(config: ModelConfig, tiles: TileShapes | None = None) -> OptimizationProfile:
    """Return one profile of a configuration: N from 1 over 16 to `max_batch_size`, sizes as they are fixed.

    The free sizes of a detector go from one step of `tiles` over the usual long side to `max_side`.
    """
    limit = int(config.max_batch_size)
    sides = (_FREE,) * 3
    if tiles is not None:
        largest = tiles.max_side // tiles.multiple_of * tiles.multiple_of
        sides = (tiles.multiple_of, min(LONG_SIDE_PIXELS, largest), largest)
    at = tuple(zip((1, min(USUAL_BATCH, limit), limit), sides, strict=True))
    return {
        tensor.name: ShapeRange(
            *((batch, *(side if size == _FREE else size for size in tensor.dims)) for batch, side in at)
        )
        for tensor in config.input
    }
