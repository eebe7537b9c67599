"""Progress of counted work on stderr: a bar on a terminal, now and then a plain line elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_PLAIN_INTERVAL_SECONDS = 10.0

Advance = Callable[[], None]
Reach = Callable[[int], None]


@contextmanager
def counted(what: str, total: int, console: Console | None = None) -> Iterator[Advance]:
    """Show how far `what` is; the value is to be called once for each of `total` things done."""
    console = console or Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        # Standard output may be a file: what is printed there must not come to this terminal.
        with Progress(*columns, console=console, redirect_stdout=False) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)
        return
    plain = _PlainCount(what, total, console)
    yield plain
    plain.close()


@contextmanager
def reaching(what: str, total: int, console: Console | None = None) -> Iterator[Reach]:
    """Show how far along `what` is; the value is to be called with how much of `total` is behind."""
    console = console or Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
            task = bar.add_task(what, total=total)
            yield lambda behind: bar.update(task, completed=behind)
        return
    yield _PlainReach(what, total, console)


class _PlainReach:
    """Says how far it is in lines, one in ten seconds: short work says nothing."""

    def __init__(self, what: str, total: int, console: Console) -> None:
        self._what = what
        self._total = total
        self._console = console
        self._last = time.monotonic()

    def __call__(self, behind: int) -> None:
        """Take how much is behind."""
        now = time.monotonic()
        if now - self._last >= _PLAIN_INTERVAL_SECONDS:
            self._last = now
            self._console.print(
                f"{self._what}: {behind} of {self._total}", markup=False, highlight=False, soft_wrap=True
            )


class _PlainCount:
    """Counts in lines, at most one in ten seconds."""

    def __init__(self, what: str, total: int, console: Console) -> None:
        self._what = what
        self._total = total
        self._console = console
        self._done = 0
        self._started = self._last = time.monotonic()

    def __call__(self) -> None:
        """Count one more."""
        self._done += 1
        now = time.monotonic()
        if now - self._last >= _PLAIN_INTERVAL_SECONDS:
            self._last = now
            self._say(f"{self._what}: {self._done} of {self._total}")

    def close(self) -> None:
        """Say the last count and the time it took."""
        self._say(f"{self._what}: {self._done} of {self._total} in {time.monotonic() - self._started:.0f} s")

    def _say(self, sentence: str) -> None:
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)
