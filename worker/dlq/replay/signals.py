"""Ctrl-C and SIGTERM as a wish to stop at the next good place.

Invariant: the first signal is only noted, so what is under way comes to its end; the second one ends the process.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from worker.dlq.replay.phase import StoppableClock

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOK_SECONDS = 0.05


class _Wish:
    """Notes a signal. A flag alone: a lock could be held by the very code that the signal came upon."""

    def __init__(self) -> None:
        self.noted = False

    def note(self, _number: int, _frame: FrameType | None) -> None:
        if self.noted:
            raise KeyboardInterrupt
        self.noted = True

    def is_noted(self) -> bool:
        return self.noted

    def wait(self, seconds: float) -> bool:
        """Let the time pass, or return True as soon as a signal has come."""
        deadline = time.monotonic() + seconds
        while not self.noted and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))
        return self.noted


@contextmanager
def stop_on_signals() -> Iterator[StoppableClock]:
    """Give the time of a replay that stops at SIGINT or SIGTERM, also where the shell had switched them off."""
    wish = _Wish()
    before = [(number, signal.signal(number, wish.note)) for number in _SIGNALS]
    try:
        yield StoppableClock(time.monotonic, wish.wait, wish.is_noted)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
