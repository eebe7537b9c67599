"""Stopping a replay with Ctrl-C or SIGTERM.

Invariant: the first signal is only noted, so that the transaction under way is ended; the second one ends the process.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from worker.dlq.replay.phase import StoppableClock

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOK_SECONDS = 0.05


class _StopRequest:
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
    """Give a clock that stops at SIGINT or SIGTERM, also where the shell had switched them off."""
    request = _StopRequest()
    before = [(number, signal.signal(number, request.note)) for number in _SIGNALS]
    try:
        yield StoppableClock(time.monotonic, request.wait, request.is_noted)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
