"""The partitions that are assigned to this worker, and what may be committed for each.

Invariant: a commit point comes from the tracker of the present assignment; trackers of earlier ones are forgotten.
"""

from collections.abc import Collection, Mapping

from worker.domain.offsets import OffsetTracker
from worker.domain.records import CommitPoint, Record, TopicPartition


class Partitions:
    """One tracker for each partition of the present assignment."""

    def __init__(self, window: int, intake: int = 0) -> None:
        self._window = window
        self._intake = intake
        self._trackers: dict[TopicPartition, OffsetTracker] = {}
        self._committed: dict[TopicPartition, CommitPoint] = {}

    def assign(self, partitions: Mapping[TopicPartition, CommitPoint]) -> dict[TopicPartition, CommitPoint]:
        """Track these from their committed points on, and return what to commit first: that this worker has begun."""
        for partition, committed in partitions.items():
            self._trackers[partition] = OffsetTracker(committed, window=self._window, intake=self._intake)
            self._committed.pop(partition, None)
        return self.commit_points(partitions)

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget these partitions."""
        for partition in partitions:
            self._trackers.pop(partition, None)
            self._committed.pop(partition, None)

    def deliver(self, record: Record) -> OffsetTracker | None:
        """Note a record and return its tracker; None where it is done already, or the partition is not held."""
        partition, offset = record.topic_partition, record.coordinate.offset
        tracker = self._trackers.get(partition)
        if tracker is None:
            return None
        if tracker.is_rewound_by(offset):
            tracker = self._trackers[partition] = OffsetTracker(window=self._window, topic_id=tracker.topic_id)
        return tracker if tracker.deliver(offset) else None

    def full(self) -> frozenset[TopicPartition]:
        """Return the partitions whose window is used up."""
        return frozenset(partition for partition, tracker in self._trackers.items() if tracker.is_full)

    def holds(self, tracker: OffsetTracker) -> bool:
        """Say whether a tracker is one of the present assignment."""
        return tracker in self._trackers.values()

    def points_with(self, done: Mapping[OffsetTracker, Collection[int]]) -> dict[TopicPartition, CommitPoint]:
        """Return what to commit for the partitions of these trackers if these offsets are done as well."""
        points = {}
        for partition, tracker in self._trackers.items():
            point = tracker.commit_point(also_done=frozenset(done[tracker])) if tracker in done else None
            if point:
                points[partition] = point
        return points

    def commit_points(
        self, partitions: Collection[TopicPartition] | None = None, *, clean_end: bool = False
    ) -> dict[TopicPartition, CommitPoint]:
        """Return what to commit for these partitions (None: for all), without what was returned already."""
        points = {}
        for partition in self._trackers if partitions is None else partitions:
            tracker = self._trackers.get(partition)
            point = tracker and tracker.commit_point(clean_end=clean_end)
            if point and point != self._committed.get(partition):
                points[partition] = point
        self._committed.update(points)
        return points

    @property
    def held(self) -> Collection[TopicPartition]:
        """The partitions of the present assignment."""
        return self._trackers.keys()
