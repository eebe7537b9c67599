"""Numbers, pictures, plots and progress as pages and terminals show them."""

import base64
import io
from pathlib import Path

import cv2
import jinja2
import numpy as np
import pytest
from rich.console import Console

from worker.reporting import formats, plots
from worker.reporting.picture import Outline, confidence_kind, figure
from worker.reporting.progress import counted
from worker.reporting.render import render, write


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(None, "–"), (0.04, "0.0 ms"), (9.94, "9.9 ms"), (12.4, "12 ms"), (1234.0, "1.23 s")],  # noqa: RUF001
)
def test_durations_have_a_unit_that_fits(milliseconds: float | None, shown: str) -> None:
    assert formats.duration(milliseconds) == shown


def test_what_was_not_measured_is_a_dash() -> None:
    dashes = {
        formats.decimals(None),
        formats.signed(None),
        formats.times(None),
        formats.percent(None),
        formats.whole(None),
    }

    assert dashes == {formats.DASH}


def test_differences_carry_their_sign() -> None:
    assert formats.signed(0.0123) == "+0.012"
    assert formats.signed(-0.0123) == "\N{MINUS SIGN}0.012"
    assert formats.whole(12345.6) == "12\N{NARROW NO-BREAK SPACE}346"


def test_a_page_lacking_a_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("demo", kind="demo", title="t", lead="l")


def test_a_report_is_written_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "report.html", "ä")

    assert path.read_text(encoding="utf-8") == "ä"
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]


def test_a_picture_is_scaled_down_and_its_outlines_stay_in_its_own_pixels() -> None:
    _, png = cv2.imencode(".png", np.zeros((500, 2000, 3), np.uint8))
    outline = Outline([(0, 0), (1999.6, 0), (1999.6, 499), (0, 499)], "all", "sure")

    shown = figure(png.tobytes(), [outline], long_side_pixels=400)

    assert (shown.width, shown.height) == (2000, 500)
    assert shown.uri is not None
    jpeg = base64.b64decode(shown.uri.removeprefix("data:image/jpeg;base64,"))
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape[:2] == (100, 400)
    assert outline.points == "0,0 2000,0 2000,499 0,499"


@pytest.mark.parametrize("encoded", [b"", b"no picture"])
def test_what_is_no_picture_shows_nothing(encoded: bytes) -> None:
    assert figure(encoded).uri is None


def test_confidence_has_three_kinds() -> None:
    assert [confidence_kind(value) for value in (1.0, 0.9, 0.89, 0.75, 0.74)] == [
        "sure",
        "sure",
        "doubtful",
        "doubtful",
        "unsure",
    ]


def test_plots_follow_the_pages_colours_and_are_the_same_each_time() -> None:
    series = {"one <b>": [0.9, 0.95, 1.0], "two": [0.5]}

    drawn = plots.distribution(series, "word F1")

    assert drawn == plots.distribution(series, "word F1")
    assert "var(--series-1)" in drawn
    assert "#0a0001" not in drawn
    assert "one &lt;b&gt;" in drawn


def test_plots_of_equal_values_and_of_nothing_are_drawn() -> None:
    assert "<svg" in plots.distribution({"same": [1.0, 1.0]}, "x")
    assert "<svg" in plots.paired([1.0], [1.0], ("a", "b"), ["p"], "F1")
    assert "<svg" in plots.batches({1: 3, 32: 1}, "size")
    assert "<svg" in plots.rounds({"a": [1.0, 2.0], "b": []}, "pictures a second")
    nothing = {plots.distribution({}, "x"), plots.batches({}, "x"), plots.paired([], [], ("a", "b"), [], "x")}
    assert nothing == {plots.rounds({"a": []}, "x")}


def test_progress_off_a_terminal_is_plain_lines() -> None:
    written = io.StringIO()

    with counted("Reading", 2, Console(file=written)) as advance:
        advance()
        advance()

    assert written.getvalue() == "Reading: 2 of 2 in 0 s\n"


def test_progress_on_a_terminal_is_a_bar() -> None:
    written = io.StringIO()

    with counted("Reading", 2, Console(file=written, force_terminal=True, width=80)) as advance:
        advance()
        advance()

    assert "2/2" in written.getvalue()
