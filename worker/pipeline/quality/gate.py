"""The quality gate: how well a page can be read, said before it is read.

Invariant: a page without anything on it is good, never an error; what is refused is a picture of which little would be
read right. Nothing is refused unless the deployment asks for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import PageImage, Pixels, TextRegion
from worker.domain.quality import PageQuality
from worker.pipeline.options import QualityMode, QualityOptions
from worker.pipeline.quality.blocks import Corner, PixelMeasures, measure, measure_windows
from worker.pipeline.quality.score import limit, scored
from worker.pipeline.quality.text import (
    BLUR,
    BLUR_SHARE,
    CONTRAST,
    CONTRAST_TO_NOISE,
    COVERED,
    DETECTION,
    GLARE,
    INK,
    PAPER,
    TEXT_HEIGHT,
    PageSize,
    ink_figures,
    text_figures,
)

__all__ = [
    "PixelMeasures",
    "QualityGate",
    "judge",
    "measure",
    "measure_windows",
    "refuse_if_hopeless",
    "refuse_if_poor",
]

_USUAL_TEXT_HEIGHT_PIXELS: Final = 32.0
_HOPELESS_BLUR_PIXELS: Final = 9.0
_DARK_LEVEL: Final = 32.0
_ONE_COLOR_LEVELS: Final = 3.0
_BUSY_LEVELS: Final = 40.0
_BUSY_SHARE: Final = 0.1


def judge(
    pixels: PixelMeasures, regions: Sequence[TextRegion], page_size: PageSize, options: QualityOptions
) -> PageQuality:
    """Return the quality of a page of (width, height) pixels with these regions of text.

    A page on which no text was found is good, unless it is too dark to tell or all that is on it is blurred.
    """
    figures = text_figures(pixels, regions, page_size)
    if regions:
        return scored(figures, options.floor)
    if _is_dark(pixels):
        return PageQuality(0.0, figures, (PAPER,))
    # That little stands out says nothing of a page without text; blurred print does, of the usual size.
    blur = {BLUR_SHARE: figures[BLUR] / _USUAL_TEXT_HEIGHT_PIXELS} if _is_busy(pixels) else {}
    return replace(scored(blur, options.floor), measures=figures | blur)


def refuse_if_hopeless(pixels: PixelMeasures, options: QualityOptions) -> None:
    """Refuse a picture that cannot be read, whatever a detector would find: too dark, or blurred beyond any print.

    Raises JobError IMAGE_QUALITY_POOR, in the mode `refuse` alone.
    """
    if options.mode is not QualityMode.REFUSE:
        return
    if _is_dark(pixels):
        level = float(pixels.highest.max())
        raise _poor(
            f"it is black: its brightest place has level {level:.0f} of 255, at least {_DARK_LEVEL:.0f} is "
            "needed: use more light, and look whether something covers the lens"
        )
    blur = ink_figures(pixels)[BLUR]
    if _is_busy(pixels) and blur >= _HOPELESS_BLUR_PIXELS:
        raise _poor(
            f"its edges are smeared over {blur:.0f} pixels, at most {_HOPELESS_BLUR_PIXELS:.0f} can be read: {_STEADY}"
        )


def refuse_if_poor(quality: PageQuality, options: QualityOptions) -> None:
    """Refuse a page whose score is under the floor, naming the measure that costs most.

    Raises JobError IMAGE_QUALITY_POOR, in the mode `refuse` alone.
    """
    if options.mode is not QualityMode.REFUSE or quality.score >= options.floor:
        return
    worst = quality.problems[0]
    found = _SENTENCES[worst](quality.measures[worst], limit(worst))
    raise _poor(f"its score is {quality.score:.2f}, under the floor of {options.floor:.2f}, because {found}")


@dataclass(frozen=True, slots=True)
class QualityGate:
    """What a page passes on its way; nothing is measured in the mode `off`."""

    options: QualityOptions

    def measure(self, page: PageImage) -> PixelMeasures | None:
        """Measure a decoded page. Raises JobError IMAGE_QUALITY_POOR if it is hopeless."""
        return self._checked(measure(page)) if self.options.mode is not QualityMode.OFF else None

    def measure_windows(self, windows: Sequence[Pixels], corners: Sequence[Corner]) -> PixelMeasures | None:
        """Measure windows out of a huge page; see `measure`."""
        wanted = self.options.mode is not QualityMode.OFF and windows
        return self._checked(measure_windows(windows, corners)) if wanted else None

    def judge(
        self, pixels: PixelMeasures | None, regions: Sequence[TextRegion], page_size: PageSize
    ) -> PageQuality | None:
        """Judge a page that was searched for text. Raises JobError IMAGE_QUALITY_POOR if it is under the floor."""
        if pixels is None:
            return None
        quality = judge(pixels, regions, page_size, self.options)
        refuse_if_poor(quality, self.options)
        return quality

    def _checked(self, pixels: PixelMeasures) -> PixelMeasures:
        refuse_if_hopeless(pixels, self.options)
        return pixels


def _is_dark(pixels: PixelMeasures) -> bool:
    """Tell whether something is there, but hardly any light; a page of one dark color is just a page."""
    levels = float(pixels.highest.max()) - float(np.min(pixels.lowest))
    return float(pixels.highest.max()) < _DARK_LEVEL and levels > _ONE_COLOR_LEVELS


def _is_busy(pixels: PixelMeasures) -> bool:
    """Tell whether a good part of the page has edges; one shadow on blank paper is not enough."""
    return float((pixels.contrast >= _BUSY_LEVELS).mean()) >= _BUSY_SHARE


def _poor(what: str) -> JobError:
    return JobError(ErrorCode.IMAGE_QUALITY_POOR, f"The picture cannot be read well: {what}.")


_STEADY: Final = "hold still, let the camera focus, or wipe the lens"

# Each takes the measure's value and its limit.
_SENTENCES: Final[Mapping[str, Callable[[float, float], str]]] = {
    TEXT_HEIGHT: lambda value, least: (
        f"its lines of text are {value:.0f} pixels high, at least {least:.0f} are needed: come closer, or scan at "
        f"{max(1.0, least / max(value, 1.0)):.1f} times the resolution (300 dpi does for most labels)"
    ),
    BLUR_SHARE: lambda value, most: (
        f"its edges are smeared over {value:.0%} of the height of the text, at most {most:.0%} can be read: {_STEADY}"
    ),
    CONTRAST: lambda value, least: (
        f"its ink differs from the paper by {value:.0f} levels of 255, at least {least:.0f} are needed: print darker, "
        "or use even light"
    ),
    CONTRAST_TO_NOISE: lambda value, least: (
        f"its ink stands out by {value:.1f} times the noise, at least {least:.1f} times is needed: use more light, or "
        "compress less"
    ),
    PAPER: lambda value, least: (
        f"it is too dark, its paper has level {value:.0f} of 255, at least {least:.0f} is needed: use more light"
    ),
    INK: lambda value, most: (
        f"it is washed out, its ink has level {value:.0f} of 255, at most {most:.0f} can be read on white: use less "
        "light or a shorter exposure, or print darker"
    ),
    DETECTION: lambda value, least: (
        f"its text is found with a certainty of {value:.2f} only, at least {least:.2f} is needed: lay the label flat, "
        "uncover it, and use more light"
    ),
    GLARE: lambda value, most: (
        f"{value:.0%} of the area of its text is lost to glare, at most {most:.0%} may be: turn the label or the lamp"
    ),
    COVERED: lambda value, most: (
        f"{value:.0%} of the area of its text lies under something, at most {most:.0%} may: uncover the label"
    ),
}
