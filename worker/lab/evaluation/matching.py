"""Which line that was read is which line of the truth: polygons that overlap enough, one to one.

A pair may match from an intersection over union of 0.5 on, as in ICDAR's protocols; of all one-to-one matchings the one
with the most pairs counts, and of those the one with the greatest overlap (assignment problem, scipy).
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from worker.domain.geometry import Points

IOU_THRESHOLD = 0.5

Polygon = list[tuple[float, float]]


def overlap_matrix(left: Sequence[Points], right: Sequence[Points]) -> NDArray[np.float64]:
    """Return the intersection over union of each pair of polygons, float64 [len(left), len(right)].

    A polygon that is not convex counts as its convex hull; one without area overlaps nothing.
    """
    # Not by OpenCV's intersectConvexConvex: it is wrong by a half where edges of turned boxes lie on one line.
    overlaps = np.zeros((len(left), len(right)))
    hulls_left, hulls_right = [_hull(polygon) for polygon in left], [_hull(polygon) for polygon in right]
    boxes_left, boxes_right = _boxes(left), _boxes(right)
    for row, box in enumerate(boxes_left):
        apart = np.any((boxes_right[:, 2:] <= box[:2]) | (boxes_right[:, :2] >= box[2:]), axis=1)
        for column in np.flatnonzero(~apart):
            overlaps[row, column] = _iou(hulls_left[row], hulls_right[int(column)])
    return overlaps


def pairs(overlaps: NDArray[np.float64], allowed: NDArray[np.bool_] | None = None) -> list[tuple[int, int]]:
    """Return the one-to-one pairs (row, column) of overlap 0.5 or more.

    `allowed`, bool of the same shape, excludes pairs on other grounds.
    """
    eligible = overlaps >= IOU_THRESHOLD
    if allowed is not None:
        eligible &= allowed
    # A whole unit a pair, and the overlap on top, scaled so that no sum of overlaps outweighs one more pair.
    weights = eligible * (1.0 + overlaps / (1.0 + min(overlaps.shape, default=0)))
    rows, columns = linear_sum_assignment(weights, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if eligible[row, column]]


def _hull(polygon: Points) -> Polygon:
    """Return the convex hull in the direction in which the shoelace formula is positive."""
    hull = cv2.convexHull(np.asarray(polygon, dtype=np.float32).reshape(-1, 1, 2), clockwise=False)
    return [(float(x), float(y)) for x, y in hull.reshape(-1, 2)]


def _boxes(polygons: Sequence[Points]) -> NDArray[np.float64]:
    rows = [np.concatenate([polygon.min(axis=0), polygon.max(axis=0)]) for polygon in polygons]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _iou(left: Polygon, right: Polygon) -> float:
    common = _area(_clipped(left, right))
    union = _area(left) + _area(right) - common
    return min(1.0, common / union) if common > 0 else 0.0


def _area(polygon: Polygon) -> float:
    """Return the signed area by the shoelace formula; hulls of `_hull` have a positive one."""
    following = [*polygon[1:], *polygon[:1]]
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(polygon, following, strict=True)) / 2


def _clipped(subject: Polygon, window: Polygon) -> Polygon:
    """Return what of `subject` lies in the convex `window` (Sutherland and Hodgman, 1974)."""
    for start, end in zip(window, [*window[1:], *window[:1]], strict=True):
        sides = [(end[0] - start[0]) * (y - start[1]) - (end[1] - start[1]) * (x - start[0]) for x, y in subject]
        kept: Polygon = []
        for index, (corner, side) in enumerate(zip(subject, sides, strict=True)):
            before, side_before = subject[index - 1], sides[index - 1]
            if (side >= 0) != (side_before >= 0):
                part = side_before / (side_before - side)
                kept.append((before[0] + part * (corner[0] - before[0]), before[1] + part * (corner[1] - before[1])))
            if side >= 0:
                kept.append(corner)
        subject = kept
    return subject
