"""The file in which a deployment declares its own fields: TOML, one table a field.

Invariant: nothing in the file takes effect unless all of it is right. An error is one sentence with the field, the
value and the remedy.
"""

import hashlib
import tomllib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from worker.domain.errors import SettingsError
from worker.pipeline.extract.custom.pattern_field import NO_CHECK, PatternError, PatternField, known_checks
from worker.pipeline.extract.numbers.carriers import CARRIERS_TABLE, declares_numbers, parse_carrier_numbers
from worker.pipeline.extract.numbers.catalog import BUILT_IN_CATALOG, NUMBER_TYPES, NumberCatalog
from worker.pipeline.extract.numbers.forms import Form
from worker.pipeline.extract.numbers.standards import STANDARD_FORMS
from worker.pipeline.extract.toml_table import NAME, TomlTable

CONTEXT_TYPES: Final = frozenset(
    {"address", "address_from", "address_to", "date", "phone", "postcode", "vat", "weight"}
)
_STANDARD_TYPES: Final = CONTEXT_TYPES | {form.type for form in STANDARD_FORMS}
_MAX_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 64
_MAX_PATTERN_CHARACTERS: Final = 500
_MAX_LABELS: Final = 32
_MAX_LABEL_CHARACTERS: Final = 60
_MAX_STRIPPED: Final = 20
_KEYS: Final = ("pattern", "check", "labels", "strip", "upper")


@dataclass(frozen=True, slots=True)
class CustomFields:
    """What a deployment declares: fields with a pattern, and numbers; `catalog` has these and the built-in numbers.

    `file_sha256` is the hex SHA-256 of the file, empty where there is none.
    """

    patterns: tuple[PatternField, ...] = ()
    numbers: tuple[Form, ...] = ()
    catalog: NumberCatalog = BUILT_IN_CATALOG
    file_sha256: str = ""

    @property
    def types(self) -> frozenset[str]:
        """The types that fields may have."""
        return CONTEXT_TYPES | self.catalog.types | {field.name for field in self.patterns}


def load_custom_fields(path: Path) -> CustomFields:
    """Read the file. Raises SettingsError."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            f"The file of fields {path} cannot be read ({error.strerror}); correct LABELWIRE_FIELDS__FILE."
        ) from error
    if len(content) > _MAX_BYTES:
        raise SettingsError(f"The file of fields {path} is larger than {_MAX_BYTES} bytes; declare fewer fields.")
    try:
        tables = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"The file of fields {path} is no TOML: {error}.") from error
    fields = {name: table for name, table in tables.items() if name != CARRIERS_TABLE}
    if len(fields) > _MAX_FIELDS:
        raise SettingsError(f"The file of fields {path} declares {len(fields)} fields; {_MAX_FIELDS} are the most.")
    patterns = []
    for name, table in fields.items():
        of_numbers = declares_numbers(table)
        _check_name(TomlTable(path, f"the field {name!r}", table), name, of_numbers=of_numbers)
        if not of_numbers:
            patterns.append(_pattern_field(TomlTable(path, f"the field {name!r}", table), name))
    numbers = parse_carrier_numbers(path, tables, BUILT_IN_CATALOG.carrier_numbers.names)
    catalog = (
        NumberCatalog.of(BUILT_IN_CATALOG.carrier_numbers.with_replaced(numbers))
        if numbers.names or numbers.forms
        else BUILT_IN_CATALOG
    )
    declared = tuple(chain.from_iterable(numbers.forms.values()))
    return CustomFields(tuple(patterns), declared, catalog, hashlib.sha256(content).hexdigest())


def _check_name(declared: TomlTable, name: str, *, of_numbers: bool) -> None:
    if not NAME.fullmatch(name):
        raise declared.wrong("has a name that is none", "use small letters, digits and _, 40 at most, a letter first")
    if name in _STANDARD_TYPES or (name in NUMBER_TYPES and not of_numbers):
        remedy = (
            "choose another name" if name in _STANDARD_TYPES else "choose another name, or give numbers in its place"
        )
        raise declared.wrong("has the name of a built-in field", remedy)


def _pattern_field(declared: TomlTable, name: str) -> PatternField:
    declared.mapping(_KEYS, f"write [{name}] and its keys below")
    pattern = declared.text("pattern", _MAX_PATTERN_CHARACTERS)
    if not pattern:
        raise declared.wrong("has no pattern", "give it a regular expression of RE2")
    try:
        field = PatternField.of(
            name,
            pattern,
            check=declared.one_of("check", known_checks(), NO_CHECK, "docs/fields.md lists the checks"),
            labels=_labels(declared),
            strip=declared.text("strip", _MAX_STRIPPED),
            upper=declared.flag("upper", default=True),
        )
    except PatternError as error:
        remedy = "RE2 has no look-around, no back references and no repetition over 1000"
        raise declared.wrong(f"has pattern {pattern!r}: {error}", remedy) from error
    if field.matches_nothing():
        raise declared.wrong(f"has pattern {pattern!r}, which matches the empty text", "ask for one character at least")
    return field


def _labels(declared: TomlTable) -> tuple[str, ...]:
    labels = declared.texts("labels", _MAX_LABELS)
    for label in labels:
        if not any(map(str.isalnum, label)) or len(label) > _MAX_LABEL_CHARACTERS:
            remedy = f"give words of at most {_MAX_LABEL_CHARACTERS} characters"
            raise declared.wrong(f"has the label {label!r}", remedy)
    return labels
