"""Choosing among more records than are wanted."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.records import Coordinate
from worker.training.sample import CandidatePool, ExportCandidate, spread


def candidate(number: int, *, key: str | None = None, at_ms: int = 0, confidence: float = 0.5) -> ExportCandidate:
    name = None if key is None else key.encode()
    return ExportCandidate(f"content-{number}", Coordinate("t", 0, number), name, at_ms, confidence)


@given(st.lists(st.integers(0, 30), max_size=80), st.integers(1, 40), st.randoms(use_true_random=False))
def test_the_pool_is_the_same_in_whatever_order_records_come(
    numbers: list[int], size: int, shuffling: random.Random
) -> None:
    first, second = CandidatePool(3, size), CandidatePool(3, size)
    for number in numbers:
        first.offer(candidate(number))
    shuffling.shuffle(numbers)
    for number in numbers:
        second.offer(candidate(number))

    kept = first.ranked()
    assert kept == second.ranked()
    assert len(kept) == min(size, len(set(numbers)))
    assert len({each.content for each in kept}) == len(kept)


def test_of_one_picture_the_newest_record_is_kept() -> None:
    pool = CandidatePool(0)
    for offset, at_ms in enumerate((5, 9, 7)):
        pool.offer(ExportCandidate("same", Coordinate("t", 0, offset), None, at_ms, 0.5))

    assert [each.coordinate.offset for each in pool.ranked()] == [1]
    assert pool.repeated == 2


def test_memory_is_bounded() -> None:
    pool = CandidatePool(0, 10)
    for number in range(1000):
        pool.offer(candidate(number))

    assert (len(pool.ranked()), pool.dropped) == (10, 990)


def test_all_are_taken_if_there_are_no_more_than_wanted() -> None:
    candidates = [candidate(number) for number in range(7)]

    assert sorted(spread(candidates, 7), key=lambda each: each.coordinate) == candidates
    assert spread(candidates, 0) == []
    assert spread([], 5) == []


def test_a_sample_is_spread_over_time_and_confidence() -> None:
    # One of twenty was read badly, and one of ten came long before the others.
    candidates = [
        candidate(n, at_ms=0 if n % 10 == 0 else 1_000_000 + n, confidence=0.5 if n % 20 == 1 else 0.99)
        for n in range(1000)
    ]

    chosen = spread(candidates, 90)

    assert sum(each.timestamp_ms == 0 for each in chosen) == 30
    assert sum(each.confidence == 0.5 for each in chosen) == 30


def test_no_key_comes_twice_before_each_came_once() -> None:
    candidates = [candidate(n, key="loud" if n < 90 else f"quiet-{n}", at_ms=n) for n in range(100)]

    chosen = Counter(each.key for each in spread(candidates, 20))

    assert chosen[b"loud"] == 10
    assert len(chosen) == 11
