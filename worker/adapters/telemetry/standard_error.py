"""A standard error that never blocks its writers.

A pipe that nobody reads, a stopped terminal or a slow disk would block the event loop and the Kafka thread, and the
worker would lose its partitions. So lines wait in a bounded queue for a thread of its own.

Invariant: `write` never waits. Lines that find the queue full, or cannot be written, are dropped and counted; the count
is logged as soon as lines are written again.
"""

import atexit
import errno
import io
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from typing import Final

MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
# Of what is waiting, at the process's end: a reader that is there takes it in much less.
_LAST_SECONDS: Final = 2.0
_WRITE_BYTES: Final = 64 * 1024
_PAUSE_SECONDS: Final = 0.5
_LOGGER = logging.getLogger(__name__)


class NonBlockingStream(io.TextIOBase):
    """A text stream onto a file descriptor, written by a thread."""

    def __init__(self, descriptor: int, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._dropped = 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="standard error", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has an attribute
        """UTF-8; what has no such form is escaped."""
        return "utf-8"

    def writable(self) -> bool:
        """Say yes."""
        return True

    def fileno(self) -> int:
        """Return the descriptor, for writers that bypass the queue."""
        return self._descriptor

    def isatty(self) -> bool:
        """Say whether this is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, text: str, /) -> int:
        """Queue a text, or drop it."""
        data = text.encode(errors="backslashreplace")
        with self._changed:
            if self._waiting_bytes + len(data) > self._max_waiting_bytes:
                self._dropped += 1
            else:
                self._waiting.append(data)
                self._waiting_bytes += len(data)
                self._changed.notify_all()
        return len(text)

    def drain(self, seconds: float = _LAST_SECONDS) -> bool:
        """Wait until all is written, but no longer than this; say whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting_bytes, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                data = b"".join(self._waiting)
                self._waiting.clear()
            written = self._written(data)
            with self._changed:
                self._waiting_bytes -= len(data)
                self._dropped += data[written:].count(b"\n")
                dropped = self._dropped
                if written < len(data):
                    dropped = 0  # logged when lines are written again
                self._dropped -= dropped
                self._changed.notify_all()
            if dropped:
                _LOGGER.warning("%d log lines were dropped, because standard error was not read in time", dropped)

    def _written(self, data: bytes) -> int:
        """Write, however long that takes, and return how much was taken before the descriptor failed for good."""
        at = 0
        while at < len(data):
            try:
                at += os.write(self._descriptor, data[at : at + _WRITE_BYTES])
            except BlockingIOError:  # another process that shares the descriptor has made it non-blocking
                select.select([], [self._descriptor], [], _PAUSE_SECONDS)
            except OSError as error:
                if error.errno != errno.EINTR:
                    time.sleep(_PAUSE_SECONDS)
                    return at
        return at


def use_nonblocking_stderr() -> NonBlockingStream:
    """Replace this process's standard error by such a stream, tracebacks included, and return it."""
    before = sys.stderr
    if isinstance(before, NonBlockingStream):
        return before
    stream = NonBlockingStream(before.fileno())
    before.flush()
    sys.stderr = stream
    atexit.register(stream.drain)
    return stream


def drain() -> None:
    """Wait a moment for queued lines to be written, before the process exits without cleaning up."""
    if isinstance(sys.stderr, NonBlockingStream):
        sys.stderr.drain()
