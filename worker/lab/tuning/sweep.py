"""The sweep: coordinate descent from the default, a change at a time, each measured beside the best one so far.

Invariant: the incumbent has passed the gate and all comparisons on the way to it; a sweep ends in time, and what it
left out is named.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from worker.domain.errors import LabelwireError
from worker.lab.tuning.candidates import Change
from worker.lab.tuning.errors import SweepError
from worker.lab.tuning.judgment import (
    SweepComparison,
    SweepLimits,
    SweepReading,
    SweepTurn,
    SweepVerdict,
    equal_lines,
    judge,
    lost_by,
    over_memory,
    too_large,
)
from worker.models.tuning import ServingSettings


class TunedServer(Protocol):
    """A server that has built, loaded and warmed up one candidate."""

    def read(self) -> SweepReading:
        """Read all pictures through the worker's pipeline, and keep the requests."""

    def replay(self) -> SweepTurn:
        """Send the kept requests at full load."""

    def peak_rss_mb(self) -> float:
        """Return the server's memory at its highest since it is up, in 10⁶ bytes."""

    def close(self) -> None:
        """End the server."""


@dataclass(frozen=True, slots=True)
class SweepTrial:
    """One candidate, what was measured of it, and what became of it; None is not measured."""

    change: str
    settings: ServingSettings
    verdict: SweepVerdict
    tried: bool = True
    compared: SweepComparison | None = None
    peak_rss_mb: float | None = None
    word_f1: float | None = None
    equal_lines: float | None = None


@dataclass(frozen=True, slots=True)
class SweepMeans:
    """How a candidate gets a server, what time it is in seconds, and who hears of each trial and each step in one."""

    serve: Callable[[ServingSettings], TunedServer]
    now: Callable[[], float]
    on_trial: Callable[[SweepTrial], None]
    report: Callable[[str], None]


@dataclass(slots=True)
class _Incumbent:
    """What is best so far."""

    settings: ServingSettings
    server: TunedServer


class Sweep:
    """One descent; `ends_at` is when it must be over, in seconds of the means' clock."""

    def __init__(self, means: SweepMeans, limits: SweepLimits, ends_at: float) -> None:
        self._means = means
        self._limits = limits
        self._ends_at = ends_at

    def descend(
        self,
        start: tuple[ServingSettings, TunedServer],
        default: SweepReading,
        changes: Sequence[Change],
        expected_seconds: float,
    ) -> ServingSettings:
        """Return the best settings, from a default that is served and has been read; all servers are closed.

        `expected_seconds` is how long a candidate is thought to take before the first was tried. A candidate that
        cannot be served is refused, with the reason. Raises SweepError if nothing fits into the memory.
        """
        best = _Incumbent(*start)
        tried = {best.settings}
        try:
            for change in changes:
                settings = change.of(best.settings)
                if settings in tried:
                    continue
                tried.add(settings)
                began = self._means.now()
                if began + expected_seconds > self._ends_at:
                    verdict = SweepVerdict(taken=False, reason="the time is over")
                    self._means.on_trial(SweepTrial(change.words, settings, verdict, tried=False))
                    continue
                self._try(change.words, settings, best, default)
                expected_seconds = max(expected_seconds, self._means.now() - began)
            if over_memory(best.server.peak_rss_mb(), self._limits):
                raise SweepError(
                    f"no candidate fits into {self._limits.memory_mb:g} MB, the best one takes "
                    f"{best.server.peak_rss_mb():.0f}: give --memory-mb more, or fewer --cores"
                )
        finally:
            best.server.close()
        return best.settings

    def _try(self, words: str, settings: ServingSettings, best: _Incumbent, default: SweepReading) -> None:
        """Measure a candidate and put it in the incumbent's place if it is taken."""
        with ExitStack() as opened:
            try:
                self._means.report(f"{words}: building and starting")
                server = self._means.serve(settings)
                opened.callback(server.close)
                trial = self._measure(words, settings, server, best.server, default)
            except LabelwireError as error:
                trial = SweepTrial(words, settings, SweepVerdict(taken=False, reason=f"failed: {error}"))
            else:
                if trial.verdict.taken:
                    opened.pop_all()
                    best.server.close()
                    best.settings, best.server = settings, server
        self._means.on_trial(trial)

    def _measure(
        self, words: str, settings: ServingSettings, server: TunedServer, other: TunedServer, default: SweepReading
    ) -> SweepTrial:
        self._means.report(f"{words}: reading")
        read = server.read()
        lost = lost_by(read, default, self._limits)
        lost = lost or too_large(server.peak_rss_mb(), other.peak_rss_mb(), self._limits)
        compared = None
        if lost is None:
            compared = self._compare(words, server, other)
            verdict = judge(compared, server.peak_rss_mb(), other.peak_rss_mb(), self._limits)
        else:
            verdict = SweepVerdict(taken=False, reason=lost)
        share = equal_lines(read, default)
        return SweepTrial(
            words,
            settings,
            verdict,
            compared=compared,
            peak_rss_mb=server.peak_rss_mb(),
            word_f1=read.word_f1,
            equal_lines=share,
        )

    def _compare(self, words: str, server: TunedServer, other: TunedServer) -> SweepComparison:
        """Replay in turns, A B, B A, A B …, so that a slow minute and the order hit both alike."""
        mine: list[SweepTurn] = []
        others: list[SweepTurn] = []
        for number in range(self._limits.rounds):
            self._means.report(f"{words}: round {number + 1} of {self._limits.rounds}")
            turns = [(server, mine), (other, others)]
            for whose, taken in turns if number % 2 == 0 else reversed(turns):
                taken.append(whose.replay())
        return SweepComparison(mine, others)
