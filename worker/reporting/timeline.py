"""A run over time: how much was done each second, and what happened meanwhile, row by row."""

from collections.abc import Mapping, Sequence
from typing import Final

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from worker.reporting.plots import INK, SERIES, SETTINGS, svg

_WIDTH: Final = 12.5
_CURVE_HEIGHT: Final = 2.0
_ROW_HEIGHT: Final = 0.26
_BAR_HEIGHT: Final = 0.62
_SHORTEST_SHARE: Final = 0.003

Span = tuple[float, float]


def timeline(
    done_at_seconds: Sequence[float],
    seconds: float,
    rows: Mapping[str, Sequence[Span]],
    *,
    label: str,
    marks: Mapping[str, float] | None = None,
) -> Markup:
    """Return how many things were done in each second, above one row of spans (begin, end) for each kind of event.

    `label` says what is counted; `marks` are moments with a name. All times are seconds, from 0 to `seconds`.
    """
    with mpl.rc_context(SETTINGS):
        heights = [_CURVE_HEIGHT, max(1, len(rows)) * _ROW_HEIGHT]
        drawing = Figure(figsize=(_WIDTH, sum(heights) + 0.7))
        curve, events = drawing.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": heights, "hspace": 0.08})
        _draw_curve(curve, done_at_seconds, seconds, label)
        _draw_rows(events, rows, seconds)
        for name, at_seconds in (marks or {}).items():
            for axes in (curve, events):
                axes.axvline(at_seconds, color=INK, linewidth=1, linestyle=(0, (2, 2)))
            curve.annotate(name, (at_seconds, 1), xycoords=("data", "axes fraction"), xytext=(4, -9),
                           textcoords="offset points", fontsize=9)  # fmt: skip
        events.set_xlim(0, seconds)
        events.set_xlabel("seconds")
        return svg(drawing)


def _draw_curve(axes: Axes, done_at_seconds: Sequence[float], seconds: float, label: str) -> None:
    bins = max(1, round(seconds))
    axes.hist(done_at_seconds, bins=bins, range=(0, seconds), histtype="stepfilled", color=SERIES[1], alpha=0.75)
    axes.set_ylabel(label)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.tick_params(axis="x", length=0, labelbottom=False)
    axes.grid(visible=True, axis="y", linewidth=0.6)
    axes.set_axisbelow(True)


def _draw_rows(axes: Axes, rows: Mapping[str, Sequence[Span]], seconds: float) -> None:
    shortest = seconds * _SHORTEST_SHARE
    for row, spans in enumerate(rows.values()):
        bars = [(begin, max(end - begin, shortest)) for begin, end in spans]
        axes.broken_barh(bars, (row - _BAR_HEIGHT / 2, _BAR_HEIGHT), color=SERIES[row % len(SERIES)], linewidth=0)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="both", linewidth=0.6)
    axes.set_axisbelow(True)
