"""The HTML report on a dead-letter topic. Needs the extra `evaluation`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markupsafe import Markup

from worker.dlq.inspect.statistics import OTHER, ErrorGroup, Statistics
from worker.dlq.inspect.statistics_text import format_duration
from worker.dlq.inspect.timeline import TimeBin
from worker.reporting import plots
from worker.reporting.formats import moment, percent, whole
from worker.reporting.render import render, write

_MAX_GROUPS: Final = 200
_MAX_SERIES: Final = 5
_SECONDS_SHOWN_BELOW: Final = 60
_HOURS_SHOWN_BELOW: Final = 86400


@dataclass(frozen=True, slots=True)
class _GroupRow:
    group: ErrorGroup
    share: float


def write_report(statistics: Statistics, topic: str, filters: str, path: Path) -> Path:
    """Write the page and return where."""
    return write(path, page(statistics, topic, filters))


def page(statistics: Statistics, topic: str, filters: str) -> str:
    """Return the page; `filters` says in words which letters were counted."""
    groups = statistics.groups
    return render(
        "dead_letters",
        kind="dead letters",
        title=f"{whole(statistics.letters)} dead letter{'' if statistics.letters == 1 else 's'} on {topic}",
        lead=_lead(statistics, filters),
        letters=statistics.letters,
        cluster_count=len(groups),
        largest=percent(statistics.share(groups[0])) if groups else percent(None),
        codes=_codes(statistics),
        plot=_plot(statistics),
        rows=[_GroupRow(each, statistics.share(each)) for each in groups[:_MAX_GROUPS]],
        left_out=max(0, len(groups) - _MAX_GROUPS),
    )


def _lead(statistics: Statistics, filters: str) -> str:
    span = statistics.span_ms
    when = f"They failed between {moment(span[0])} and {moment(span[1])}." if span else "There are none."
    return f"Counted: {filters}. {when}"


@dataclass(frozen=True, slots=True)
class _CountBar:
    name: str
    share: float
    amount: str


def _codes(statistics: Statistics) -> list[_CountBar]:
    counts: Counter[str] = Counter()
    for each in statistics.groups:
        counts[each.code] += each.count
    most = max(counts.values(), default=1)
    return [_CountBar(code, count / most, whole(count)) for code, count in counts.most_common()]


def _plot(statistics: Statistics) -> Markup:
    bins, width_seconds = statistics.timeline.bins(), statistics.timeline.width_seconds
    return plots.over_time(
        _series(bins),
        [_start(each, width_seconds) for each in bins],
        f"failures in {format_duration(width_seconds)}, UTC",
    )


def _series(bins: Sequence[TimeBin]) -> Mapping[str, Sequence[float]]:
    totals: Counter[str] = Counter()
    for each in bins:
        totals.update(each.counts)
    named = [code for code, _ in totals.most_common()]
    if len(named) > _MAX_SERIES:
        named = [code for code in named if code != OTHER][: _MAX_SERIES - 1]
    series: dict[str, Sequence[float]] = {code: [each.counts.get(code, 0) for each in bins] for code in named}
    rest = [each.total - sum(each.counts.get(code, 0) for code in named) for each in bins]
    return series | {OTHER: rest} if any(rest) else series


def _start(each: TimeBin, width_seconds: int) -> str:
    day, _, clock = moment(each.start_ms).removesuffix("Z").partition(" ")
    if width_seconds >= _HOURS_SHOWN_BELOW:
        return day
    return f"{day}\n{clock if width_seconds < _SECONDS_SHOWN_BELOW else clock[:5]}"
