"""Logs as workers and replays would write them, so that a test can spoil them."""

import json
from dataclasses import replace

from worker.audit.account import account
from worker.audit.cut import Cut, Gap, input_topics, outcome_topics
from worker.audit.report import AuditReport
from worker.domain.headers import DEAD_LETTER_PREFIX, DerivedHeaders
from worker.domain.job import parse_job
from worker.domain.offsets import encode_metadata
from worker.domain.records import CONTENT_TYPE_HEADER, CommitPoint, Coordinate, Headers, Record, TopicPartition
from worker.settings import TopicSettings

TOPICS = TopicSettings()


class Logs:
    """The topics of one deployment, one partition each; every input is done unless it is put into `open`."""

    def __init__(self, topics: TopicSettings = TOPICS) -> None:
        self.topics = topics
        self.records: dict[Coordinate, Record] = {}
        self.open: set[Coordinate] = set()
        self._ends = dict.fromkeys((*input_topics(topics), *outcome_topics(topics)), 0)
        self._now_ms = 1_700_000_000_000

    def job(self, picture: bytes = b"") -> Record:
        """Write a job; each has a picture of its own."""
        value = picture or b"picture %d" % self._ends[self.topics.jobs]
        return self._append(self.topics.jobs, value, ((CONTENT_TYPE_HEADER, b"image/jpeg"),))

    def retry(self, record: Record, level: int = 1) -> Record:
        """Write the retry that a worker writes for a record."""
        return self._append(self.topics.retry_topics[level - 1], record.value, self._derived(record))

    def result(
        self, record: Record, text: str = "PARCEL", *, result_id: str | None = None, version: str = "1"
    ) -> Record:
        """Write the result that a worker writes for a record."""
        job = parse_job(record)
        document = {
            "result_id": result_id or job.result_id,
            "image": {"sha256": job.picture_sha256},
            "pages": [{"lines": [{"text": text}]}],
            "models": {"text_recognizer": {"version": version}},
            "timing_ms": {"read": self._now_ms % 7},
        }
        return self._append(self.topics.results, json.dumps(document).encode(), self._derived(record))

    def dead_letter(self, record: Record) -> Record:
        """Write the dead letter that a worker writes for a record."""
        headers = (*self._derived(record), (DEAD_LETTER_PREFIX + "id", f"id of {record.coordinate}".encode()))
        return self._append(self.topics.dead_letters, record.value, headers)

    def replay(self, letter: Record, *, to_origin: bool = False) -> Record:
        """Write what a replay makes of a dead letter."""
        derived = DerivedHeaders.of(letter)
        raised = replace(derived, replay_count=derived.replay_count + 1, attempt=0, replay_run_id="run")
        topic = self.topics.jobs if to_origin else self.topics.replay_topic
        return self._append(topic, letter.value, raised.onto(letter.headers))

    def park(self, letter: Record) -> Record:
        """Write what a replay makes of a dead letter that was replayed too often."""
        return self._append(self.topics.parked_topic, letter.value, letter.headers)

    def stranger(self, topic: str) -> Record:
        """Write a record that is none of ours."""
        return self._append(topic, b"?", ())

    def remove(self, record: Record) -> None:
        """Let a record be gone, its offset not."""
        del self.records[record.coordinate]

    def alter(self, record: Record, value: bytes) -> None:
        """Put another value in a record's place."""
        self.records[record.coordinate] = replace(record, value=value)

    def cut(self, *gaps: Gap) -> Cut:
        """Return the cut after everything was written."""
        ends = {TopicPartition(topic, 0): end for topic, end in self._ends.items()}
        return Cut(self.positions(), ends, gaps)

    def audit(self, *gaps: Gap, offenders: int = 1000) -> AuditReport:
        """Audit everything."""
        return account(list(self.records.values()), self.cut(*gaps), self.topics, offenders=offenders)

    def _append(self, topic: str, value: bytes | None, headers: Headers) -> Record:
        at = Coordinate(topic, 0, self._ends[topic])
        self._ends[topic] += 1
        self._now_ms += 5
        self.records[at] = Record(at, b"key", value, headers, self._now_ms)
        return self.records[at]

    def _derived(self, record: Record) -> Headers:
        derived = DerivedHeaders.of(record)
        job_id = parse_job(record).job_id
        return replace(derived, attempt=derived.attempt + 1, job_id=job_id).onto(record.headers)

    def positions(self) -> dict[TopicPartition, CommitPoint]:
        """Return what a group has committed that has done all but what is open."""
        return {TopicPartition(topic, 0): self._position(topic) for topic in input_topics(self.topics)}

    def _position(self, topic: str) -> CommitPoint:
        """Commit as a worker does: the lowest that is open, and a map of what is done above it."""
        still_open = {at.offset for at in self.open if at.topic == topic}
        base = min(still_open, default=self._ends[topic])
        return CommitPoint(base, encode_metadata(base, set(range(base + 1, self._ends[topic])) - still_open))
