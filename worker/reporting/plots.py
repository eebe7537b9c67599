"""Plots as SVG that follow the page's colors, light or dark.

matplotlib draws in stand-in colors, which become the stylesheet's variables afterwards. Text stays text, so that it is
set in the page's own face. The same data give the same bytes.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_COLORS: Final = {
    "#010101": "var(--ink)",
    "#020202": "var(--faint)",
    "#030303": "var(--rule)",
    "#0a0001": "var(--series-1)",
    "#0a0002": "var(--series-2)",
    "#0a0003": "var(--series-3)",
    "#0a0004": "var(--series-4)",
    "#0a0005": "var(--series-5)",
}
INK, _FAINT, _RULE = "#010101", "#020202", "#030303"
_MAX_TIME_MARKS: Final = 6
_MIN_TIME_BINS: Final = 12
_MAX_MARKED_POINTS: Final = 20
SERIES: Final = tuple(f"#0a000{number}" for number in range(1, 6))
# Typed as anything: matplotlib's own type lists every key there is.
SETTINGS: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "labelwire",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _FAINT,
    "xtick.color": _RULE,
    "ytick.color": _RULE,
    "xtick.labelcolor": _FAINT,
    "ytick.labelcolor": _FAINT,
    "grid.color": _RULE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "legend.frameon": False,
}


def distribution(series: Mapping[str, Sequence[float]], label: str, bins: int = 20) -> Markup:
    """Return histograms over one axis, one below the other, with a mark at each median."""
    present = {name: values for name, values in series.items() if values}
    if not present:
        return nothing()
    everything = [value for values in present.values() for value in values]
    span = (min(everything), max(everything))
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=(6.4, 0.5 + 1.1 * len(present)))
        rows = drawing.subplots(len(present), 1, sharex=True, squeeze=False, gridspec_kw={"hspace": 0.6})[:, 0]
        for axes, (name, values), color in zip(rows, present.items(), SERIES, strict=False):
            axes.hist(values, bins=bins, range=span if span[0] < span[1] else None, color=color, rwidth=0.86)
            axes.axvline(sorted(values)[len(values) // 2], color=INK, linewidth=1, linestyle=(0, (2, 2)))
            axes.set_title(name, loc="left", fontsize=10, color=INK)
            axes.spines["left"].set_visible(False)
            axes.set_yticks([])
        rows[-1].set_xlabel(label)
        return svg(drawing)


def paired(
    first: Sequence[float], second: Sequence[float], names: tuple[str, str], labels: Sequence[str], label: str
) -> Markup:
    """Return each picture as a dot: how the second system reads it to the right, the first one upwards."""
    if not first:
        return nothing()
    low = min(*first, *second) - 0.01
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=(4.6, 4.4))
        axes = drawing.add_subplot()
        axes.plot([low, 1], [low, 1], color=_RULE, linewidth=1)
        axes.scatter(second, first, s=34, color=SERIES[0], alpha=0.85, linewidths=0)
        worst = sorted(zip(first, second, labels, strict=True), key=lambda row: min(row[0], row[1]))[:3]
        for upwards, rightwards, text in worst:
            axes.annotate(text, (rightwards, upwards), textcoords="offset points", xytext=(6, -3), fontsize=8)
        axes.set_xlabel(f"{label}, {names[1]}")
        axes.set_ylabel(f"{label}, {names[0]}")
        axes.set_aspect("equal")
        return svg(drawing)


def rounds(series: Mapping[str, Sequence[float]], label: str) -> Markup:
    """Return one row of dots a system, one dot a round, with a bar up to the median."""
    present = {name: values for name, values in series.items() if values}
    if not present:
        return nothing()
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=(6.4, 0.7 + 0.42 * len(present)))
        axes = drawing.add_subplot()
        for row, (values, color) in enumerate(zip(present.values(), _cycled(len(present)), strict=True)):
            axes.barh(row, _median(values), height=0.5, color=color, alpha=0.35, linewidth=0)
            axes.scatter(values, [row] * len(values), s=26, color=color, linewidths=0, zorder=3)
        axes.set_yticks(range(len(present)), list(present))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel(label)
        quiet(axes)
        return svg(drawing)


def stacked(rows: Mapping[str, Mapping[str, float]], names: Sequence[str], label: str) -> Markup:
    """Return one bar a row, made of its named parts in the order of `names`; a part has one color in all rows."""
    if not names:
        return nothing()
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=(6.4, 1.0 + 0.42 * len(rows)))
        axes = drawing.add_subplot()
        left = [0.0] * len(rows)
        for number, (name, color) in enumerate(zip(names, _cycled(len(names)), strict=True)):
            widths = [parts.get(name, 0.0) for parts in rows.values()]
            # Colors come again after the last one, paler.
            alpha = 0.9 if number < len(SERIES) else 0.45
            axes.barh(
                range(len(rows)), widths, left=left, height=0.6, color=color, alpha=alpha, label=name, linewidth=0
            )
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.set_yticks(range(len(rows)), list(rows))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=9, handlelength=0.9, borderaxespad=0)
        quiet(axes)
        return svg(drawing)


def by_kind(kinds: Sequence[str], series: Mapping[str, Sequence[float | None]], label: str) -> Markup:
    """Return one row a kind with a dot for each series, all shares from 0 to 1; what is None has no dot."""
    known = [value for values in series.values() for value in values if value is not None]
    if not known:
        return nothing()
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=(6.4, 0.9 + 0.26 * len(kinds)))
        axes = drawing.add_subplot()
        for (name, values), color, marker in zip(series.items(), SERIES, "osD", strict=False):
            told = [value for value in values if value is not None]
            rows = [row for row, value in enumerate(values) if value is not None]
            axes.scatter(told, rows, s=38, color=color, marker=marker, linewidths=0, label=name, zorder=3)
        axes.set_yticks(range(len(kinds)), list(kinds))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.invert_yaxis()
        axes.set_xlim(max(0.0, min(known) - 0.05), 1.015)
        axes.set_xlabel(label)
        axes.grid(visible=True, axis="y", linewidth=0.4)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=9, handletextpad=0.2, borderaxespad=0)
        quiet(axes)
        return svg(drawing)


def reliability(sure: Sequence[float], right: Sequence[float], counts: Sequence[int], label: str) -> Markup:
    """Return how often the reader was right against how sure it was, one dot a bin, as large as the bin is full."""
    if not sure:
        return nothing()
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=(4.2, 3.6))
        axes = drawing.add_subplot()
        low = max(0.0, min(*sure, *right) - 0.05)
        axes.plot([low, 1], [low, 1], color=_RULE, linewidth=1)
        sizes = [16 + 240 * count / max(counts) for count in counts]
        axes.scatter(sure, right, s=sizes, color=SERIES[0], alpha=0.75, linewidths=0, zorder=3)
        axes.set_xlabel(f"confidence of {label}")
        axes.set_ylabel("share that is right")
        return svg(drawing)


def batches(histogram: Mapping[int, int], label: str) -> Markup:
    """Return how often a model ran with each batch size."""
    if not histogram:
        return nothing()
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=(4.2, 1.7))
        axes = drawing.add_subplot()
        axes.bar(list(histogram), list(histogram.values()), color=SERIES[0], width=0.8)
        axes.set_xlabel(label)
        axes.set_ylabel("executions")
        axes.set_xlim(0.3, max(histogram) + 0.7)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        return svg(drawing)


def over_time(series: Mapping[str, Sequence[float]], starts: Sequence[str], label: str) -> Markup:
    """Return what happened in each of the bins that begin at `starts`, one series on top of the other."""
    if not starts:
        return nothing()
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=(6.4, 2.4))
        axes = drawing.add_subplot()
        below = [0.0] * len(starts)
        for (name, counts), color in zip(series.items(), _cycled(len(series)), strict=True):
            axes.bar(range(len(starts)), counts, bottom=below, width=0.86, color=color, label=name, linewidth=0)
            below = [height + count for height, count in zip(below, counts, strict=True)]
        marked = range(0, len(starts), max(1, math.ceil(len(starts) / _MAX_TIME_MARKS)))
        axes.set_xticks(marked, [starts[place] for place in marked], fontsize=8)
        axes.set_xlim(-0.6, max(len(starts), _MIN_TIME_BINS) - 0.4)
        axes.set_xlabel(label)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=True, axis="y", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=9, handlelength=0.9, borderaxespad=0)
        return svg(drawing)


def courses(series: Mapping[str, Sequence[tuple[float, float]]], across: str, upwards: str) -> Markup:
    """Return one line a series through its points (x, y), from zero upwards; `across` and `upwards` name the axes."""
    present = {name: points for name, points in series.items() if points}
    if not present:
        return nothing()
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=(6.4, 2.8))
        axes = drawing.add_subplot()
        for (name, points), color in zip(present.items(), _cycled(len(present)), strict=True):
            marker = "o" if len(points) <= _MAX_MARKED_POINTS else ""
            axes.plot(*zip(*points, strict=True), color=color, marker=marker, markersize=4, linewidth=1.6, label=name)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(across)
        axes.set_ylabel(upwards)
        axes.grid(visible=True, axis="y", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=9, handlelength=0.9, borderaxespad=0)
        return svg(drawing)


def quiet(axes: Axes) -> None:
    """Leave out the line on the left of rows, and mark the values along them."""
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x", linewidth=0.6)
    axes.set_axisbelow(True)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _cycled(count: int) -> list[str]:
    return [SERIES[index % len(SERIES)] for index in range(count)]


def nothing() -> Markup:
    """Return what stands in the place of a plot without data."""
    return Markup('<p class="note">Nothing to plot.</p>')


def svg(drawing: Figure) -> Markup:
    """Return a figure that was drawn with `SETTINGS` as SVG in the page's colors."""
    stream = io.StringIO()
    drawing.savefig(stream, format="svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.04)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    for stand_in, variable in _COLORS.items():
        text = text.replace(stand_in, variable)
    text = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font: \1px var(--face)", text)
    text = re.sub(r'<svg ([^>]*?)width="[\d.]+pt" height="[\d.]+pt"', r"<svg \1", text.replace("\n", " "), count=1)
    return Markup(text)  # noqa: S704 - matplotlib escapes its texts
