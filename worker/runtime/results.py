"""From a reading to the result record."""

from collections.abc import Mapping
from dataclasses import replace

from worker.domain.headers import DerivedHeaders
from worker.domain.image import ImageHeader
from worker.domain.job import JSON_TYPE, LabelJob
from worker.domain.records import CONTENT_TYPE_HEADER, OutgoingRecord, Record
from worker.domain.result import LabelText, Line, ModelUsed, Page, Replay, SourceCoordinate, SourceImage
from worker.pipeline.pipeline import PageReading


def label_text(
    record: Record,
    job: LabelJob,
    header: ImageHeader,
    reading: PageReading,
    models: Mapping[str, ModelUsed],
    attempt: int,
) -> LabelText:
    """Return the result record of a reading."""
    derived, page = DerivedHeaders.of(record), reading.text
    floor = job.options.min_confidence or 0.0
    lines = tuple(
        Line(
            id=number,
            text=line.text,
            confidence=round(line.confidence, 4),
            polygon=tuple((round(float(x), 1), round(float(y), 1)) for x, y in line.polygon),
            rotation=round(line.rotation_degrees, 1) % 360,
        )
        for number, line in enumerate(line for line in page.lines if line.confidence >= floor)
    )
    return LabelText(
        job_id=job.job_id,
        result_id=job.result_id,
        image=SourceImage(sha256=job.picture_sha256, size_bytes=len(job.picture), format=header.format),
        pages=(Page(width=page.width, height=page.height, lines=lines),),
        models=dict(models),
        timing_ms={stage.value: round(seconds * 1000, 2) for stage, seconds in reading.timing_seconds.items()},
        source=SourceCoordinate(**derived.origin._asdict()),
        attempt=attempt,
        replay=Replay(count=derived.replay_count, run_id=derived.replay_run_id),
    )


def result_record(record: Record, result: LabelText, topic: str) -> OutgoingRecord:
    """Return the record that carries a result: keyed as the job, with the producer's headers."""
    derived = replace(DerivedHeaders.of(record).at_rest(), job_id=result.job_id, attempt=result.attempt)
    kept = tuple((name, value) for name, value in record.headers if name != CONTENT_TYPE_HEADER)
    headers = (*derived.onto(kept), (CONTENT_TYPE_HEADER, JSON_TYPE.encode()))
    return OutgoingRecord(topic, record.key, result.to_json(), headers)
