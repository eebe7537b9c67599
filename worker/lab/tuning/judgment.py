"""Whether a candidate is taken: pure arithmetic on what was measured.

Invariant: what the machine does meanwhile is not taken for a gain. Candidate and incumbent replay the same pictures in
turn, and a candidate is faster only if its slowest round is faster than the incumbent's fastest.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from worker.lab.evaluation.scores import normalized

BYTES_PER_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class SweepLimits:
    """What a candidate may lose, and what it may take.

    `max_word_f1_loss` is against the default, on pictures with truth; `min_equal_lines` the least share of lines that
    are read as with the default, where there is no truth. `memory_mb` is of the whole server, in 10⁶ bytes, None
    without a limit. Each comparison has `rounds`; the sweep ends within `seconds`.
    """

    max_word_f1_loss: float = 0.002
    min_equal_lines: float = 0.97
    memory_mb: float | None = None
    rounds: int = 3
    seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class SweepReading:
    """What a server reads: word F1 if there is truth, and the text of each picture's lines."""

    word_f1: float | None
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class SweepTurn:
    """One replay: its pictures a second, and the CPU seconds that the server took for each."""

    pictures_per_second: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class SweepComparison:
    """The turns of a candidate, and in the same rounds those of what was best before it."""

    candidate: Sequence[SweepTurn]
    incumbent: Sequence[SweepTurn]

    @property
    def gain(self) -> float:
        """How much faster the candidate is by the medians, as a part of 1."""
        return median(rates(self.candidate)) / median(rates(self.incumbent)) - 1

    @property
    def is_beyond_spread(self) -> bool:
        """Whether the candidate's slowest round is faster than the incumbent's fastest."""
        return min(rates(self.candidate)) > max(rates(self.incumbent))


def rates(turns: Sequence[SweepTurn]) -> list[float]:
    """Return the pictures a second of each turn."""
    return [turn.pictures_per_second for turn in turns]


@dataclass(frozen=True, slots=True)
class SweepVerdict:
    """Whether a candidate is taken, and why."""

    taken: bool
    reason: str


def equal_lines(one: SweepReading, other: SweepReading) -> float:
    """Return the share of lines that both read on the same picture, as scores compare text; 1 if there are none."""
    equal = lines = 0
    for mine, others in zip(one.lines, other.lines, strict=True):
        equal += 2 * (Counter(map(normalized, mine)) & Counter(map(normalized, others))).total()
        lines += len(mine) + len(others)
    return equal / lines if lines else 1.0


def lost_by(read: SweepReading, default: SweepReading, limits: SweepLimits) -> str | None:
    """Return what a candidate loses against the default that it may not, None if it passes the gate."""
    if read.word_f1 is not None and default.word_f1 is not None:
        loss = default.word_f1 - read.word_f1
        # Both are quotients; a loss of exactly the limit must not fail by how floats are rounded.
        if round(loss - limits.max_word_f1_loss, 9) > 0:
            return f"word F1 {read.word_f1:.4f} is {loss:.4f} under the default's, over {limits.max_word_f1_loss:g}"
        return None
    share = equal_lines(read, default)
    if share < limits.min_equal_lines:
        return f"{share:.1%} of the lines are read as with the default, under {limits.min_equal_lines:.1%}"
    return None


def over_memory(rss_mb: float, limits: SweepLimits) -> bool:
    """Return whether a server takes more memory than it may."""
    return limits.memory_mb is not None and rss_mb > limits.memory_mb


def too_large(rss_mb: float, incumbent_rss_mb: float, limits: SweepLimits) -> str | None:
    """Return why a candidate takes too much memory, None if it does not, or takes less than one that does not fit."""
    is_less = over_memory(incumbent_rss_mb, limits) and rss_mb < incumbent_rss_mb
    return f"takes {rss_mb:.0f} MB, over {limits.memory_mb:g}" if over_memory(rss_mb, limits) and not is_less else None


def judge(compared: SweepComparison, rss_mb: float, incumbent_rss_mb: float, limits: SweepLimits) -> SweepVerdict:
    """Return whether a candidate that passed the gate is taken.

    While the incumbent does not fit into the memory, what takes less is taken, however fast it is.
    """
    large = too_large(rss_mb, incumbent_rss_mb, limits)
    if large is not None:
        return SweepVerdict(taken=False, reason=large)
    if over_memory(incumbent_rss_mb, limits):
        return SweepVerdict(
            taken=True,
            reason=f"takes {rss_mb:.0f} MB, and {incumbent_rss_mb:.0f} before it are over {limits.memory_mb:g}",
        )
    if compared.is_beyond_spread:
        return SweepVerdict(taken=True, reason=f"{compared.gain:+.1%}, its slowest round over the other's fastest")
    return SweepVerdict(taken=False, reason=f"{compared.gain:+.1%}, not beyond the spread of the rounds")
