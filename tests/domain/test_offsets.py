"""The offset tracker: nothing that is open is ever committed over, and what is known to be done is done once."""

import base64
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.domain.offsets import MAX_WINDOW, OffsetTracker, decode_done, encode_metadata, suspects_end
from worker.domain.records import CommitPoint


class OnePartition(RuleBasedStateMachine):
    """A partition under any order of deliveries, completions, commits, crashes and clean hand-overs."""

    @initialize(gaps=st.lists(st.integers(0, 3), min_size=30, max_size=60), begin=st.integers(0, 5))
    def fill_the_log(self, gaps: list[int], begin: int) -> None:
        offset, self.log = begin, []
        for gap in gaps:
            self.log.append(offset + gap)
            offset += gap + 1
        self.committed: CommitPoint | None = None
        self.done: set[int] = set()
        self.promised: set[int] = set()
        self.open_again()

    def open_again(self) -> None:
        self.tracker = OffsetTracker(self.committed)
        self.position = self.committed.offset if self.committed else 0

    @rule(count=st.integers(1, 8))
    def deliver(self, count: int) -> None:
        for offset in [offset for offset in self.log if offset >= self.position][:count]:
            self.position = offset + 1
            to_do = self.tracker.deliver(offset)
            assert to_do == (offset not in self.promised), "the map of a valid commit is kept to, and nothing else"

    @precondition(lambda self: self.tracker.open_offsets)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(list(self.tracker.open_offsets)))
        self.tracker.complete(offset)
        self.done.add(offset)

    @rule()
    def commit(self) -> None:
        self.committed = self.tracker.commit_point() or self.committed
        if self.committed is not None:
            self.promised = {*decode_done(self.committed), *(o for o in self.log if o < self.committed.offset)}

    @rule()
    def crash(self) -> None:
        self.open_again()

    @rule()
    def hand_over(self) -> None:
        self.commit()
        assert self.done_since_delivery() <= self.promised, "a clean hand-over forgets nothing"
        self.open_again()

    @precondition(lambda self: self.committed is not None)
    @rule(data=st.data())
    def crash_with_a_corrupt_map(self, data: st.DataObject) -> None:
        assert self.committed is not None
        metadata = data.draw(damaged(self.committed.metadata))
        self.committed = CommitPoint(self.committed.offset, metadata)
        self.promised = {offset for offset in self.log if offset < self.committed.offset}
        self.open_again()

    def done_since_delivery(self) -> set[int]:
        delivered = {offset for offset in self.log if offset < self.position}
        return (self.done & delivered) - set(self.tracker.open_offsets)

    @invariant()
    def what_is_promised_was_done(self) -> None:
        assert {offset for offset in self.promised if offset in self.log} <= self.done

    @invariant()
    def the_base_never_passes_what_is_open(self) -> None:
        base = self.tracker.base
        assert base is None or all(offset >= base for offset in self.tracker.open_offsets)


@st.composite
def damaged(draw: st.DrawFn, metadata: str) -> str:
    """Return metadata that is not what was written."""
    flips = st.builds(
        lambda place, other: metadata[:place] + other + metadata[place + 1 :],
        st.integers(0, max(0, len(metadata) - 1)),
        st.characters(),
    )
    cuts = st.integers(0, max(0, len(metadata) - 1)).map(lambda length: metadata[:length])
    other_base = st.just(encode_metadata(10**9, {10**9 + 1, 10**9 + 2}))
    made = draw(st.one_of(flips, cuts, st.text(max_size=40), other_base))
    return "" if made == metadata else made


TestOnePartition = OnePartition.TestCase
TestOnePartition.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.integers(0, 2**62), st.sets(st.integers(1, MAX_WINDOW - 1), max_size=300), st.booleans())
def test_a_map_comes_back(base: int, distances: set[int], clean: bool) -> None:  # noqa: FBT001
    done = {base + distance for distance in distances}
    point = CommitPoint(base, encode_metadata(base, done, clean_end=clean))
    assert decode_done(point) == done
    assert suspects_end(point, 7) == base + (0 if clean else 7)


@given(st.text(), st.integers(0, 2**62))
def test_foreign_metadata_says_nothing(text: str, offset: int) -> None:
    assert decode_done(CommitPoint(offset, text)) == frozenset()
    assert suspects_end(CommitPoint(offset, text), 7) == offset


@given(st.binary(max_size=64))
def test_foreign_base85_says_nothing(raw: bytes) -> None:
    point = CommitPoint(7, base64.b85encode(b"LW\x01" + raw).decode())
    assert decode_done(point) == frozenset()


def test_each_flipped_bit_is_noticed() -> None:
    raw = base64.b85decode(encode_metadata(5, {6, 8, 40}, clean_end=True))
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert decode_done(CommitPoint(5, base64.b85encode(bytes(flipped)).decode())) == frozenset()


def test_a_map_of_another_base_is_ignored() -> None:
    assert decode_done(CommitPoint(6, encode_metadata(5, {7}))) == frozenset()


