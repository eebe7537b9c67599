"""Counted dead letters for a terminal.

Invariant: nothing foreign reaches the terminal unwritten-out, and no text is taken for markup.
"""

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.dlq.statistics import Cluster, Statistics
from worker.dlq.timeline import Bin
from worker.reporting.formats import moment, percent, printable

_MOST_CLUSTERS: Final = 20
_MOST_BARS: Final = 24
_LONGEST_BAR: Final = 48
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_UNITS: Final = ((7 * 86400, "week"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def told(statistics: Statistics, topic: str) -> RenderableType:
    """Return clusters and bars over time."""
    span = statistics.span_ms
    if span is None:
        return Text(f"{topic} holds no dead letters that match.")
    head = f"{statistics.letters} dead letters on {topic}, {moment(span[0])} to {moment(span[1])}"
    return Group(Text(head, style="bold"), Text(), _clusters(statistics), Text(), *_bars(statistics))


def width_in_words(seconds: int) -> str:
    """Return how much time a bin covers, as `5 minutes`."""
    unit_seconds, unit = next((each for each in _UNITS if seconds % each[0] == 0), _UNITS[-1])
    count = seconds // unit_seconds
    return f"{count} {unit}s" if count > 1 else f"1 {unit}"


def _clusters(statistics: Statistics) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("letters", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    for name in ("code", "stage", "fingerprint"):
        table.add_column(name, no_wrap=True)
    table.add_column("first, last, newest letter, its message", overflow="fold")
    shown = statistics.clusters[:_MOST_CLUSTERS]
    for each in shown:
        table.add_row(
            Text(str(each.count), style="bold"),
            Text(percent(statistics.share(each))),
            Text(each.code, style="yellow"),
            Text(each.stage),
            Text(each.fingerprint),
            _particulars(each),
        )
    left_out = len(statistics.clusters) - len(shown)
    return Group(table, Text(f"and {left_out} smaller clusters: --json lists them.")) if left_out else table


def _particulars(cluster: Cluster) -> Text:
    when = f"{moment(cluster.first_ms)}, {moment(cluster.last_ms)}, {printable(str(cluster.example))}\n"
    return Text.assemble((when, "dim"), printable(cluster.message))


def _bars(statistics: Statistics) -> Iterator[Text]:
    timeline = statistics.timeline.at_most(_MOST_BARS)
    bins = timeline.bins()
    most = max(each.total for each in bins)
    yield Text(f"failures in {width_in_words(timeline.width_seconds)}", style="dim")
    for each in bins:
        yield Text.assemble((moment(each.start_ms), "dim"), " ", (_bar(each, most), "yellow"), f" {each.total}")


def _bar(each: Bin, most: int) -> str:
    eighths = round(8 * _LONGEST_BAR * each.total / most)
    if each.total and not eighths:
        eighths = 1
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
