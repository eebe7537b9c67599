"""Numbers, times and foreign texts as people read them; None is a dash."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

_WHOLE_MILLISECONDS: Final = 10
_A_SECOND: Final = 1000
_KIBIBYTE: Final = 1024
_LAST_YEARS_END_SECONDS: Final = 253_402_300_799  # of the year 9999, which is datetime's last
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


def quantity(count: int, noun: str) -> str:
    """Return a count with its noun, whose plural ends in s: `1 letter`, `2 letters`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def moment(epoch_ms: int | None) -> str:
    """Return a time in UTC, to the second."""
    if epoch_ms is None:
        return DASH
    seconds = epoch_ms // _A_SECOND
    if not 0 <= seconds <= _LAST_YEARS_END_SECONDS:
        return f"{epoch_ms} ms"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}Z"


def size(count_bytes: int) -> str:
    """Return bytes in a unit that fits."""
    if count_bytes < _KIBIBYTE:
        return f"{count_bytes} B"
    if count_bytes < _KIBIBYTE * _KIBIBYTE:
        return f"{count_bytes / _KIBIBYTE:.1f} KiB"
    return f"{count_bytes / _KIBIBYTE / _KIBIBYTE:.1f} MiB"


def printable(text: str) -> str:
    r"""Return a foreign text with everything a terminal would obey or hide written out.

    Control characters (escape sequences, line ends), marks that turn the direction of writing, characters without
    width and lone surrogates become `\x1b` and the like.
    """
    return text if text.isprintable() else "".join(_written_out(character) for character in text)


def _written_out(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (decimals, signed, duration, times, percent, whole, moment, size, printable)
}
