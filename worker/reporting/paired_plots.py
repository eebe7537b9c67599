"""How two systems differ on the same pictures, as SVG in the page's colors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from worker.reporting.plots import INK, SERIES, SETTINGS, nothing, quiet, svg

_SIZE_INCHES: Final = 6.4
_BAR_SHARE: Final = 0.76  # of a row, for the bars of all systems together


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better a score is, with its interval; `limit` is the loss that is allowed, None if any is."""

    name: str
    value: float
    low: float
    high: float
    limit: float | None


def forest(gains: Sequence[Gain], label: str) -> Markup:
    """Return a forest plot: a dot with its interval for each score, what is better to the right of 0.

    A stroke marks the loss that is allowed; a dot on its left has another color.
    """
    if not gains:
        return nothing()
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=(_SIZE_INCHES, 0.7 + 0.42 * len(gains)))
        axes = drawing.add_subplot()
        axes.axvline(0, color=INK, linewidth=1)
        for row, gain in enumerate(gains):
            is_lost = gain.limit is not None and gain.value < -gain.limit
            color = SERIES[0] if is_lost else SERIES[1]
            axes.plot([gain.low, gain.high], [row, row], color=color, linewidth=3, solid_capstyle="butt", alpha=0.45)
            axes.scatter([gain.value], [row], s=46, color=color, linewidths=0, zorder=3)
            if gain.limit is not None:
                axes.plot([-gain.limit] * 2, [row - 0.32, row + 0.32], color=INK, linewidth=1, linestyle=(0, (2, 2)))
        axes.set_yticks(range(len(gains)), [gain.name for gain in gains])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(len(gains) - 0.5, -0.5)
        axes.set_xlabel(label)
        quiet(axes)
        return svg(drawing)


def medians(series: Mapping[str, Mapping[str, tuple[float, float]]], label: str) -> Markup:
    """Return rows of bars up to a median, one bar a system, with a line on to the 95th percentile.

    `series` holds (median, 95th percentile) by row for each system, whose rows come in the order of the first one.
    """
    rows = list(dict.fromkeys(row for times in series.values() for row in times))
    if not rows:
        return nothing()
    height = _BAR_SHARE / len(series)
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=(_SIZE_INCHES, 0.9 + 0.4 * len(rows)))
        axes = drawing.add_subplot()
        for place, ((name, times), color) in enumerate(zip(series.items(), SERIES, strict=False)):
            offset = (place - (len(series) - 1) / 2) * height
            at = [rows.index(row) + offset for row in times]
            middles = [median for median, _ in times.values()]
            axes.barh(at, middles, height=height * 0.9, color=color, alpha=0.75, linewidth=0, label=name)
            for row, (median, p95) in zip(at, times.values(), strict=True):
                axes.plot([median, p95], [row, row], color=color, linewidth=1.4)
        axes.set_yticks(range(len(rows)), rows)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel(label)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=9, handlelength=0.9, borderaxespad=0)
        quiet(axes)
        return svg(drawing)
