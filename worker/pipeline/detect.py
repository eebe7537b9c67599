"""Tiles to probability maps, on the server."""

from collections.abc import Sequence

import numpy as np

from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.image import Pixels, Tile
from worker.pipeline.inference import PageRequests, together
from worker.pipeline.models import IMAGE, PROBABILITY, ModelSet


async def detect(tiles: Sequence[Tile], models: ModelSet, requests: PageRequests) -> list[Pixels]:
    """Return each tile's probability map, uint8 [h, w] of the tile's shape, in the order of the tiles.

    Each tile is a request of its own: the server batches them with those of other pages. Raises JobError of the
    backend, or INFERENCE_FAILED for a map of another shape.
    """
    return await together(_detect_tile(tile, models, requests) for tile in tiles)


async def _detect_tile(tile: Tile, models: ModelSet, requests: PageRequests) -> Pixels:
    name = models.detector.name
    image = np.ascontiguousarray(tile.pixels[np.newaxis])
    outputs = await requests.infer(name, {IMAGE: image}, [PROBABILITY])
    probability = outputs[PROBABILITY]
    if probability.shape != image.shape[:3]:
        raise JobError(
            ErrorCode.INFERENCE_FAILED,
            f"{name} answered a tile of shape {image.shape[:3]} with a map of shape {probability.shape}.",
            stage=Stage.DETECT,
        )
    return np.asarray(probability[0], dtype=np.uint8)
