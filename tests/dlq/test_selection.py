import pytest

from tests.dlq.failures import FAILED_AT_MS, received, stands, written
from worker.dlq.letter import DeadLetter
from worker.dlq.selection import Selection

LETTER = DeadLetter.of(
    stands(written(received(key="schlüssel".encode(), headers=(("site", b"Ulm"), ("site", b"Kiel")))))
)
NOW_MS = FAILED_AT_MS + 60_000


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(codes=frozenset({"IMAGE_CORRUPT", "POISON"})),
        Selection(stages=frozenset({"decode"})),
        Selection(older_than_seconds=59),
        Selection(newer_than_seconds=60),
        Selection(keys=frozenset({"schlüssel"})),
        Selection(headers=(("site", "Ulm"), ("site", "Kiel"))),
        Selection(fingerprints=frozenset({LETTER.fingerprint[:4]})),
    ],
)
def test_a_selection_that_the_letter_meets(selection: Selection) -> None:
    assert selection.matches(LETTER, NOW_MS)


@pytest.mark.parametrize(
    "selection",
    [
        Selection(codes=frozenset({"POISON"})),
        Selection(codes=frozenset({"IMAGE_CORRUPT"}), stages=frozenset({"admit"})),
        Selection(older_than_seconds=60),
        Selection(newer_than_seconds=59),
        Selection(keys=frozenset({"key"})),
        Selection(headers=(("site", "Ulm"), ("site", "Bonn"))),
        Selection(fingerprints=frozenset({"-"})),
    ],
)
def test_a_selection_that_the_letter_does_not_meet(selection: Selection) -> None:
    assert not selection.matches(LETTER, NOW_MS)


def test_a_letter_without_a_key_has_no_key_to_be_chosen_by() -> None:
    keyless = DeadLetter.of(stands(written(received(key=None))))

    assert not Selection(keys=frozenset({"", "None"})).matches(keyless, NOW_MS)
