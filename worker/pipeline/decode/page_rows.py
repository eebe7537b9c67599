"""The rows of a page that is too large to be worked on as a whole.

Invariant: a `StreamedRows` holds the rows of its window and one strip more, however high the page is.
"""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

import numpy as np

from worker.domain.image import Pixels
from worker.pipeline.malloc import return_free_memory

STRIP_ROWS: Final = 512  # a multiple of every reduction and of the cell

_MOVED_ROWS: Final = 64  # at once, so that moving a window takes no second one


class PageRows(Protocol):
    """A page of `width` x `height` pixels, read from top to bottom."""

    width: int
    height: int

    def strips(self) -> Iterator[Pixels]:
        """Return the whole page once, uint8 [`STRIP_ROWS` or the rest, width, 3] BGR each. Raises JobError."""

    def window(self, top: int, bottom: int) -> Pixels:
        """Return rows [top, bottom), valid until the next call; no row above `top` can be asked for again.

        Raises JobError for a page that turns out to be damaged there.
        """

    def reserve(self, rows: int) -> None:
        """Say that windows will have up to so many rows."""

    def whole(self) -> Pixels | None:
        """Return the whole page if it lies in memory, else None."""


class HeldRows:
    """The rows of a page that lies in memory, uint8 [height, width, 3] BGR."""

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels
        self.height: int = pixels.shape[0]
        self.width: int = pixels.shape[1]

    def strips(self) -> Iterator[Pixels]:
        """Return the whole page, a view at a time."""
        return (self._pixels[top : top + STRIP_ROWS] for top in range(0, self.height, STRIP_ROWS))

    def window(self, top: int, bottom: int) -> Pixels:
        """Return a view of rows [top, bottom)."""
        return self._pixels[top:bottom]

    def reserve(self, rows: int) -> None:
        """Need nothing: all rows are there."""

    def whole(self) -> Pixels:
        """Return the page."""
        return self._pixels


class StreamedRows:
    """The rows of a page that is decoded while it is read; `decoded` begins to decode it anew."""

    def __init__(self, decoded: Callable[[], Iterator[Pixels]], width: int, height: int) -> None:
        self._decoded = decoded
        self.width = width
        self.height = height
        self._coming: Iterator[Pixels] | None = None
        self._held = np.empty((0, width, 3), dtype=np.uint8)
        self._top = 0
        self._bottom = 0

    def strips(self) -> Iterator[Pixels]:
        """Return the whole page once. Raises JobError."""
        return self._decoded()

    def window(self, top: int, bottom: int) -> Pixels:
        """Return rows [top, bottom), decoding on. Raises JobError; ValueError for rows that were given up."""
        if top < self._top:
            raise ValueError(f"rows from {top} were asked for, but those before {self._top} were given up")
        return_free_memory()  # of what the band before took
        self._give_up(top)
        self._make_room(bottom - self._top + STRIP_ROWS)
        if self._coming is None:
            self._coming = self._decoded()
        while self._bottom < bottom:
            self._take(next(self._coming), top)
        return self._held[top - self._top : bottom - self._top]

    def whole(self) -> None:
        """Return None: no more than a window is ever held."""
        return

    def _give_up(self, top: int) -> None:
        """Move what is still wanted to the front, in pieces: numpy would copy the whole to move it at once."""
        gone, kept = min(top, self._bottom) - self._top, max(0, self._bottom - top)
        for start in range(0, kept if gone else 0, _MOVED_ROWS):
            rows = min(_MOVED_ROWS, kept - start)
            self._held[start : start + rows] = self._held[start + gone : start + gone + rows].copy()
        self._top += gone

    def reserve(self, rows: int) -> None:
        """Make room for so many rows at once: to grow takes twice the memory, room that is not used takes none."""
        self._make_room(min(rows, self.height + STRIP_ROWS))

    def _make_room(self, rows: int) -> None:
        if rows > self._held.shape[0]:
            held = np.empty((rows, self.width, 3), dtype=np.uint8)
            held[: self._bottom - self._top] = self._held[: self._bottom - self._top]
            self._held = held

    def _take(self, strip: Pixels, top: int) -> None:
        """Append a strip; one that ends above `top` is passed over."""
        if self._bottom + strip.shape[0] <= top:
            self._top = self._bottom = self._bottom + strip.shape[0]
            return
        used = self._bottom - self._top
        self._held[used : used + strip.shape[0]] = strip
        self._bottom += strip.shape[0]
