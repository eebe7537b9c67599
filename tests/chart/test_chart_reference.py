"""What is generated of the chart is as `make docs` writes it, and says of the worker what is true."""

from pathlib import Path

import pytest

from tests.chart.rendering import CHART, MINIMAL, Chart
from worker.lab.chart_values import ChartValuesError, generated_files, read_values, values_schema
from worker.settings import known_names, secret_names

GENERATED = generated_files(CHART)


@pytest.mark.parametrize("name", GENERATED)
def test_each_generated_file_is_up_to_date(name: str) -> None:
    assert (CHART / name).read_text(encoding="utf-8") == GENERATED[name], "run `make docs`"


@pytest.mark.timeout(1200)
def test_the_chart_takes_every_setting_that_the_worker_has(chart: Chart) -> None:
    external = {"triton.enabled": False, "triton.url": "triton:8001"}
    # Each worker has a group instance id of its own, so it is a value.
    own = {*chart.render(MINIMAL, external).environment(), "LABELWIRE_KAFKA__GROUP_INSTANCE_ID"}
    others = set(known_names()) - own - secret_names()

    environment = chart.render(MINIMAL, {**external, "worker.settings": dict.fromkeys(others, "x")}).environment()

    assert len(others) > 50
    assert others <= set(environment)


def test_a_section_is_closed_and_its_values_are_described_typed_and_required() -> None:
    values = read_values(
        "# A section.\n"
        "section:\n"
        "  # A number.\n"
        "  # @schema {minimum: 1}\n"
        "  count: 3\n"
        "  # May be left out,\n"
        "  # as null.\n"
        "  # @schema {type: [integer, 'null']}\n"
        "  user: 7\n"
    )

    assert values_schema(values)["properties"]["section"] == {
        "description": "A section.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "count": {"type": "integer", "description": "A number.", "minimum": 1},
            "user": {"description": "May be left out, as null.", "type": ["integer", "null"]},
        },
        "required": ["count"],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\n", "values.yaml: name is not described"),
        ("# A section.\na:\n  b: 1\n", "values.yaml: a.b is not described"),
        ("# @schema {minimum: 1}\ncount: 1\n", "values.yaml: count is not described"),
        ("# Of another one.\n\nname: x\n", "values.yaml: name is not described"),
        ("# A list.\nlist: []\n", "values.yaml: list has no type"),
        ("# Nothing.\nnothing: null\n", "values.yaml: nothing has no type"),
        ("- 1\n", "values.yaml holds no mapping"),
    ],
)
def test_a_value_without_a_description_or_a_type_is_refused(text: str, said: str) -> None:
    with pytest.raises(ChartValuesError, match=said):
        values_schema(read_values(text))


def test_a_readme_without_a_place_for_the_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("# A name.\nname: x\n")
    (tmp_path / "README.md").write_text("# Chart\n")

    with pytest.raises(ChartValuesError, match=r"README\.md has no place for the values"):
        generated_files(tmp_path)
