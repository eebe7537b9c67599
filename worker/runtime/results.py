"""Turns what was read into the result record."""

from dataclasses import replace

from worker.domain import barcode, fields, quality
from worker.domain.content import JSON_TYPE
from worker.domain.geometry import Points
from worker.domain.headers import MODEL_SET, ROLLOUT, DerivedHeaders
from worker.domain.image import ImageHeader, PageText, TextLine
from worker.domain.job import LabelJob
from worker.domain.records import CONTENT_TYPE_HEADER, OutgoingRecord, Record
from worker.domain.result import (
    Barcode,
    Element,
    LabelField,
    LabelText,
    Line,
    Page,
    Quad,
    Quality,
    Replay,
    SourceCoordinate,
    SourceImage,
)
from worker.runtime.model_client import RoutedReading


def label_text(
    record: Record,
    job: LabelJob,
    header: ImageHeader,
    read: RoutedReading,
    attempt: int,
) -> LabelText:
    """Return the result record of a reading."""
    derived, floor = DerivedHeaders.of(record), job.options.min_confidence or 0.0
    return LabelText(
        job_id=job.job_id,
        result_id=job.result_id,
        image=SourceImage(sha256=job.picture_sha256, size_bytes=len(job.picture), format=header.format),
        pages=tuple(_page(page, floor) for page in read.reading.pages),
        models=dict(read.source.models_used),
        model_set=read.source.model_set,
        rollout=read.source.rollout,
        timing_ms={stage.value: round(seconds * 1000, 2) for stage, seconds in read.reading.timing_seconds.items()},
        source=SourceCoordinate(**derived.origin._asdict()),
        attempt=attempt,
        replay=Replay(count=derived.replay_count, run_id=derived.replay_run_id),
    )


def _page(page: PageText, floor: float) -> Page:
    """Return a page without the lines under the floor; lines keep their ids, so that fields still name them."""
    return Page(
        width=page.width,
        height=page.height,
        lines=tuple(_line(number, line) for number, line in enumerate(page.lines) if line.confidence >= floor),
        fields=tuple(_field(field) for field in page.fields),
        barcodes=tuple(_barcode(number, code) for number, code in enumerate(page.barcodes)),
        quality=_quality(page.quality) if page.quality else None,
    )


def _line(number: int, line: TextLine) -> Line:
    return Line(
        id=number,
        text=line.text,
        confidence=round(line.confidence, 4),
        polygon=_quad(line.polygon),
        rotation=round(line.rotation_degrees, 1) % 360,
    )


def _field(field: fields.Field) -> LabelField:
    values = {name: getattr(field, name) for name in LabelField.model_fields}
    return LabelField(**values | {"confidence": round(field.confidence, 4)})


def _barcode(number: int, code: barcode.DecodedBarcode) -> Barcode:
    elements = tuple(
        Element(identifier=element.identifier, value=element.value, valid=element.valid) for element in code.elements
    )
    return Barcode(id=number, format=code.format, text=code.text, polygon=_quad(code.polygon), elements=elements)


def _quality(quality: quality.PageQuality) -> Quality:
    measures = {name: round(value, 4) for name, value in quality.measures.items()}
    return Quality(score=round(quality.score, 4), measures=measures, problems=quality.problems)


def _quad(points: Points) -> Quad:
    first, second, third, fourth = ((round(x, 1), round(y, 1)) for x, y in points.tolist())
    return first, second, third, fourth


def result_record(record: Record, result: LabelText, topic: str) -> OutgoingRecord:
    """Return the record that carries a result: keyed as the job, with the producer's headers."""
    derived = replace(DerivedHeaders.of(record).without_retry(), job_id=result.job_id, attempt=result.attempt)
    kept = tuple((name, value) for name, value in record.headers if name.lower() != CONTENT_TYPE_HEADER)
    kept = tuple((name, value) for name, value in kept if name not in {MODEL_SET, ROLLOUT})
    routed = [(name, value) for name, value in ((MODEL_SET, result.model_set), (ROLLOUT, result.rollout)) if value]
    headers = (
        *derived.onto(kept),
        *((name, value.encode()) for name, value in routed),
        (CONTENT_TYPE_HEADER, JSON_TYPE.encode()),
    )
    return OutgoingRecord(topic, record.key, result.to_json(), headers)
