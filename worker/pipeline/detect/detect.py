"""Tiles to probability maps, on the server."""

from collections.abc import Sequence

import numpy as np

from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.image import Pixels, Tile
from worker.pipeline.inference import PageRequests, gather_results
from worker.pipeline.models import IMAGE, PROBABILITY, ModelSet


async def detect(
    tiles: Sequence[Tile], models: ModelSet, requests: PageRequests, *, sideways: bool = False
) -> list[Pixels]:
    """Return each tile's probability map, uint8 [h, w] of the tile's shape, in the order of the tiles.

    Each tile is a request of its own: the server batches them with those of other pages. If the text runs `sideways`,
    the detector is shown the tiles turned by 90°, for it misses more of what runs down; the maps are turned back.
    Raises JobError of the backend, or INFERENCE_FAILED for a map of another shape.
    """
    if not sideways:
        return await gather_results(_detect(tile.pixels, models, requests) for tile in tiles)
    maps = await gather_results(_detect(np.rot90(tile.pixels), models, requests) for tile in tiles)
    return [np.ascontiguousarray(np.rot90(tile_map, -1)) for tile_map in maps]


async def _detect(pixels: Pixels, models: ModelSet, requests: PageRequests) -> Pixels:
    name = models.detector.name
    image = np.ascontiguousarray(pixels[np.newaxis])
    outputs = await requests.infer(models.detector, {IMAGE: image}, [PROBABILITY])
    probability = outputs[PROBABILITY]
    if probability.shape != image.shape[:3]:
        raise JobError(
            ErrorCode.INFERENCE_FAILED,
            f"{name} answered a tile of shape {image.shape[:3]} with a map of shape {probability.shape}.",
            stage=Stage.DETECT,
        )
    return np.asarray(probability[0], dtype=np.uint8)
