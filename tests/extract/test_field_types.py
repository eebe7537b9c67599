"""The types of fields: chosen by the settings, and told in the docs."""

import re
from pathlib import Path

import pytest

from tests.extract.pages import page
from worker.bootstrap import field_options
from worker.domain.errors import SettingsError
from worker.picture_settings import FieldSettings
from worker.pipeline.extract.custom.fields_file import CustomFields
from worker.pipeline.extract.extract import extract
from worker.pipeline.extract.numbers.catalog import NUMBER_TYPES
from worker.settings import Settings

DOCS = Path(__file__).parents[2] / "docs" / "fields.md"
PAGE = page("SSCC 106141412345678908", "1Z5R89390357567127", "DATE: 2025-06-18")


def types_with(chosen: FieldSettings) -> list[str]:
    return [field.type for field in extract(PAGE, field_options(Settings(fields=chosen)))]


def test_all_types_are_looked_for_unless_some_are_chosen() -> None:
    assert types_with(FieldSettings()) == ["sscc", "ups_1z", "date"]
    assert types_with(FieldSettings(types=("ups_1z",))) == ["ups_1z"]


def test_a_type_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"LABELWIRE_FIELDS__TYPES names tracking, .* there are .*ups_1z"):
        field_options(Settings(fields=FieldSettings(types=("sscc", "tracking"))))


def types_told(heading: str) -> set[str]:
    """Return the types of the first column of the table behind a heading."""
    section = DOCS.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n#", 1)[0]
    cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} - {"type"}


def test_the_tables_of_the_docs_tell_every_type_and_no_other() -> None:
    assert types_told("Numbers") == set(NUMBER_TYPES)
    assert types_told("Values without a check digit") == CustomFields().types - NUMBER_TYPES
