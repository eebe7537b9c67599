"""A table of a TOML file that declares fields or numbers, read key by key.

Invariant: whatever is wrong raises SettingsError with one sentence that names the file, the table, the value and the
remedy.
"""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from worker.domain.errors import SettingsError

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


class TomlTable:
    """One table; `what` is what messages call it, such as `the field 'bay'`."""

    def __init__(self, path: Path, what: str, table: object) -> None:
        self._path = path
        self._what = what
        self._table = table

    def mapping(self, keys: Sequence[str], remedy: str) -> Mapping[str, Any]:
        """Return the table if it has no other keys than these. Raises SettingsError, as all methods do."""
        if not isinstance(self._table, dict):
            raise self.wrong(f"is {self._table!r} and no table", remedy)
        for key in self._table:
            if key not in keys:
                raise self.wrong(f"has the unknown key {key!r}", _nearest(key, keys, f"the keys are {', '.join(keys)}"))
        return self._table

    def text(self, key: str, most: int, default: str = "") -> str:
        """Return a text of at most `most` characters."""
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self.wrong(f"has {key} = {value!r}", "give a text in quotes")
        if len(value) > most:
            raise self.wrong(f"has a {key} of {len(value)} characters", f"{most} are the most")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.wrong(f"has {key} = {value!r}", "give true or false")
        return value

    def whole_number(self, key: str, most: int) -> int:
        """Return a number from 0 to `most`, 0 where there is none."""
        value = self._value(key, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise self.wrong(f"has {key} = {value!r}", f"give a whole number from 0 to {most}")
        return value

    def texts(self, key: str, most: int, default: Sequence[str] = ()) -> tuple[str, ...]:
        """Return a list of at most `most` texts."""
        value = self._value(key, list(default))
        if not isinstance(value, list) or len(value) > most:
            raise self.wrong(f"has {key} = {value!r}", f"give a list of at most {most} texts")
        for text in value:
            if not isinstance(text, str):
                raise self.wrong(f"has {text!r} in {key}", "give a text in quotes")
        return tuple(value)

    def one_of(self, key: str, known: Collection[str], default: str, remedy: str) -> str:
        """Return a text out of a closed list."""
        value = self.text(key, max(map(len, known)) + 20, default)
        if value not in known:
            raise self.wrong(f"has {key} = {value!r}", _nearest(value, known, remedy))
        return value

    def some_of(self, key: str, known: Collection[str], default: Sequence[str], remedy: str) -> tuple[str, ...]:
        """Return texts, each out of a closed list."""
        values = self.texts(key, len(known), default)
        for value in values:
            if value not in known:
                raise self.wrong(f"has {value!r} in {key}", _nearest(value, known, remedy))
        return values

    def wrong(self, what: str, remedy: str) -> SettingsError:
        """Return the error that says what is wrong with the table and what to do."""
        return SettingsError(f"{self._path}: {self._what} {what}; {remedy}{'' if remedy[-1] == '?' else '.'}")

    def _value(self, key: str, default: object) -> object:
        return self._table.get(key, default) if isinstance(self._table, dict) else default


def _nearest(value: str, known: Collection[str], remedy: str) -> str:
    near = difflib.get_close_matches(value, known, n=1)
    return f"did you mean {near[0]}?" if near else remedy
