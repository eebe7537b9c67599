"""Logs as workers and replays write them, by their own code, so that a test can spoil them."""

import base64
import json
from dataclasses import replace

from worker.audit.account import account
from worker.audit.consistent_cut import ConsistentCut, Gap, input_topics, outcome_topics
from worker.audit.report import AuditReport
from worker.dlq.letter import DeadLetter
from worker.dlq.payload import original_job
from worker.dlq.replay.rewrite import parked_record, replay_record
from worker.domain.content import JSON_TYPE
from worker.domain.dead_letter import Failure, dead_letter
from worker.domain.errors import ErrorCode, JobError
from worker.domain.headers import DerivedHeaders
from worker.domain.job import job_id_in_headers, parse_job
from worker.domain.offsets import encode_metadata
from worker.domain.records import (
    CONTENT_TYPE_HEADER,
    CommitPoint,
    Coordinate,
    Headers,
    OutgoingRecord,
    Record,
    TopicPartition,
)
from worker.domain.result import LabelText, Line, ModelUsed, Page, SourceCoordinate, SourceImage
from worker.domain.retry import retry_record
from worker.runtime.results import result_record
from worker.settings import TopicSettings

JSON = JSON_TYPE.encode()
TOPICS = TopicSettings()


class Logs:
    """The topics of one deployment, one partition each; every input is done unless it is put into `open`."""

    def __init__(self, topics: TopicSettings = TOPICS, began_ms: int = 1_700_000_000_000) -> None:
        self.topics = topics
        self.records: dict[Coordinate, Record] = {}
        self.open: set[Coordinate] = set()
        self.topic_ids: dict[str, str] = {}
        self._ends = dict.fromkeys((*input_topics(topics), *outcome_topics(topics)), 0)
        self._now_ms = began_ms

    def job(self, picture: bytes = b"", *, as_json: bool = False) -> Record:
        """Write a job; each has a picture of its own."""
        number = self._ends[self.topics.jobs]
        picture = picture or b"picture %d" % number
        if as_json:
            document = {"job_id": f"job {number}", "image_base64": base64.b64encode(picture).decode()}
            return self._append(self.topics.jobs, json.dumps(document).encode(), ((CONTENT_TYPE_HEADER, JSON),))
        return self._append(self.topics.jobs, picture, ((CONTENT_TYPE_HEADER, b"image/jpeg"),))

    def retry(self, record: Record, level: int = 1) -> Record:
        """Write the retry that a worker writes for a record."""
        retried = retry_record(
            record,
            self.topics.retry_topics[level - 1],
            job_id=job_id_in_headers(record),
            attempt=DerivedHeaders.of(record).attempt + 1,
            due_at_ms=self._now_ms,
            first_failed_at_ms=self._now_ms,
        )
        return self._write(retried)

    def result(
        self, record: Record, text: str = "PARCEL", *, result_id: str | None = None, version: str = "1"
    ) -> Record:
        """Write the result that a worker writes for a record."""
        job, derived = parse_job(record), DerivedHeaders.of(record)
        line = Line(id=0, text=text, confidence=0.9, polygon=((0, 0), (9, 0), (9, 9), (0, 9)), rotation=0)
        result = LabelText(
            job_id=job.job_id,
            result_id=result_id or job.result_id,
            image=SourceImage(sha256=job.picture_sha256, size_bytes=len(job.picture), format="jpeg"),
            pages=(Page(width=10, height=10, lines=(line,)),),
            models={"text_recognizer": ModelUsed(version=version, digest="d", precision="int8")},
            timing_ms={"read": self._now_ms % 7},
            source=SourceCoordinate(**derived.origin._asdict()),
            attempt=derived.attempt + 1,
        )
        return self._write(result_record(record, result, self.topics.results))

    def dead_letter(self, record: Record) -> Record:
        """Write the dead letter that a worker writes for a record."""
        failure = Failure(
            error=JobError(ErrorCode.INFERENCE_FAILED, "The server failed."),
            job_id=job_id_in_headers(record),
            attempt=DerivedHeaders.of(record).attempt + 1,
            first_failed_at_ms=self._now_ms,
            failed_at_ms=self._now_ms,
            cluster_id="cluster",
            group_id="group",
            worker_version="1",
            model_version="1",
        )
        return self._write(dead_letter(record, failure, self.topics.dead_letters, None))

    def replay(self, letter: Record, *, to_origin: bool = False) -> Record:
        """Write what a replay makes of a dead letter."""
        topic = self.topics.jobs if to_origin else self.topics.replay_topic
        parsed = DeadLetter.of(letter)
        return self._write(replay_record(parsed, original_job(parsed, _never), "run", topic).record)

    def park(self, letter: Record) -> Record:
        """Write what a replay makes of a dead letter that was replayed too often."""
        return self._write(parked_record(DeadLetter.of(letter), "run", self.topics.parked_topic, 1).record)

    def stranger(self, topic: str) -> Record:
        """Write a record that is none of ours."""
        return self._append(topic, b"?", ())

    def remove(self, record: Record) -> None:
        """Let a record be gone, its offset not."""
        del self.records[record.coordinate]

    def begin_anew(self, topic: str) -> int:
        """Let a topic be made anew, and return how many records are gone with the former one."""
        gone = [at for at in self.records if at.topic == topic]
        for at in gone:
            del self.records[at]
        self._ends[topic] = 0
        return len(gone)

    def alter(self, record: Record, value: bytes) -> None:
        """Put another value in a record's place."""
        self.records[record.coordinate] = replace(record, value=value)

    def cut(self, *gaps: Gap) -> ConsistentCut:
        """Return the cut after everything was written."""
        ends = {TopicPartition(topic, 0): end for topic, end in self._ends.items()}
        return ConsistentCut(self.positions(), ends, gaps)

    def audit(self, *gaps: Gap, offenders: int = 1000) -> AuditReport:
        """Audit everything."""
        return account(list(self.records.values()), self.cut(*gaps), self.topics, offenders=offenders)

    def _append(self, topic: str, value: bytes | None, headers: Headers) -> Record:
        at = Coordinate(topic, 0, self._ends[topic])
        self._ends[topic] += 1
        self._now_ms += 5
        self.records[at] = Record(at, b"key", value, headers, self._now_ms)
        return self.records[at]

    def _write(self, record: OutgoingRecord) -> Record:
        return self._append(record.topic, record.value, record.headers)

    def positions(self) -> dict[TopicPartition, CommitPoint]:
        """Return what a group has committed that has done all but what is open."""
        return {TopicPartition(topic, 0): self._position(topic) for topic in input_topics(self.topics)}

    def _position(self, topic: str) -> CommitPoint:
        """Commit as a worker does: the lowest that is open, and a map of what is done above it."""
        still_open = {at.offset for at in self.open if at.topic == topic}
        base = min(still_open, default=self._ends[topic])
        done = set(range(base + 1, self._ends[topic])) - still_open
        return CommitPoint(base, encode_metadata(base, done, topic_id=self.topic_ids.get(topic, "")))


def _never(_at: Coordinate) -> Record | None:
    raise AssertionError("these letters hold their payload")
