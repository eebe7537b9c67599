"""How scores compare with what was read, as SVG in the page's colors."""

from collections.abc import Mapping, Sequence
from typing import Final

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worker.reporting.plots import INK, SERIES, SETTINGS, svg

Curve = tuple[Sequence[float], Sequence[float]]

_SIZE_INCHES: Final = (5.4, 5.0)  # of each, as they stand side by side


def reliability(points: Curve, curves: Mapping[str, Curve], label: str) -> Markup:
    """Return pictures as dots, their score to the right and what was read upwards, with the curves of bins over them.

    On the diagonal as much is read as the score foretells.
    """
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=_SIZE_INCHES)
        axes = drawing.add_subplot()
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (2, 3)), alpha=0.5)
        axes.scatter(*points, s=18, color=SERIES[0], alpha=0.3, linewidths=0)
        for (name, (right, up)), color in zip(curves.items(), SERIES, strict=False):
            axes.plot(right, up, color=color, marker="o", markersize=5, linewidth=2, label=name)
        _unit_square(axes)
        axes.set_xlabel("score")
        axes.set_ylabel(label)
        axes.legend(loc="lower right", fontsize=9)
        return svg(drawing)


def admission(floors: Sequence[float], curves: Mapping[str, Sequence[float | None]], in_use: float) -> Markup:
    """Return shares over the floor of the score: what is admitted, and how much of that is right.

    The floor that is in use is marked.
    """
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=_SIZE_INCHES)
        axes = drawing.add_subplot()
        for (name, shares), color in zip(curves.items(), SERIES, strict=False):
            known = [(floor, share) for floor, share in zip(floors, shares, strict=True) if share is not None]
            axes.plot(
                [floor for floor, _ in known], [share for _, share in known], color=color, linewidth=2, label=name
            )
        axes.axvline(in_use, color=INK, linewidth=1, linestyle=(0, (2, 3)), alpha=0.5)
        _unit_square(axes)
        axes.set_xlabel("floor")
        axes.set_ylabel("share")
        axes.legend(loc="lower left", fontsize=9)
        return svg(drawing)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.04)
    axes.grid(visible=True, linewidth=0.6)
    axes.set_axisbelow(True)
