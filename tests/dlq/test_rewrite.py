from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dlq.failures import ORIGIN, received, stands, written
from tests.domain.records import any_headers
from worker.dlq.letter import DeadLetter
from worker.dlq.payload import original_job
from worker.dlq.replay.counts import OTHER_CODES, ReplayCounts
from worker.dlq.replay.plan import LetterOutcome
from worker.dlq.replay.rewrite import RoutedRecord, parked_record, replay_record
from worker.domain.headers import ATTEMPT, DEAD_LETTER_PREFIX, DUE_AT, REPLAY_COUNT, REPLAY_RUN_ID, DerivedHeaders
from worker.domain.job import job_id_in_headers
from worker.domain.records import Coordinate, Record

DERIVED = {"labelwire.job-id", ATTEMPT, DUE_AT, REPLAY_COUNT, REPLAY_RUN_ID}
texts = st.none() | st.binary(max_size=40)


def _foreign(record: Record) -> list[tuple[str, bytes | None]]:
    return [(name, value) for name, value in record.headers if not name.startswith("labelwire.")]


def _replayed(record: Record) -> tuple[RoutedRecord, Record]:
    """Return what replays a job that failed, and how that stands on its topic."""
    letter = DeadLetter.of(stands(written(record)))
    routed = replay_record(letter, original_job(letter, lambda _: None), "run", "replays")
    return routed, stands(routed.record, routed.partition, 0)


@given(texts, texts, any_headers)
def test_a_replay_keeps_key_value_and_the_producers_headers(
    key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...]
) -> None:
    job = received(key, value, headers)

    routed, standing = _replayed(job)

    assert (standing.key, standing.value) == (key, value)
    assert _foreign(standing) == _foreign(job)
    before, after = DerivedHeaders.of(job), DerivedHeaders.of(standing)
    assert after.origin == before.origin
    assert after.origin_timestamp_ms == before.origin_timestamp_ms
    assert routed.partition == before.origin.partition
    assert (after.attempt, after.due_at_ms) == (0, None)
    assert (after.replay_count, after.replay_run_id) == (before.replay_count + 1, "run")
    assert not any(name.startswith(DEAD_LETTER_PREFIX) for name, _ in standing.headers)


@given(any_headers)
def test_a_job_keeps_its_id_over_many_replays(headers: tuple[tuple[str, bytes], ...]) -> None:
    _, once = _replayed(received(headers=headers))
    _, twice = _replayed(once)

    assert job_id_in_headers(once) == job_id_in_headers(twice)
    assert DerivedHeaders.of(twice).replay_count == DerivedHeaders.of(once).replay_count + 1


@given(texts, texts, any_headers, st.integers(1, 7))
def test_a_parked_letter_is_the_letter(
    key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...], partitions: int
) -> None:
    letter = DeadLetter.of(stands(written(received(key, value, headers))))

    routed = parked_record(letter, "run", "parked", partitions)

    assert (routed.record.key, routed.record.value) == (key, value)
    kept = {pair for pair in letter.record.headers if pair[0] not in DERIVED}
    assert kept <= {*routed.record.headers}
    assert dict(routed.record.headers)[REPLAY_RUN_ID] == b"run"
    assert 0 <= routed.partition < partitions


def test_a_letter_of_another_tool_begins_its_way_where_it_stands() -> None:
    foreign = replace(received(), coordinate=Coordinate("dlq", 2, 9))
    letter = DeadLetter.of(foreign)

    routed = replay_record(letter, original_job(letter, lambda _: None), "run", "replays")

    derived = DerivedHeaders.of(stands(routed.record))
    assert (derived.origin, routed.partition) == (Coordinate("dlq", 2, 9), 2)
    assert derived.origin != ORIGIN


@given(st.lists(st.tuples(st.sampled_from(LetterOutcome), st.sampled_from(["A", "B", "C"])), max_size=30))
def test_a_tally_comes_back_from_the_metadata(done: list[tuple[LetterOutcome, str]]) -> None:
    tally = ReplayCounts()
    for outcome, code in done:
        tally.add(outcome, code)

    assert ReplayCounts.of(tally.metadata()).by_outcome == tally.by_outcome
    assert ReplayCounts.sum([tally, tally]).total() == 2 * len(done)


def test_a_tally_of_very_many_codes_still_fits_into_the_metadata() -> None:
    tally = ReplayCounts()
    for number in range(500):
        tally.add(LetterOutcome.REPLAYED, f"CODE_{number}")

    again = ReplayCounts.of(tally.metadata())

    assert len(tally.metadata()) < 4096
    assert again.by_outcome[LetterOutcome.REPLAYED] == {OTHER_CODES: 500}


def test_metadata_that_is_not_ours_counts_nothing() -> None:
    assert ReplayCounts.of("by hand").total() == 0
    assert ReplayCounts.of('["a"]').total() == 0
    assert ReplayCounts.of('{"replayed":{"A":"many"}}').total() == 0


def test_fates_are_counted_apart() -> None:
    tally = ReplayCounts()
    tally.add(LetterOutcome.PARKED, "A")
    tally.add(LetterOutcome.REPLAYED, "A")

    assert tally.total(LetterOutcome.PARKED) == 1
    assert tally.document() == {"replayed": {"A": 1}, "parked": {"A": 1}, "unavailable": {}}
    with pytest.raises(KeyError):
        tally.add("other", "A")  # type: ignore[arg-type]
