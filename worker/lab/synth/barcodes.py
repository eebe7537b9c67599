"""Barcodes as arrays of modules, written by zxing-cpp, to be drawn at whole pixels a module."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

_INK: Final = 128
_FINE: Final = 6  # pixels a module before it is brought to size
_MAXICODE_SHARE: Final = 0.94  # of the space; the rest is quiet zone


class LabelSymbology(Enum):
    """The symbologies that labels carry, by zxing-cpp's name of the format."""

    CODE_128 = "Code128"
    ITF = "ITF"
    EAN_13 = "EAN13"
    QR_CODE = "QRCode"
    DATA_MATRIX = "DataMatrix"
    PDF417 = "PDF417"
    MAXICODE = "MaxiCode"

    @property
    def is_linear(self) -> bool:
        """Whether the symbol is bars, which may be cut to any height."""
        return self in (LabelSymbology.CODE_128, LabelSymbology.ITF, LabelSymbology.EAN_13)

    @property
    def quiet_modules(self) -> int:
        """Modules of white paper that the standard asks for on each side."""
        return {
            LabelSymbology.CODE_128: 10,
            LabelSymbology.ITF: 10,
            LabelSymbology.EAN_13: 11,
            LabelSymbology.QR_CODE: 4,
        }.get(self, 2)


@dataclass(frozen=True, slots=True)
class Symbol:
    """What to encode. In GS1 content the application identifiers stand in parentheses."""

    symbology: LabelSymbology
    content: str
    gs1: bool = False
    options: dict[str, object] = field(default_factory=dict)

    @property
    def format_name(self) -> str:
        """The format as truth files name it."""
        return f"GS1-{self.symbology.value}" if self.gs1 else self.symbology.value


def modules(symbol: Symbol) -> NDArray[np.bool_]:
    """Return the symbol without quiet zone, bool [rows, columns], true where there is ink; bars have one row."""
    ink = _written(symbol, 1)
    return ink[:1] if symbol.symbology.is_linear else ink


def bars(symbol: Symbol, width_pixels: int, height_pixels: int) -> NDArray[np.bool_]:
    """Return the symbol as pixels, as large as whole pixels a module fit into the size with the quiet zone.

    Bars are as high as asked for. Never under one pixel a module, whatever the size. MaxiCode's hexagons have no
    whole pixels; it is drawn finer and brought to the size.
    """
    if symbol.symbology is LabelSymbology.MAXICODE:
        return _hexagons(symbol, min(width_pixels, height_pixels))
    grid = modules(symbol)
    rows, columns = grid.shape
    quiet = 2 * symbol.symbology.quiet_modules
    pixels = max(1, width_pixels // (columns + quiet))
    if symbol.symbology.is_linear:
        return np.repeat(np.repeat(grid, pixels, axis=1), height_pixels, axis=0)
    pixels = max(1, min(pixels, height_pixels // (rows + quiet)))
    return np.repeat(np.repeat(grid, pixels, axis=1), pixels, axis=0)


def _hexagons(symbol: Symbol, side_pixels: int) -> NDArray[np.bool_]:
    fine = (_written(symbol, _FINE) * 255).astype(np.uint8)
    shrink = _MAXICODE_SHARE * side_pixels / max(fine.shape)
    return cv2.resize(fine, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) > _INK


def _written(symbol: Symbol, scale: int) -> NDArray[np.bool_]:
    options = dict(symbol.options) | ({"gs1": True} if symbol.gs1 else {})
    barcode = zxingcpp.create_barcode(symbol.content, zxingcpp.BarcodeFormat[symbol.symbology.value], **options)
    return np.asarray(barcode.to_image(scale=scale, add_quiet_zones=False)) < _INK
