"""The regions of text on a page's probability map.

The post-processing is that of DB (Liao et al., "Real-time Scene Text Detection with Differentiable Binarization",
AAAI 2020) with the order of steps that PP-OCR uses. Invariant: boxes are found on one map of the page, so that no line
is cut by a tile's edge; there is no ceiling on their number.
"""

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from cv2.typing import MatLike, RotatedRect

from worker.domain.geometry import Points
from worker.domain.image import Pixels, ProbabilityMap, TextRegion
from worker.domain.manifest import DetectionThresholds
from worker.pipeline.detect.text_direction import orient_quads
from worker.pipeline.detect.tile import TiledPage

_GROWN_MARGIN_PIXELS: Final = 2
_DILATION: Final = np.ones((2, 2), dtype=np.uint8)


def page_map(page: TiledPage, tile_map: Pixels) -> ProbabilityMap:
    """Return the map of a page in one tile, out of the tile's, uint8 [h, w]."""
    return ProbabilityMap(tile_map[: page.height, : page.width], page.to_page)


def find_regions(page_map: ProbabilityMap, thresholds: DetectionThresholds) -> list[TextRegion]:
    """Return the regions of text on a page, in page pixels, in no particular order."""
    contours, _ = cv2.findContours(text_mask(page_map.values, thresholds), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return regions_of(contours, page_map, thresholds)


def text_mask(values: Pixels, thresholds: DetectionThresholds) -> Pixels:
    """Return where a probability map says text, uint8 of its shape, 1 for text."""
    _, binary = cv2.threshold(values, math.floor(thresholds.binarize * 255), 1, cv2.THRESH_BINARY)
    return np.asarray(cv2.dilate(binary, _DILATION) if thresholds.dilate else binary, dtype=np.uint8)


def regions_of(
    contours: Sequence[MatLike], page_map: ProbabilityMap, thresholds: DetectionThresholds
) -> list[TextRegion]:
    """Return the regions of text that contours on the map enclose, in page pixels."""
    rectangles = [cv2.minAreaRect(contour) for contour in contours]
    large = [rectangle for rectangle in rectangles if min(rectangle[1]) >= thresholds.min_side_pixels]
    scores = _means_inside([cv2.boxPoints(rectangle) for rectangle in large], page_map.values)
    found = [
        _grown(rectangle, score, thresholds)
        for rectangle, score in zip(large, scores, strict=True)
        if score >= thresholds.box_score
    ]
    kept = [region for region in found if region is not None]
    quads = orient_quads(page_map.to_page.apply(np.array([corners for corners, _, _ in kept]).reshape(-1, 4, 2)))
    scale = math.sqrt(abs(np.linalg.det(page_map.to_page.matrix[:, :2])))
    return [TextRegion(quad, score, distance * scale) for quad, (_, score, distance) in zip(quads, kept, strict=True)]


def _grown(rectangle: RotatedRect, score: float, thresholds: DetectionThresholds) -> tuple[Points, float, float] | None:
    """Return the corners of a rectangle once grown, its score, and by how much it grew; None if it is too small."""
    (x, y), (width, height), angle = rectangle
    # Contours run through pixel centers. The 2 x 2 dilation moves them by half a pixel, onto the edges.
    if not thresholds.dilate:
        x, y, width, height = x + 0.5, y + 0.5, width + 1, height + 1
    distance = _unclip_distance(width, height, thresholds.unclip_ratio)
    grown = (width + 2 * distance, height + 2 * distance)
    if min(grown) < thresholds.min_side_pixels + _GROWN_MARGIN_PIXELS:
        return None
    return np.asarray(cv2.boxPoints(((x, y), grown, angle)), dtype=np.float64), score, distance


def _unclip_distance(width: float, height: float, ratio: float) -> float:
    """Return by how much each side moves out, area · ratio / perimeter; a round offset has the same outer rectangle."""
    return width * height * ratio / (2 * (width + height))


def _means_inside(corners: Sequence[MatLike], values: Pixels) -> list[float]:
    """Return the mean probability, 0 to 1, inside each polygon [4, 2]; only its bounding box is looked at."""
    quads = np.array(corners, dtype=np.float64).reshape(-1, 4, 2)
    last = np.array(values.shape[::-1]) - 1
    low = np.clip(np.floor(quads.min(axis=1)), 0, last).astype(np.int64)
    high = np.clip(np.ceil(quads.max(axis=1)), 0, last).astype(np.int64)
    polygons = (quads - low[:, np.newaxis]).astype(np.int32)
    means = []
    for polygon, (left, top), (right, bottom) in zip(polygons, low.tolist(), high.tolist(), strict=True):
        mask = np.zeros((bottom - top + 1, right - left + 1), dtype=np.uint8)
        cv2.fillPoly(mask, [polygon], (1,))
        means.append(cv2.mean(values[top : bottom + 1, left : right + 1], mask)[0] / 255)
    return means
