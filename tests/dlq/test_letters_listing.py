"""Rows in the order of time."""

import random

import pytest

from tests.dlq.letters import JOBS, LETTERS, NOW_MS, job, standing, written
from worker.dlq.inspect.listing import COLUMNS, LetterRow, list_rows, select_letters
from worker.dlq.letter import DeadLetter
from worker.dlq.selection import Selection
from worker.domain.errors import ErrorCode
from worker.domain.records import OutgoingRecord, Record, TopicPartition


class Partitions:
    """A topic of several partitions, read in bursts whose order a seed decides."""

    def __init__(self, records: list[list[Record]], seed: int) -> None:
        self._records = {TopicPartition(LETTERS, number): each for number, each in enumerate(records)}
        self._positions = dict.fromkeys(self._records, 0)
        self._chance = random.Random(seed)  # noqa: S311 - a test's own dice
        self.ends = {place: len(each) for place, each in self._records.items()}

    @property
    def passed(self) -> int:
        return sum(self._positions.values())

    @property
    def finished(self) -> bool:
        return self._positions == self.ends

    def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    def read(self, max_records: int, timeout_seconds: float) -> list[Record]:
        assert timeout_seconds > 0
        left = [place for place, end in self.ends.items() if self._positions[place] < end]
        place = self._chance.choice(left)
        start = self._positions[place]
        burst = self._records[place][start : start + min(max_records, self._chance.randint(1, 7))]
        self._positions[place] += len(burst)
        return burst


class OneAfterTheOther(Partitions):
    """The same, where a partition has its turn when the one before it is read."""

    def read(self, max_records: int, timeout_seconds: float) -> list[Record]:
        assert timeout_seconds > 0
        place = next(place for place, end in self.ends.items() if self._positions[place] < end)
        start = self._positions[place]
        burst = self._records[place][start : start + min(max_records, 7)]
        self._positions[place] += len(burst)
        return burst


def partitions(seed: int) -> list[list[Record]]:
    """Return three partitions, each in order of time, with 60 letters in all, every third an IMAGE_TOO_LARGE."""
    chance = random.Random(seed)  # noqa: S311
    found: list[list[Record]] = [[], [], []]
    for number in range(60):
        code = ErrorCode.IMAGE_TOO_LARGE if number % 3 == 0 else ErrorCode.IMAGE_CORRUPT
        partition = chance.randrange(3)
        letter = written(job(number), code=code, at_ms=NOW_MS + number)
        found[partition].append(standing(letter, len(found[partition]), partition=partition, at_ms=NOW_MS + number))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_the_newest_comes_last_however_partitions_are_read(seed: int) -> None:
    heard: list[int] = []

    listed = list(list_rows(Partitions(partitions(seed), seed), Selection(), NOW_MS, heard.append))

    assert [row.job_id for row in listed] == [f"parcel-{number}" for number in range(60)]
    assert heard == sorted(heard)
    assert heard[-1] == 60


def test_only_what_is_selected_and_no_more_than_asked_for() -> None:
    selection = Selection(codes=frozenset({"IMAGE_TOO_LARGE"}), limit=5)

    listed = list(list_rows(Partitions(partitions(1), 1), selection, NOW_MS, print))
    letters = list(select_letters(Partitions(partitions(1), 1), selection, NOW_MS, print))

    assert [row.job_id for row in listed] == [f"parcel-{number}" for number in range(0, 15, 3)]
    assert {letter.code for letter in letters} == {"IMAGE_TOO_LARGE"}
    assert len(letters) == 5


def test_a_bounded_count_of_rows_is_held_and_none_is_lost() -> None:
    many = [
        standing(written(job(number), at_ms=NOW_MS + number), number, at_ms=NOW_MS + number) for number in range(99)
    ]
    silent = [standing(written(job(99), at_ms=NOW_MS), 0, partition=1)]
    source = OneAfterTheOther([many, silent], 0)
    listed: list[LetterRow] = []
    for row in list_rows(source, Selection(), NOW_MS, print, max_held=3):
        listed.append(row)
        assert source.passed - len(listed) <= 3 + 7

    assert [row.at_ms for row in listed] == [
        *(NOW_MS + number for number in range(96)),
        NOW_MS,
        *range(NOW_MS + 96, NOW_MS + 99),
    ]


def test_rows_are_seen_before_all_is_read() -> None:
    source = Partitions(partitions(3), 3)

    next(list_rows(source, Selection(), NOW_MS, print))

    assert not source.finished


def test_a_row_tells_the_essentials() -> None:
    row = LetterRow.of(DeadLetter.of(standing(written(job(7, b"x" * 2048)), 9)))

    assert dict(zip(COLUMNS, row.cells(), strict=True)) == {
        "letter": f"{LETTERS}/0/9",
        "failed": "2023-11-14 22:13:20Z",
        "code": "IMAGE_CORRUPT",
        "stage": "decode",
        "fingerprint": row.fingerprint,
        "attempts": "2",
        "replays": "0",
        "size": "2.0 KiB",
        "job": "parcel-7",
    }
    assert row.document()["coordinate"] == f"{LETTERS}/0/9"
    assert row.document()["message"].startswith("The picture is damaged")


def test_nothing_that_a_terminal_obeys_is_in_a_row() -> None:
    hostile = OutgoingRecord(
        LETTERS,
        None,
        b"",
        (("job-id", "\x1b[2J\r\n\t\u202e\x9b".encode()), ("labelwire.dlq.error.code", b"\x1b]0;x\x07")),
    )

    cells = LetterRow.of(DeadLetter.of(standing(hostile, 1))).cells()

    assert all(cell.isprintable() for cell in cells)
    assert cells[-1] == "\\x1b[2J\\r\\n\\t\\u202e\\x9b"
    assert JOBS not in cells