def test_a_whole_window_takes_at_most_1300_characters() -> None:
    done = range(1, MAX_WINDOW)
    metadata = encode_metadata(0, done, clean_end=True)
    assert len(metadata) <= 1300
    assert decode_done(CommitPoint(0, metadata)) == frozenset(done)


def test_nothing_is_committed_before_anything_is_known() -> None:
    assert OffsetTracker().commit_point() is None


def test_base_is_the_lowest_that_is_not_done_and_gaps_count_as_done() -> None:
    tracker = OffsetTracker()
    for offset in (3, 7, 8):
        assert tracker.deliver(offset)
    tracker.complete(7)
    point = tracker.commit_point()
    assert point is not None
    assert point.offset == 3
    assert decode_done(point) == {4, 5, 6, 7}
    tracker.complete(3)
    assert tracker.base == 8
    tracker.complete(8)
    assert tracker.commit_point() == CommitPoint(9, encode_metadata(9, ()))


def test_offsets_that_a_predecessor_has_done_are_not_open() -> None:
    tracker = OffsetTracker(CommitPoint(3, encode_metadata(3, {4, 5, 7})))
    assert [tracker.deliver(offset) for offset in range(3, 8)] == [True, False, False, True, False]
    assert list(tracker.open_offsets) == [3, 6]


def test_what_a_predecessor_has_done_stays_known_before_it_is_delivered_again() -> None:
    tracker = OffsetTracker(CommitPoint(3, encode_metadata(3, {4, 5, 9})))
    tracker.deliver(3)
    tracker.complete(3)
    point = tracker.commit_point()
    assert point is not None
    assert point.offset == 6, "4 and 5 are done, so the base is beyond them"
    assert decode_done(point) == {9}


def test_a_window_is_full_by_offsets_not_by_open_ones() -> None:
    tracker = OffsetTracker(window=4)
    tracker.deliver(0)
    tracker.deliver(2)
    tracker.complete(2)
    assert not tracker.is_full
    tracker.deliver(3)
    tracker.complete(3)
    assert tracker.is_full
    tracker.complete(0)
    assert not tracker.is_full


def test_a_gap_of_a_billion_costs_nothing() -> None:
    tracker, begun = OffsetTracker(), time.monotonic()
    tracker.deliver(0)
    tracker.deliver(10**9)
    point = tracker.commit_point()
    assert point is not None
    assert point.offset == 0
    assert len(decode_done(point)) == MAX_WINDOW - 1
    assert time.monotonic() - begun < 2


def test_an_offset_before_the_position_is_a_rewind() -> None:
    tracker = OffsetTracker(CommitPoint(5))
    tracker.deliver(8)
    assert tracker.is_rewound_by(8)
    assert not tracker.is_rewound_by(9)
    with pytest.raises(ValueError, match="offset 4"):
        tracker.deliver(4)


def test_only_what_is_open_can_be_completed() -> None:
    tracker = OffsetTracker()
    tracker.deliver(1)
    tracker.complete(1)
    with pytest.raises(KeyError):
        tracker.complete(1)


def committed(base: int, *, reached: int = 0, clean_end: bool = False) -> CommitPoint:
    return CommitPoint(base, encode_metadata(base, {base + 1}, reached=reached, clean_end=clean_end))


def test_after_an_unclean_end_what_was_reached_and_an_intake_more_is_suspect() -> None:
    tracker = OffsetTracker(committed(3, reached=6), intake=2)
    assert [tracker.is_suspect(offset) for offset in range(3, 10)] == [True] * 5 + [False] * 2


def test_after_a_clean_end_only_what_was_suspect_already_is() -> None:
    first = OffsetTracker(committed(3, reached=6), intake=2)
    for offset in range(3, 12):
        first.deliver(offset)
    point = first.commit_point(clean_end=True)
    assert point is not None
    second = OffsetTracker(point, intake=2)
    assert [offset for offset in range(3, 14) if second.is_suspect(offset)] == [3, 4, 5, 6, 7]


def test_where_nothing_was_said_nothing_is_suspect() -> None:
    for point in (CommitPoint(5), CommitPoint(5, "of somebody else"), committed(5, clean_end=True)):
        assert not OffsetTracker(point, intake=100).is_suspect(5)


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.booleans())
def test_how_far_a_member_had_got_comes_back(base: int, distance: int, clean: bool) -> None:  # noqa: FBT001
    point = committed(base, reached=base + distance, clean_end=clean)
    assert suspects_end(point, 7) == base + distance + (0 if clean else 7)


def test_a_transaction_counts_what_it_will_have_done_and_forgets_it_if_it_fails() -> None:
    tracker = OffsetTracker(CommitPoint(0))
    for offset in range(4):
        tracker.deliver(offset)
    point = tracker.commit_point(also_done={0, 2})
    assert point is not None
    assert (point.offset, set(decode_done(point))) == (1, {2})
    assert tracker.base == 0
