from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.dlq.failures import received, stands, written
from worker.dlq.letter import DeadLetter
from worker.dlq.replay.canary import CanaryOutcomes, CanarySketch, key_hash
from worker.domain.errors import ErrorCode
from worker.domain.records import Coordinate


def _letter(number: int, key: bytes | None, code: ErrorCode = ErrorCode.IMAGE_CORRUPT) -> DeadLetter:
    job = received(key=key, coordinate=Coordinate("label-images", 0, number))
    return DeadLetter.of(stands(written(job, code), 0, number))


def _chosen(letters: list[DeadLetter], max_keys: int = 500) -> list[DeadLetter]:
    sketch = CanarySketch("run", max_keys)
    for letter in letters:
        sketch.add(letter)
    keys = sketch.choose()
    return [letter for letter in letters if key_hash("run", letter) in keys]


def test_about_one_in_a_hundred_of_each_cluster_goes_first() -> None:
    letters = [_letter(n, f"{n % 700}".encode()) for n in range(2100)]
    letters += [_letter(n, f"few {n}".encode(), ErrorCode.POISON) for n in range(5)]

    chosen = Counter(letter.code for letter in _chosen(letters))

    assert 21 <= chosen["IMAGE_CORRUPT"] <= 24
    assert chosen["POISON"] == 1


def test_a_key_that_has_most_letters_is_no_canary_where_others_are() -> None:
    letters = [_letter(n, b"huge" if n % 2 else f"{n}".encode()) for n in range(1000)]

    chosen = _chosen(letters)

    assert 10 <= len(chosen) <= 20
    assert b"huge" not in {letter.record.key for letter in chosen}


def test_letters_without_a_key_are_chosen_one_by_one() -> None:
    assert len(_chosen([_letter(n, None) for n in range(300)])) == 3


@given(st.lists(st.integers(0, 30), min_size=1, max_size=150), st.integers(3, 10))
def test_a_small_sketch_chooses_as_an_unbounded_one_would(keys: list[int], max_keys: int) -> None:
    letters = [_letter(n, f"{key}".encode()) for n, key in enumerate(keys)]
    counts = Counter(keys)

    chosen = _chosen(letters, max_keys)

    whole = {letter.record.key for letter in chosen}
    assert len(chosen) == sum(count for key, count in counts.items() if f"{key}".encode() in whole)
    assert chosen


def test_outcomes_are_judged_by_the_part_that_failed() -> None:
    outcomes = CanaryOutcomes(4)
    places = [Coordinate("label-images", 0, n) for n in range(4)]
    assert not outcomes.too_many_failed(0.5)

    outcomes.note(places[0], failed=True)
    assert outcomes.too_many_failed(0.5)
    assert not outcomes.hopeless(0.5)
    outcomes.note(places[0], failed=False)  # at last it has a result
    outcomes.note(places[0], failed=True)
    assert (outcomes.known, len(outcomes.failed)) == (1, 0)

    for place in places[1:]:
        outcomes.note(place, failed=True)
    assert outcomes.complete
    assert outcomes.hopeless(0.5)
