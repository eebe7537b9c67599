"""Pictures cut out of others in any direction and at any scale.

Invariant: coordinates count from the edges of pixels, here as everywhere (`domain/geometry`); OpenCV counts from their
middles, and the half pixel between the two is put right here and nowhere else.
"""

import cv2
import numpy as np

from worker.domain.geometry import Transform
from worker.domain.image import Pixels


def warped(
    pixels: Pixels, to_source: Transform, size: tuple[int, int], interpolation: int, *, fill: int | None = None
) -> Pixels:
    """Return a picture of `size` (width, height) whose points `to_source` takes to places of `pixels`.

    `pixels` is uint8 [h, w] or [h, w, 3]. What lies beyond them repeats their edge, or is the gray level `fill`.
    """
    (a, b, x), (c, d, y) = to_source.matrix.tolist()
    # Of single numbers: a page has dozens of small warps, for which arrays of four numbers took a fifth of the time.
    matrix = np.array([[a, b, x + (a / 2 + b / 2 - 0.5)], [c, d, y + (c / 2 + d / 2 - 0.5)]])
    cut = cv2.warpAffine(
        pixels,
        matrix,
        size,
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT,
        borderValue=(fill or 0,) * 3,
    )
    return np.asarray(cut, dtype=np.uint8)
