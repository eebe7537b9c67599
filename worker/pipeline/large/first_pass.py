"""The detector's first pass, over the windows and the thumbnail of a survey: how large the print is and how it runs.

Invariant: it costs a few small detections, whatever the page's size.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from worker.domain.errors import Stage
from worker.domain.image import PageImage, Pixels, TextRegion
from worker.pipeline.detect.detect import detect
from worker.pipeline.detect.regions import find_regions, page_map
from worker.pipeline.detect.second_look import choose_scale
from worker.pipeline.detect.text_direction import is_sideways
from worker.pipeline.detect.tile import tile_page
from worker.pipeline.inference import PageRequests
from worker.pipeline.large.survey import Survey, Window
from worker.pipeline.models import ModelSet
from worker.pipeline.options import PipelineOptions
from worker.pipeline.stages import Stages

_EDGE_PIXELS: Final = 2.0


@dataclass(frozen=True, slots=True)
class FirstPassResult:
    """What the first pass found.

    `regions` are those of text that it saw, in page pixels; `scale` is that at which to search the page; `sideways`
    says that nearly all text runs down the page.
    """

    regions: list[TextRegion]
    scale: float
    sideways: bool


class FirstPass:
    """Searches the thumbnail and the windows of a survey."""

    def __init__(self, models: ModelSet, requests: PageRequests, options: PipelineOptions, stages: Stages) -> None:
        self._models = models
        self._requests = requests
        self._options = options
        self._stages = stages

    async def run(self, survey: Survey) -> FirstPassResult:
        """Search what the survey collected. Raises JobError of the backend."""
        with self._stages.timed(Stage.SURVEY):
            regions = await self._regions(survey, sideways=False)
            sideways = is_sideways(regions) and not self._models.tile_shapes.fixed
            if sideways:
                regions = await self._regions(survey, sideways=True)
        thumbnail_scale = max(survey.thumbnail.size) / max(survey.width, survey.height)
        return FirstPassResult(regions, choose_scale(thumbnail_scale, regions, self._options), sideways)

    async def _regions(self, survey: Survey, *, sideways: bool) -> list[TextRegion]:
        """Search the windows, and only where these show nothing the thumbnail."""
        found = await asyncio.gather(*(self._search_window(window, sideways=sideways) for window in survey.windows))
        close = [region for regions in found for region in regions]
        if close:
            return close
        to_page = np.array([survey.width, survey.height]) / survey.thumbnail.size
        thumbnail = await self._stages.on_cpu(survey.thumbnail.pixels)
        return [
            replace(region, quad=region.quad * to_page, growth_pixels=region.growth_pixels * float(to_page.mean()))
            for region in await self._search(thumbnail, sideways=sideways)
        ]

    async def _search_window(self, window: Window, *, sideways: bool) -> list[TextRegion]:
        found = await self._search(window.pixels, sideways=sideways)
        height, width = window.pixels.shape[:2]
        corner = (window.left, window.top)
        return [replace(region, quad=region.quad + corner) for region in _whole_regions(found, width, height)]

    async def _search(self, pixels: Pixels, *, sideways: bool) -> list[TextRegion]:
        """Return the regions of text on a small piece, in its pixels."""
        options = replace(self._options, detection_long_side=max(pixels.shape[:2]))
        tiled = await self._stages.on_cpu(tile_page, PageImage(pixels), self._models.tile_shapes, options)
        [found] = await detect([tiled.tile], self._models, self._requests, sideways=sideways)
        return await self._stages.on_cpu(find_regions, page_map(tiled, found), self._models.thresholds)


def _whole_regions(regions: Iterable[TextRegion], width: int, height: int) -> list[TextRegion]:
    """Return the regions that no edge of their window of `width` x `height` pixels cuts."""
    return [
        region
        for region in regions
        if (region.quad > _EDGE_PIXELS).all() and (region.quad < (width - _EDGE_PIXELS, height - _EDGE_PIXELS)).all()
    ]
