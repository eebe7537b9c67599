"""Plane geometry in pixels: points are float64 [n, 2] as (x, y), x to the right and y down.

A coordinate counts from the left or upper edge of the picture, so that the middle of the first pixel is (0.5, 0.5)
and a picture of width w spans 0 to w: scaling then needs no half-pixel correction.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def lengths_and_heights(quads: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how long rectangles [..., 4, 2] are along their first edges, and how high across, [...] each.

    Corners are clockwise, and the first edge runs along the text.
    """
    along, down = quads[..., 1, :] - quads[..., 0, :], quads[..., 3, :] - quads[..., 0, :]
    return np.linalg.norm(along, axis=-1), np.linalg.norm(down, axis=-1)


def weighted_quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float = 0.5) -> float:
    """Return the value that a share of the weights does not exceed, the median unless told; both are [n], n > 0."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1])])


@dataclass(frozen=True, slots=True)
class Transform:
    """An affine map from one picture's coordinates to another's.

    `matrix` is float64 [2, 3]; a point p maps to matrix[:, :2] @ p + matrix[:, 2].
    """

    matrix: NDArray[np.float64]

    @classmethod
    def identity(cls) -> "Transform":
        """Return the map that changes nothing."""
        return cls.scale_then_shift(1.0, 1.0, 0.0, 0.0)

    @classmethod
    def scale_then_shift(cls, scale_x: float, scale_y: float, shift_x: float, shift_y: float) -> "Transform":
        """Return the map that scales each axis and then shifts by pixels of the target."""
        return cls(np.array([[scale_x, 0.0, shift_x], [0.0, scale_y, shift_y]], dtype=np.float64))

    def apply(self, points: Points) -> Points:
        """Map points, float64 [..., 2] in and out."""
        return np.asarray(points, dtype=np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def then(self, after: "Transform") -> "Transform":
        """Return the map that applies this one first and `after` to its result."""
        linear = after.matrix[:, :2] @ self.matrix[:, :2]
        shift = after.matrix[:, :2] @ self.matrix[:, 2] + after.matrix[:, 2]
        return Transform(np.column_stack([linear, shift]))
