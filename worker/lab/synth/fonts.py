"""The fonts that labels are set in: free families out of packages, so that a seed gives the same picture anywhere."""

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Final

from PIL import ImageFont

from worker.domain.errors import LabelwireError


@dataclass(frozen=True, slots=True)
class Face:
    """One font file of an installed package, in one of its folders."""

    package: str
    file: str
    folder: str = "files"


@dataclass(frozen=True, slots=True)
class Family:
    """The two weights that a label uses."""

    regular: Face
    bold: Face


def _family(package: str, stem: str, suffix: str, bold: str = "Bold") -> Family:
    return Family(Face(package, f"{stem}-Medium.{suffix}"), Face(package, f"{stem}-{bold}.{suffix}"))


ROBOTO: Final = _family("font_roboto", "Roboto", "ttf")
ROBOTO_BLACK: Final = _family("font_roboto", "Roboto", "ttf", bold="Black")
HANKEN: Final = _family("font_hanken_grotesk", "HankenGrotesk", "otf")
SOURCE_SANS: Final = Family(
    Face("font_source_sans_pro", "SourceSansPro-Semibold.ttf"), Face("font_source_sans_pro", "SourceSansPro-Bold.ttf")
)
SOURCE_SERIF: Final = Family(
    Face("font_source_serif_pro", "SourceSerifPro-Semibold.ttf"),
    Face("font_source_serif_pro", "SourceSerifPro-Bold.ttf"),
)


Font = ImageFont.FreeTypeFont


@lru_cache(maxsize=512)
def load(face: Face, size_pixels: int) -> Font:
    """Return the font at a size of the em square in pixels. Raises `LabelwireError` if its package is missing."""
    try:
        file = resources.files(face.package) / face.folder / face.file
        with resources.as_file(file) as path:
            return ImageFont.truetype(path, size_pixels, layout_engine=ImageFont.Layout.BASIC)
    except (ModuleNotFoundError, OSError) as error:
        raise LabelwireError(
            f"The font {face.file} of the package {face.package} cannot be loaded ({error}); "
            "run this in a checkout after make setup."
        ) from error
