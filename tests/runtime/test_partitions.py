"""One tracker for each partition of the present assignment."""

from collections.abc import Mapping

from worker.domain.offsets import decode_done, encode_metadata, suspects_end
from worker.domain.records import CommitPoint, Coordinate, Record, TopicPartition
from worker.runtime.partitions import Partitions

A, B = TopicPartition("jobs", 0), TopicPartition("jobs", 1)


def record(offset: int, partition: TopicPartition = A) -> Record:
    return Record(Coordinate(*partition, offset), None, b"x", (), 0)


def test_records_of_partitions_that_are_not_held_are_dropped() -> None:
    partitions = Partitions(10)
    assert partitions.deliver(record(0)) is None
    partitions.assign({A: CommitPoint(0)})
    assert partitions.deliver(record(0)) is not None
    assert partitions.deliver(record(0, B)) is None
    partitions.drop([A, B])
    assert partitions.deliver(record(1)) is None
    assert not partitions.held


def test_what_a_predecessor_has_done_is_dropped() -> None:
    partitions = Partitions(10)
    partitions.assign({A: CommitPoint(3, encode_metadata(3, {4}))})
    assert [partitions.deliver(record(offset)) is None for offset in (3, 4, 5)] == [False, True, False]


def offsets(points: Mapping[TopicPartition, CommitPoint]) -> dict[TopicPartition, int]:
    return {partition: point.offset for partition, point in points.items()}


def test_what_a_transaction_will_have_done_is_in_its_points_and_nowhere_else() -> None:
    partitions = Partitions(10)
    partitions.assign({A: CommitPoint(0), B: CommitPoint(0)})
    trackers = [partitions.deliver(record(offset)) for offset in range(3)]
    assert trackers[0] is not None
    assert all(partitions.holds(tracker) for tracker in trackers if tracker)
    point = partitions.points_with({trackers[0]: [0, 2]})
    assert offsets(point) == {A: 1}
    assert decode_done(point[A]) == {2}
    assert offsets(partitions.commit_points()) == {A: 0}


def test_only_what_changed_is_committed() -> None:
    partitions = Partitions(10)
    assert offsets(partitions.assign({A: CommitPoint(0), B: CommitPoint(7)})) == {A: 0, B: 7}
    assert partitions.commit_points() == {}
    tracker = partitions.deliver(record(0))
    assert tracker is not None
    assert offsets(partitions.commit_points()) == {A: 0}, "how far it has got is new"
    assert partitions.commit_points() == {}
    tracker.complete(0)
    assert offsets(partitions.commit_points()) == {A: 1}


def test_the_last_commit_says_whether_the_end_was_clean() -> None:
    partitions = Partitions(10)
    partitions.assign({A: CommitPoint(0)})
    tracker = partitions.deliver(record(0))
    assert tracker is not None
    tracker.complete(0)
    partitions.commit_points()
    point = partitions.commit_points([A, B], clean_end=True)[A]
    assert point.offset == 1
    assert suspects_end(point, 10) == 1


def test_completions_of_an_old_assignment_change_nothing() -> None:
    partitions = Partitions(10)
    partitions.assign({A: CommitPoint(0)})
    old = partitions.deliver(record(0))
    assert old is not None
    partitions.drop([A])
    partitions.assign({A: CommitPoint(0)})
    partitions.deliver(record(0))
    old.complete(0)
    assert offsets(partitions.commit_points()) == {A: 0}


def test_a_new_assignment_commits_what_the_old_one_had_committed_already() -> None:
    partitions = Partitions(10)
    for _ in range(2):
        assert offsets(partitions.assign({A: CommitPoint(4)})) == {A: 4}
        partitions.drop([A])


def test_a_rewound_partition_begins_anew() -> None:
    partitions = Partitions(10)
    partitions.assign({A: CommitPoint(5)})
    old = partitions.deliver(record(5))
    new = partitions.deliver(record(2))
    assert old is not None
    assert new is not None
    old.complete(5)
    assert partitions.commit_points()[A].offset == 2


def test_a_window_that_is_used_up_is_full() -> None:
    partitions = Partitions(3)
    partitions.assign({A: CommitPoint(0), B: CommitPoint(0)})
    trackers = [partitions.deliver(record(offset)) for offset in range(3)]
    assert partitions.full() == {A}
    for offset in (1, 2):
        tracker = trackers[offset]
        assert tracker is not None
        tracker.complete(offset)
    assert partitions.full() == {A}
    assert decode_done(partitions.commit_points()[A]) == {1, 2}
    assert trackers[0] is not None
    trackers[0].complete(0)
    assert partitions.full() == frozenset()
