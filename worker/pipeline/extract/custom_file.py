"""The file in which a deployment declares its own fields: TOML, one table a field.

Invariant: nothing of the file takes effect unless all of it is right, and what is wrong is said in one sentence with
the field, the value and the remedy.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from worker.domain.errors import SettingsError
from worker.pipeline.extract.custom import NO_CHECK, CustomField, PatternError, known_checks
from worker.pipeline.extract.kinds import FORMS

CONTEXT_TYPES: Final = frozenset(
    {"address", "address_from", "address_to", "date", "phone", "postcode", "vat", "weight"}
)
_MOST_BYTES: Final = 64 * 1024
_MOST_FIELDS: Final = 64
_MOST_PATTERN_CHARACTERS: Final = 500
_MOST_LABELS: Final = 32
_MOST_LABEL_CHARACTERS: Final = 60
_MOST_STRIPPED: Final = 20
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_KEYS: Final = ("pattern", "check", "labels", "strip", "upper")


def built_in_types() -> frozenset[str]:
    """Return the types of fields that no file may declare."""
    return CONTEXT_TYPES | {form.type for form in FORMS}


def load_custom_fields(path: Path) -> tuple[CustomField, ...]:
    """Read the file. Raises SettingsError."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            f"The file of fields {path} cannot be read ({error.strerror}); correct LABELWIRE_FIELDS__FILE."
        ) from error
    if len(content) > _MOST_BYTES:
        raise SettingsError(f"The file of fields {path} is larger than {_MOST_BYTES} bytes; declare fewer fields.")
    try:
        tables = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"The file of fields {path} is no TOML: {error}.") from error
    if len(tables) > _MOST_FIELDS:
        raise SettingsError(f"The file of fields {path} declares {len(tables)} fields; {_MOST_FIELDS} are the most.")
    return tuple(_Declaration(path, name, table).field() for name, table in tables.items())


class _Declaration:
    """One table of the file, looked at key by key."""

    def __init__(self, path: Path, name: str, table: object) -> None:
        self._path = path
        self._name = name
        self._table = table

    def field(self) -> CustomField:
        self._look_at_name()
        table = self._mapping()
        pattern = self._text(table, "pattern", _MOST_PATTERN_CHARACTERS)
        if not pattern:
            raise self._wrong("has no pattern", "give it a regular expression of RE2")
        try:
            field = CustomField.of(
                self._name,
                pattern,
                check=self._check(table),
                labels=self._labels(table),
                strip=self._text(table, "strip", _MOST_STRIPPED),
                upper=self._upper(table),
            )
        except PatternError as error:
            remedy = "RE2 has no look-around, no back references and no repetition over 1000"
            raise self._wrong(f"has pattern {pattern!r}: {error}", remedy) from error
        if field.matches_nothing():
            raise self._wrong(
                f"has pattern {pattern!r}, which matches the empty text", "ask for one character at least"
            )
        return field

    def _look_at_name(self) -> None:
        if not _NAME.fullmatch(self._name):
            raise self._wrong("has a name that is none", "use small letters, digits and _, 40 at most, a letter first")
        if self._name in built_in_types():
            raise self._wrong("has the name of a built-in field", "choose another name")

    def _mapping(self) -> Mapping[str, Any]:
        if not isinstance(self._table, dict):
            raise self._wrong(f"is {self._table!r} and no table", f"write [{self._name}] and its keys below")
        for key in self._table:
            if key not in _KEYS:
                near = difflib.get_close_matches(key, _KEYS, n=1)
                remedy = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(_KEYS)}"
                raise self._wrong(f"has the unknown key {key!r}", remedy)
        return self._table

    def _text(self, table: Mapping[str, Any], key: str, most: int) -> str:
        value = table.get(key, "")
        if not isinstance(value, str):
            raise self._wrong(f"has {key} = {value!r}", "give a text in quotes")
        if len(value) > most:
            raise self._wrong(f"has a {key} of {len(value)} characters", f"{most} are the most")
        return value

    def _upper(self, table: Mapping[str, Any]) -> bool:
        value = table.get("upper", True)
        if not isinstance(value, bool):
            raise self._wrong(f"has upper = {value!r}", "give true or false")
        return value

    def _check(self, table: Mapping[str, Any]) -> str:
        check = self._text(table, "check", _MOST_STRIPPED) or NO_CHECK
        if check not in known_checks():
            near = difflib.get_close_matches(check, known_checks(), n=1)
            remedy = f"did you mean {near[0]}?" if near else "docs/fields.md lists the checks"
            raise self._wrong(f"has check = {check!r}", remedy)
        return check

    def _labels(self, table: Mapping[str, Any]) -> tuple[str, ...]:
        labels = table.get("labels", [])
        if not isinstance(labels, list) or len(labels) > _MOST_LABELS:
            raise self._wrong(f"has labels = {labels!r}", f"give a list of at most {_MOST_LABELS} texts")
        for label in labels:
            if not isinstance(label, str) or not any(map(str.isalnum, label)) or len(label) > _MOST_LABEL_CHARACTERS:
                remedy = f"give words of at most {_MOST_LABEL_CHARACTERS} characters"
                raise self._wrong(f"has the label {label!r}", remedy)
        return tuple(labels)

    def _wrong(self, what: str, remedy: str) -> SettingsError:
        return SettingsError(
            f"{self._path}: the field {self._name!r} {what}; {remedy}{'' if remedy[-1] == '?' else '.'}"
        )
