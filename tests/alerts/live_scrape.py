"""Scrapes real pages step by step into a recording, on a thread of its own, while a test does other things."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Self

from tests.alerts.recording import Recording, Target

Page = Callable[[], str | None]


class LiveScrape:
    """Scrapes until the block ends. A step that comes too late is one without samples, as for Prometheus."""

    def __init__(self, recording: Recording, pages: Iterable[tuple[Target, Page]]) -> None:
        self._recording = recording
        self._pages = list(pages)
        self._scrapes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scrape")

    def __enter__(self) -> Self:
        self._recording.began_at = int(time.time())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def wait(self, scrapes: int) -> None:
        """Wait until all pages were scraped so many times more; steps that were left out do not count."""
        wanted = self._scrapes + scrapes
        while self._scrapes < wanted:
            assert self._thread.is_alive()
            time.sleep(0.05)

    def _run(self) -> None:
        interval_seconds = self._recording.interval_seconds
        while not self._ended.is_set():
            for target, page in self._pages:
                self._recording.scrape(target, page())
            step = int((time.time() - self._recording.began_at) / interval_seconds) + 1
            self._recording.steps = max(step, self._recording.steps + 1)
            self._scrapes += 1
            self._ended.wait(self._recording.began_at + self._recording.steps * interval_seconds - time.time())
