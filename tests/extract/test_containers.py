"""Numbers of containers and loading units as they are printed: in groups, boxed, over several lines."""

import pytest

from tests.extract.pages import fields, found, page, stacked
from worker.domain.image import PageText

NUMBER = ("iso6346", "MSCU6765400", "passed")


def numbers(of: PageText) -> list[tuple[str, str, str]]:
    return found(of, "iso6346", "ilu")


@pytest.mark.parametrize(
    "row",
    [
        "MSCU 676540 [0]",
        "MSCU 676540 |0|",
        "MSCU 676540(0)",
        "MSCU 676540 (0)",
        "MSCU676540/0",
        "MSCU-676540-0",
        "MSCU 676 540 0",
        "mscu 676540 0",
        "M S C U 6 7 6 5 4 0 0",
        "MSCU 67654O [0]",
        "MSCU 6765400 22G1",
        "MSCU676540022G1",
        "MSCU 676540 0 US 2210",
        "CNTR: MSCU6765400/SEAL 123456",
        "CONTAINER M5CU 676540 0",
        ("MSCU", "676540", "0"),
        ("MSCU 676540", "[0]"),
        ("MSCU", "6765400", "22G1"),
    ],
)
def test_a_containers_number_is_found_however_its_row_is_printed(row: str | tuple[str, ...]) -> None:
    assert numbers(page(row)) == [NUMBER]


@pytest.mark.parametrize(
    "lines",
    [
        ["MSCU", "676540 0"],
        ["MSCU", "676540 [0]", "22G1"],
        ["MSCU", "676540 0 22G1"],
        ["MSCU", "676540", "0"],
        ["MSCU", "676540", "[0]", "45G1"],
        ["MSCU 676540", "0"],
        ["CONTAINER NO.", "MSCU", "6765400"],
    ],
)
def test_a_containers_number_is_found_over_several_lines(lines: list[str]) -> None:
    [field] = fields(stacked(*lines), "iso6346", "ilu")
    assert (field.type, field.value, field.check.value) == NUMBER
    assert len(field.line_ids) == len([line for line in lines if any(part in line for part in ("MSCU", "6765", "0"))])


@pytest.mark.parametrize("lines", [["ILU-CODE", "ATBE 100309", "1"], ["SWAP BODY", "ATBE", "100309 1"]])
def test_a_loading_unit_needs_its_caption_over_several_lines_too(lines: list[str]) -> None:
    assert numbers(stacked(*lines)) == [("ilu", "ATBE1003091", "passed")]
    assert numbers(stacked(*lines[1:])) == []


@pytest.mark.parametrize(
    "lines",
    [
        ["MSCU", "6765400"],  # any word over any number
        ["MSCU", "676541 0"],
        ["MSCU", "67654 00"],
        ["MSCU", "1676540 0"],
        ["MSCX", "676540 0"],
        ["MSCU LINE", "676540 0"],
        ["ORDER", "MSCU", "676540 0 1"],
        ["1234567890 (1)"],
        ["MSCU 676540 (1)"],
        ["MSCU 676540 (05)"],
        ["MSCU676540122G1"],
    ],
)
def test_what_only_looks_like_one_is_none(lines: list[str]) -> None:
    assert [found for found in numbers(stacked(*lines)) if found[2] != "failed"] == []
