"""Who says whether a run was right.

Some rules hold at every moment: no commit passes what has no acknowledged outcome, no position goes back, nothing is
begun that the hand-over said is done, budgets are kept. Others hold at the end: each job has its one outcome, with the
right text or code, and with all that its producer wrote.
"""

from collections import defaultdict
from collections.abc import Collection

from tests.simulation.jobs import Sent
from tests.simulation.outcomes import Origin, OutcomeCheck
from tests.simulation.scenario import Tuning
from tests.simulation.trace import Trace
from worker.domain.headers import DerivedHeaders
from worker.domain.offsets import decode_done, topic_id_of
from worker.domain.records import CommitPoint, Coordinate, OutgoingRecord, Record, TopicPartition
from worker.settings import TopicSettings

SPOILT = "the metadata was spoilt"
_TERMINAL = 1_000_000
_MAX_FAILURES = 5
_LARGE_JOBS = 1


class Judge:
    """Watches a run. `failures` are sentences, `excuses` what may explain a duplicate."""

    def __init__(self, topics: TopicSettings, tuning: Tuning, trace: Trace) -> None:
        self.failures: list[str] = []
        self.excuses: set[str] = set()
        self.jobs: dict[Origin, Sent] = {}
        self._gone: set[Origin] = set()
        self._outcomes = OutcomeCheck(topics, self.jobs, self._gone)
        self._closed = False
        self._of_key: dict[tuple[TopicPartition, bytes | None], list[Origin]] = defaultdict(list)
        self._topics = topics
        self._tuning = tuning
        self._trace = trace
        self._inputs: dict[Coordinate, tuple[Origin, int]] = {}
        self._acknowledged: dict[Origin, int] = defaultdict(int)
        self._promised: dict[tuple[str, TopicPartition], tuple[int, Collection[int]]] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._topic_ids: dict[str, str] = {}

    def fail(self, sentence: str) -> None:
        """Note that something is wrong."""
        if self._closed:
            return
        self._trace.note("judge", "FAILURE", sentence)
        if len(self.failures) < _MAX_FAILURES:
            self.failures.append(sentence)

    def excuse(self, what: str) -> None:
        """Note what may make a worker do a job again."""
        self.excuses.add(what)

    # What happens on the broker.

    def sent(self, record: Record, job: Sent) -> None:
        """A producer has written a job."""
        origin = Origin(record.coordinate, record.timestamp_ms)
        self.jobs[origin] = job
        self._inputs[record.coordinate] = (origin, 0)
        self._of_key[record.topic_partition, record.key].append(origin)
        self._trace.note("producer", "sent", record.coordinate, job.kind)

    def written(self, record: Record) -> None:
        """A worker's record stands on the broker."""
        derived = DerivedHeaders.of(record)
        self._trace.note("broker", "written", record.coordinate, "of", derived.origin, "attempt", derived.attempt)
        if record.coordinate.topic in {*self._topics.retry_topics, self._topics.replay_topic}:
            self._inputs[record.coordinate] = (Origin.of(derived), derived.attempt)
        for problem in self._outcomes.written(record, derived):
            self.fail(problem)
        if self._tuning.exactly_once:
            # What stands there was committed; whether its position was as well shows at the end.
            self._count(record.coordinate.topic, derived)

    def topic_made(self, topic: str, topic_id: str) -> None:
        """A topic was made, or made anew: what stood on the former one is gone, and says nothing of this one."""
        if topic in self._topic_ids:
            self.excuse("a topic was made anew")
        self._topic_ids[topic] = topic_id
        self._gone.update(origin for origin in self.jobs if origin.at.topic == topic)
        for at in [at for at in self._inputs if at.topic == topic]:
            del self._inputs[at]
        for partition in [partition for partition in self._committed if partition.topic == topic]:
            del self._committed[partition]
        for of_key in [name for name in self._of_key if name[0].topic == topic]:
            del self._of_key[of_key]
        for promised in [name for name in self._promised if name[1].topic == topic]:
            del self._promised[promised]

    def position(self, partition: TopicPartition) -> int:
        """Return what was committed last on the topic that there is."""
        return self._committed.get(partition, 0)

    def belongs(self, partition: TopicPartition, point: CommitPoint) -> bool:
        """Say whether a position was made for the topic that there is, as far as it says so."""
        return topic_id_of(point) in {"", self._topic_ids[partition.topic]}

    def commit_requested(self) -> None:
        """A member has committed positions, in one request."""
        self._trace.note("broker", "commit request")

    def committed(self, partition: TopicPartition, point: CommitPoint) -> None:
        """A position was committed."""
        self._trace.note("broker", "metadata", partition, len(point.metadata))
        if not self.belongs(partition, point):
            self._trace.note("broker", "committed", partition, point.offset, "of a former topic")
            return
        done = sorted(decode_done(point))
        self._trace.note("broker", "committed", partition, point.offset, done)
        before = self._committed.get(partition, 0)
        if point.offset < before:
            self.fail(f"{partition}: the committed position went back from {before} to {point.offset}.")
        for offset in (*range(before, point.offset), *done):
            at = Coordinate(*partition, offset)
            origin, attempt = self._inputs.get(at, (Origin(at, 0), -1))
            if self._acknowledged[origin] <= attempt:
                self.fail(f"{at} was committed as done before an outcome of it was acknowledged.")
        self._committed[partition] = point.offset

    # What workers do.

    def assigned(self, worker: str, partition: TopicPartition, point: CommitPoint, end: int) -> None:
        """A worker has been given a partition that ends there, with what was committed for it.

        What was committed on another topic, or lies above the end, promises nothing: the partition begins anew.
        """
        if self.belongs(partition, point) and point.offset <= end:
            self._promised[worker, partition] = (point.offset, decode_done(point))
        else:
            self._promised[worker, partition] = (0, ())
            self._committed.pop(partition, None)

    def begun(self, worker: str, record: Record) -> None:
        """A worker begins an attempt at a record."""
        offset, partition = record.coordinate.offset, record.topic_partition
        self._trace.note(worker, "begun", record.coordinate)
        if Origin(record.coordinate, record.timestamp_ms) in self._gone:
            return
        base, done = self._promised.get((worker, partition), (0, ()))
        if offset < base or offset in done:
            self.fail(f"{worker} began {record.coordinate}, which the hand-over had said is done.")
        if self._tuning.key_order and record.key is not None:
            for earlier in self._of_key[partition, record.key]:
                if earlier.at.offset < offset and self._acknowledged[earlier] < _TERMINAL:
                    self.fail(f"{worker} began {record.coordinate} before {earlier} of the same key had ended.")

    def sending(self, worker: str, record: OutgoingRecord) -> None:
        """A worker begins to write a record."""
        self._trace.note(worker, "sends", record.topic, self._derived(record).origin)

    def acknowledged(self, worker: str, record: OutgoingRecord) -> None:
        """A worker has been told that its record is written."""
        derived = self._derived(record)
        self._trace.note(worker, "acknowledged", record.topic, derived.origin)
        self._count(record.topic, derived)

    def _count(self, topic: str, derived: DerivedHeaders) -> None:
        returns = topic in self._topics.retry_topics
        reached, origin = derived.attempt if returns else _TERMINAL, Origin.of(derived)
        self._acknowledged[origin] = max(self._acknowledged[origin], reached)

    def in_flight(self, worker: str, jobs: int, pixels: int) -> None:
        """A worker says how much it has under way."""
        tuning = self._tuning
        most_pixels = 2 * max(tuning.max_inflight_pixels, OutcomeCheck.LARGEST_PIXELS)
        if jobs > tuning.max_jobs + _LARGE_JOBS or pixels > most_pixels:
            self.fail(f"{worker} has {jobs} jobs and {pixels} pixels under way, over its budget.")

    @staticmethod
    def _derived(record: OutgoingRecord) -> DerivedHeaders:
        nowhere = Coordinate(record.topic, -1, -1)
        return DerivedHeaders.of(Record(nowhere, record.key, record.value, record.headers, 0))

    # The end.

    @property
    def open_jobs(self) -> list[Origin]:
        """The jobs that have no outcome yet, and whose topic is there."""
        return [origin for origin in self.jobs if self._acknowledged[origin] < _TERMINAL and origin not in self._gone]

    def conclude(self) -> None:
        """Look at all outcomes together."""
        # In transactions nothing but a spoilt map of what is done excuses a duplicate.
        excuses = self.excuses & {SPOILT} if self._tuning.exactly_once else self.excuses
        for problem in self._outcomes.at_the_end(excused=bool(excuses)):
            self.fail(problem)

    def close(self) -> None:
        """Look away: what happens now belongs to no run."""
        self._closed = True
        self._trace.close()
