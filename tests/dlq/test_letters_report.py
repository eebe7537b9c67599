"""Counts of dead letters on a terminal and on a page."""

import re

import pytest
from rich.console import Console

from tests.dlq.letters import LETTERS, NOW_MS, job, standing, written
from worker.dlq.filters import Filters
from worker.dlq.inspect.report import page
from worker.dlq.inspect.statistics import ErrorOccurrence, Statistics
from worker.dlq.inspect.statistics_text import format_duration, format_statistics
from worker.dlq.letter import DeadLetter
from worker.domain.errors import ErrorCode
from worker.domain.records import OutgoingRecord

HOUR_MS = 3_600_000
HOSTILE = "<script>alert(1)</script>\x1b[31m[bold]"


def counted(hours: int, message: str = "damaged") -> Statistics:
    """Return the counts of one IMAGE_CORRUPT in each hour, and of one POISON in the last."""
    statistics = Statistics()
    for number in range(hours):
        letter = written(job(number), message=message, at_ms=NOW_MS + number * HOUR_MS)
        statistics.add(ErrorOccurrence.of(DeadLetter.of(standing(letter, number, at_ms=NOW_MS + number * HOUR_MS))))
    last_ms = NOW_MS + (hours - 1) * HOUR_MS
    poison = written(job(hours), code=ErrorCode.POISON, at_ms=last_ms)
    statistics.add(ErrorOccurrence.of(DeadLetter.of(standing(poison, hours, at_ms=last_ms))))
    return statistics


def shown(statistics: Statistics) -> list[str]:
    console = Console(width=80)
    with console.capture() as captured:
        for line in format_statistics(statistics, LETTERS):
            console.print(line, soft_wrap=True)
    return captured.get().splitlines()


def test_a_terminal_gets_clusters_and_bars() -> None:
    lines = shown(counted(3))

    assert lines[0] == f"4 dead letters on {LETTERS}, 2023-11-14 22:13:20Z to 2023-11-15 00:13:20Z"
    assert re.fullmatch(r" +3 +75\.0%  IMAGE_CORRUPT  at decode  fingerprint [0-9a-f]{8}", lines[2])
    assert lines[3].strip() == "damaged"
    assert lines[4].strip() == f"2023-11-14 22:13:20Z to 2023-11-15 00:13:20Z, newest letter {LETTERS}/0/2"
    assert "failures in 5 minutes" in lines
    bars = lines[lines.index("failures in 5 minutes") + 1 :]
    assert len(bars) == 25
    assert bars[0].endswith("█ 1")
    assert bars[-1].count("█") == 2 * bars[0].count("█")
    assert bars[1].endswith("Z  0")


def test_a_terminal_gets_nothing_that_it_obeys() -> None:
    lines = shown(counted(1, HOSTILE))

    assert all(line.isprintable() for line in lines)
    assert any("<script>alert(1)</script>\\x1b[31m[bold]" in line for line in lines)


def test_no_letters_are_a_sentence() -> None:
    assert shown(Statistics()) == [f"No dead letter on {LETTERS} matches."]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (900, "15 minutes"), (10800, "3 hours"), (604800, "1 week"), (90, "90 seconds")],
)
def test_widths(seconds: int, words: str) -> None:
    assert format_duration(seconds) == words


def test_the_page_shows_both_codes_over_time_and_each_cluster() -> None:
    html = page(counted(30), LETTERS, "all letters")

    assert f"<h1>31 dead letters on {LETTERS}</h1>" in html
    assert "failures in 1 hour, UTC" in html
    svg = html[html.index("<svg") :]
    assert "IMAGE_CORRUPT" in svg
    assert "POISON" in svg
    assert html.count('class="headline"') == 2
    assert "97 %" in html


def test_the_page_shows_hostile_texts_as_texts() -> None:
    html = page(counted(1, HOSTILE), LETTERS, "letters with key <b>")

    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m[bold]" in html
    assert "letters with key &lt;b&gt;" in html
    assert "\x1b" not in html


def test_more_codes_than_colours_share_one() -> None:
    statistics = Statistics()
    for number, code in enumerate(list(ErrorCode)[:8]):
        statistics.add(ErrorOccurrence.of(DeadLetter.of(standing(written(job(number), code=code), number))))

    html = page(statistics, LETTERS, "all letters")

    assert "(other)" in html[html.index("<svg") : html.index("</svg>")]


def test_an_empty_page_is_a_page() -> None:
    html = page(Statistics(), LETTERS, "all letters")

    assert "There are none." in html
    assert "No dead letter was counted." in html


def test_a_failure_that_claims_the_future_does_not_spoil_the_plot() -> None:
    forged = OutgoingRecord(LETTERS, None, b"", (("labelwire.dlq.failed-at", b"9" * 19),))

    assert ErrorOccurrence.of(DeadLetter.of(standing(forged, 1))).at_ms == NOW_MS


def test_filters_in_words() -> None:
    filters = Filters(codes=("A", "B"), newer_than="3h", limit=5)

    assert Filters().in_words() == "all letters"
    assert filters.in_words() == "letters with code A or B, newer than 3h, 5 at most"
