"""The headers that follow a job's way."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.domain.records import COORDINATE, any_headers, record
from worker.domain.headers import ATTEMPT, JOB_ID, DerivedHeaders
from worker.domain.records import Coordinate, Headers, Record

texts = st.text(max_size=30).filter(lambda text: text.encode("utf-8", "replace").decode() == text)
derived = st.builds(
    DerivedHeaders,
    job_id=st.none() | texts,
    attempt=st.integers(0, 10**18),
    origin=st.builds(Coordinate, st.text(min_size=1, max_size=9, alphabet="ab.-_"), st.integers(0, 9), st.integers(0)),
    origin_timestamp_ms=st.integers(1, 10**15),
    replay_count=st.integers(0, 99),
    replay_run_id=st.none() | texts,
).filter(lambda made: made.origin.offset < 10**18)


@given(derived, any_headers)
def test_they_come_back_as_they_were_written(written: DerivedHeaders, received: Headers) -> None:
    # A header that is not set leaves the producer's of that name.
    received = tuple((n, v) for n, v in received if n not in {JOB_ID, "labelwire.replay.run-id"})
    carried = Record(Coordinate("elsewhere", 0, 0), None, None, written.onto(received), 5)
    assert DerivedHeaders.of(carried) == written


@given(derived, any_headers)
def test_the_producers_headers_stay_in_order_and_nothing_is_doubled(own: DerivedHeaders, received: Headers) -> None:
    headers = own.onto(received)
    set_by_us = [name for name, _ in own.onto(())]
    assert headers[: -len(set_by_us)] == tuple(pair for pair in received if pair[0] not in set_by_us)
    assert all(sum(name == ours for name, _ in headers) == 1 for ours in set_by_us)
    assert own.onto(headers) == headers


@given(any_headers)
def test_any_headers_are_understood_or_passed_over(received: Headers) -> None:
    way = DerivedHeaders.of(Record(COORDINATE, None, None, received, 1))
    assert way.attempt >= 0
    assert way.replay_count >= 0
    assert way.origin.offset >= 0


def test_a_record_without_them_stands_at_its_origin_before_its_first_attempt() -> None:
    assert DerivedHeaders.of(record()) == DerivedHeaders(None, 0, COORDINATE, 1_700_000_000_000, 0, None)


def test_an_origin_that_is_told_in_part_is_not_believed() -> None:
    told = (("labelwire.origin.topic", b"t"), ("labelwire.origin.offset", b"1"), ("labelwire.origin.timestamp", b"7"))
    way = DerivedHeaders.of(record(b"x", *told))
    assert way.origin == COORDINATE
    assert way.origin_timestamp_ms == 1_700_000_000_000


def test_names_that_cannot_be_names_are_not_believed() -> None:
    told = (("labelwire.origin.topic", b"t" * 250), ("labelwire.origin.partition", b"0"))
    way = DerivedHeaders.of(
        record(b"x", *told, ("labelwire.origin.offset", b"1"), ("labelwire.replay.run-id", b"r" * 257))
    )
    assert way.origin == COORDINATE
    assert way.replay_run_id is None


def test_a_later_attempt_replaces_the_earlier_one() -> None:
    way = DerivedHeaders.of(record(b"x", (ATTEMPT, b"1"), (ATTEMPT, b"2")))
    assert way.attempt == 2
    headers = replace(way, attempt=3).onto(((ATTEMPT, b"1"), ("other", b"o"), (ATTEMPT, b"2")))
    assert [value for name, value in headers if name == ATTEMPT] == [b"3"]
