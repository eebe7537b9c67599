"""A picture's text as scoring sees it, whoever wrote it down: the truth, this worker or another system.

Invariant: polygons are float64 [n, 2] in pixels of the picture as EXIF says it stands; lines are in reading order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from worker.domain.geometry import Points
from worker.domain.result import LabelText


@dataclass(frozen=True, slots=True)
class TranscriptLine:
    """One line: its text, its outline as float64 [n, 2] pixels, and how sure its reader was (truth: 1)."""

    text: str
    polygon: Points
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Transcript:
    """All lines of one picture, in reading order."""

    lines: tuple[TranscriptLine, ...] = ()


def line(text: str, polygon: Iterable[Sequence[float]], confidence: float = 1.0) -> TranscriptLine:
    """Return a line of any corners [x, y]."""
    corners = [(float(corner[0]), float(corner[1])) for corner in polygon]
    return TranscriptLine(text, np.array(corners, dtype=np.float64).reshape(-1, 2), confidence)


def of_result(result: LabelText) -> Transcript:
    """Return what the worker read, all pages one after the other."""
    return Transcript(
        tuple(line(read.text, read.polygon, read.confidence) for page in result.pages for read in page.lines)
    )


def corners(polygon: Points) -> list[tuple[float, float]]:
    """Return a polygon as plain pairs."""
    return [(float(x), float(y)) for x, y in polygon]
