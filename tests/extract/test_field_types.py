"""The types of fields: chosen by the settings, and told in the docs."""

from pathlib import Path

import pytest

from tests.extract.pages import page
from worker.bootstrap import field_options
from worker.domain.errors import SettingsError
from worker.picture_settings import FieldSettings
from worker.pipeline.extract.extract import extract
from worker.pipeline.extract.kinds import NUMBER_TYPES
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


@pytest.mark.parametrize("kind", sorted(NUMBER_TYPES))
def test_each_type_of_number_is_told_in_the_docs(kind: str) -> None:
    assert f"`{kind}`" in DOCS.read_text(encoding="utf-8")
