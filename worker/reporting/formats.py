"""Numbers as people read them; None is a dash."""

from collections.abc import Callable
from typing import Any, Final

_WHOLE_MILLISECONDS: Final = 10
_A_SECOND: Final = 1000
DASH: Final = "–"  # noqa: RUF001 - a dash is meant


def decimals(value: float | None, places: int = 3) -> str:
    """Return a number with a fixed count of decimals."""
    return DASH if value is None else f"{value:.{places}f}"


def signed(value: float | None, places: int = 3) -> str:
    """Return a difference with its sign."""
    return DASH if value is None else f"{value:+.{places}f}".replace("-", "\N{MINUS SIGN}")


def duration(milliseconds: float | None) -> str:
    """Return milliseconds in a unit that fits."""
    if milliseconds is None:
        return DASH
    if milliseconds < _WHOLE_MILLISECONDS:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:.0f} ms" if milliseconds < _A_SECOND else f"{milliseconds / _A_SECOND:.2f} s"


def times(value: float | None) -> str:
    """Return a ratio."""
    return DASH if value is None else f"{value:.2f} ×"  # noqa: RUF001 - the sign of multiplication is meant


def percent(value: float | None) -> str:
    """Return a share."""
    return DASH if value is None else f"{100 * value:.0f} %"


def whole(value: float | None) -> str:
    """Return a whole number, thousands apart."""
    return DASH if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    function.__name__: function for function in (decimals, signed, duration, times, percent, whole)
}
