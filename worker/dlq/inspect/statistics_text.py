"""Counted dead letters for a terminal.

Invariant: control characters in foreign text are escaped, and no text is taken for markup.
"""

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from worker.dlq.inspect.statistics import ErrorGroup, Statistics
from worker.dlq.inspect.timeline import TimeBin
from worker.reporting.formats import moment, printable, quantity

_MAX_GROUPS: Final = 20
_MAX_BARS: Final = 30
_LONGEST_BAR: Final = 48
_INDENT: Final = " " * 18
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_UNITS: Final = ((7 * 86400, "week"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def format_statistics(statistics: Statistics, topic: str) -> Iterator[Text]:
    """Yield lines with the groups and bars over time."""
    span = statistics.span_ms
    if span is None:
        yield Text(f"No dead letter on {topic} matches.")
        return
    head = f"{quantity(statistics.letters, 'dead letter')} on {topic}, {moment(span[0])} to {moment(span[1])}"
    yield Text(head, style="bold")
    for each in statistics.groups[:_MAX_GROUPS]:
        yield Text()
        yield from _group(each, statistics.share(each))
    left_out = len(statistics.groups) - _MAX_GROUPS
    if left_out > 0:
        yield Text(f"\nand {quantity(left_out, 'smaller group')}; --json lists all.")
    yield Text()
    yield from _bars(statistics)


def format_duration(seconds: int) -> str:
    """Return how much time a bin covers, as `5 minutes`."""
    unit_seconds, unit = next((each for each in _UNITS if seconds % each[0] == 0), _UNITS[-1])
    count = seconds // unit_seconds
    return f"{count} {unit}s" if count > 1 else f"1 {unit}"


def _group(group: ErrorGroup, share: float) -> Iterator[Text]:
    code, stage, fingerprint = (printable(name) for name in (group.code, group.stage, group.fingerprint))
    counted = f"{group.count:>8}  {share:>6.1%}  "
    yield Text.assemble((counted, "bold"), (code, "yellow"), f"  at {stage}  fingerprint {fingerprint}")
    yield Text(f"{_INDENT}{printable(group.message)}")
    when = f"{_INDENT}{moment(group.first_ms)} to {moment(group.last_ms)}, newest letter {group.example}"
    yield Text(when, style="dim")


def _bars(statistics: Statistics) -> Iterator[Text]:
    timeline = statistics.timeline.at_most(_MAX_BARS)
    bins = timeline.bins()
    most = max(each.total for each in bins)
    yield Text(f"failures in {format_duration(timeline.width_seconds)}", style="dim")
    for each in bins:
        yield Text.assemble((moment(each.start_ms), "dim"), " ", (_bar(each, most), "yellow"), f" {each.total}")


def _bar(each: TimeBin, most: int) -> str:
    eighths = round(8 * _LONGEST_BAR * each.total / most)
    if each.total and not eighths:
        eighths = 1
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
