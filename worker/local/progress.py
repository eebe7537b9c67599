"""What a person sees while something is fetched: a live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

_PLAIN_INTERVAL_SECONDS = 10.0
_DETAIL_CHARACTERS = 60

Report = Callable[[str], None]


class _PlainReport:
    """Prints progress, at most one line in ten seconds."""

    def __init__(self, console: Console, what: str, started: float) -> None:
        self._console = console
        self._what = what
        self._last = started

    def __call__(self, detail: str) -> None:
        now = time.monotonic()
        if now - self._last >= _PLAIN_INTERVAL_SECONDS:
            self._last = now
            self._console.print(f"{self._what}: {detail}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress(what: str) -> Iterator[Report]:
    """Say on stderr that `what` goes on, and how long it took; the value takes details on the way."""
    console = Console(stderr=True)
    started = time.monotonic()
    if console.is_terminal:
        with console.status(what) as status:
            yield lambda detail: status.update(f"{what} [dim]{_tail(detail)}[/dim]")
    else:
        console.print(f"{what} …", markup=False, highlight=False, soft_wrap=True)
        yield _PlainReport(console, what, started)
    console.print(f"{what}: done in {time.monotonic() - started:.0f} s", markup=False, highlight=False, soft_wrap=True)


def announce(sentence: str) -> None:
    """Say one thing on stderr."""
    Console(stderr=True).print(sentence, markup=False, highlight=False, soft_wrap=True)


def _tail(detail: str) -> str:
    return detail.strip().replace("[", r"\[")[:_DETAIL_CHARACTERS]
