"""Where a group begins, case by case, and what holds in all cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.offsets import decode_done, encode_metadata, suspects_end, topic_id_of, within_log
from worker.domain.records import CommitPoint
from worker.domain.start_position import LogBounds, ResetReason, StartPosition, is_same_topic, start_position

_NEW_TOPIC = "KIP-516-new"
_OLD_TOPIC = "KIP-516-old"
_INTAKE = 3


def committed(offset: int, *done: int, topic_id: str = "", reached: int = 0, clean_end: bool = False) -> CommitPoint:
    """Return what a group commits: as it comes back from the broker, where it names its topic in the metadata alone."""
    metadata = encode_metadata(offset, done, topic_id=topic_id, reached=reached, clean_end=clean_end)
    return CommitPoint(offset, metadata)


@pytest.mark.parametrize(
    ("point", "log", "offset", "done", "reset"),
    [
        pytest.param(None, LogBounds(0, 9), 0, set(), None, id="nothing committed"),
        pytest.param(None, LogBounds(4, 9), 4, set(), None, id="nothing committed, and retention was there"),
        pytest.param(None, LogBounds(9, 9, "a"), 9, set(), None, id="nothing committed, and the log is empty"),
        pytest.param(committed(5, 7), LogBounds(0, 9), 5, {7}, None, id="within the log"),
        pytest.param(committed(5), LogBounds(5, 9), 5, set(), None, id="at its beginning"),
        pytest.param(committed(9), LogBounds(0, 9), 9, set(), None, id="at its end"),
        pytest.param(
            CommitPoint(5, "a stranger's"), LogBounds(0, 9), 5, set(), None, id="committed by another program"
        ),
        pytest.param(committed(5, 7, topic_id="a"), LogBounds(0, 9, "a"), 5, {7}, None, id="the same topic"),
        pytest.param(committed(5, 7, topic_id="a"), LogBounds(0, 9), 5, {7}, None, id="the broker tells no id"),
        pytest.param(committed(5, 7), LogBounds(0, 9, "b"), 5, {7}, None, id="the commit names no id"),
        pytest.param(
            committed(5, 7, topic_id="a"), LogBounds(0, 9, "b"), 0, set(), ResetReason.RECREATED, id="made anew"
        ),
        pytest.param(
            committed(0, topic_id="a"), LogBounds(0, 9, "b"), 0, set(), ResetReason.RECREATED, id="made anew at once"
        ),
        pytest.param(
            committed(50, 52, topic_id="a"),
            LogBounds(2, 9, "b"),
            2,
            set(),
            ResetReason.RECREATED,
            id="made anew, shorter, expired",
        ),
        pytest.param(committed(10, 12), LogBounds(0, 9), 0, set(), ResetReason.TRUNCATED, id="above the end"),
        pytest.param(
            committed(10), LogBounds(9, 9, "a"), 9, set(), ResetReason.TRUNCATED, id="above the end of an empty log"
        ),
        pytest.param(committed(5, 8, 9, 11), LogBounds(0, 9), 5, {8}, None, id="cut behind the commit"),
        pytest.param(committed(2, 3, 6), LogBounds(4, 9), 4, {6}, ResetReason.EXPIRED, id="passed by retention"),
        pytest.param(
            committed(2, 4, 5, 7), LogBounds(4, 9), 6, {7}, ResetReason.EXPIRED, id="retention stopped at what is done"
        ),
        pytest.param(committed(2, 4, 5), LogBounds(4, 6), 6, set(), ResetReason.EXPIRED, id="all that is left is done"),
        pytest.param(
            CommitPoint(2, "a stranger's"),
            LogBounds(4, 9),
            4,
            set(),
            ResetReason.EXPIRED,
            id="expired, of another program",
        ),
    ],
)
def test_a_group_begins(
    point: CommitPoint | None, log: LogBounds, offset: int, done: set[int], reset: ResetReason | None
) -> None:
    found = start_position(point, log)
    assert (found.point.offset, set(decode_done(found.point)), found.reset) == (offset, done, reset)
    assert found.point.topic_id == log.topic_id


@pytest.mark.parametrize(
    ("made_for", "present", "same"), [("a", "a", True), ("a", "b", False), ("", "b", True), ("a", "", True)]
)
def test_an_id_that_is_not_told_fits_any_topic(made_for: str, present: str, *, same: bool) -> None:
    assert is_same_topic(made_for, present) is same


def test_a_commit_within_the_log_comes_back_as_it_is() -> None:
    point = committed(5, 7, topic_id="a", reached=9)
    assert within_log(point, 5, 9) is point
    assert within_log(CommitPoint(5, "a stranger's"), 0, 9).metadata == "a stranger's"
    assert within_log(CommitPoint(5, "a stranger's"), 6, 9) == CommitPoint(6)


@st.composite
def logs(draw: st.DrawFn) -> LogBounds:
    low = draw(st.integers(0, 30))
    return LogBounds(low, low + draw(st.integers(0, 30)), draw(st.sampled_from(["", _NEW_TOPIC])))


@st.composite
def commits(draw: st.DrawFn) -> CommitPoint:
    offset = draw(st.integers(0, 70))
    if draw(st.integers(0, 9)) == 0:
        return CommitPoint(offset, draw(st.text(max_size=20)))
    done = draw(st.sets(st.integers(offset + 1, offset + 20)))
    return committed(
        offset,
        *done,
        topic_id=draw(st.sampled_from(["", _NEW_TOPIC, _OLD_TOPIC])),
        reached=draw(st.integers(0, 90)),
        clean_end=draw(st.booleans()),
    )


@given(commits(), logs())
def test_nothing_that_is_left_is_passed_over_but_what_is_said_to_be_done(point: CommitPoint, log: LogBounds) -> None:
    found = start_position(point, log)
    assert log.low <= found.point.offset <= log.end
    belongs = found.reset not in {ResetReason.RECREATED, ResetReason.TRUNCATED}
    done = {*range(point.offset), *decode_done(point)} if belongs else set()
    skipped = {*range(log.low, found.point.offset), *decode_done(found.point)}
    assert skipped == done & set(range(log.low, log.end))


@given(commits(), logs())
def test_whoever_begins_a_second_time_begins_there_and_resets_nothing(point: CommitPoint, log: LogBounds) -> None:
    found = start_position(point, log)
    again = start_position(found.point, log)
    assert again == StartPosition(found.point)
    assert again.point.topic_id == log.topic_id


@given(commits(), logs())
def test_a_topic_counts_as_made_anew_where_two_ids_are_told_and_differ(point: CommitPoint, log: LogBounds) -> None:
    made_anew = topic_id_of(point) == _OLD_TOPIC and log.topic_id == _NEW_TOPIC
    assert (start_position(point, log).reset is ResetReason.RECREATED) is made_anew


@given(commits(), logs())
def test_what_may_have_ended_a_worker_stays_suspect_on_the_same_topic(point: CommitPoint, log: LogBounds) -> None:
    found = start_position(point, log)
    if found.reset in {ResetReason.RECREATED, ResetReason.TRUNCATED}:
        assert suspects_end(found.point, _INTAKE) == found.point.offset
    elif suspects_end(point, _INTAKE) > found.point.offset:
        assert suspects_end(found.point, _INTAKE) >= suspects_end(point, _INTAKE)
