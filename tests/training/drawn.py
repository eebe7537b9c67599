"""Pictures in the block font, and results, jobs and dead letters of them, for the tests of training data."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from worker.dlq.payload import Fetch
from worker.domain.fields import Check, Source
from worker.domain.image import Pixels
from worker.domain.records import Coordinate, Headers, Record
from worker.domain.result import LabelField, LabelText, Line, ModelUsed, Page, Quad, SourceCoordinate, SourceImage
from worker.domain.uri import AllowedPrefixes
from worker.testing.blob import MemoryBlobStore
from worker.testing.block_font import BlockLine, draw_blocks, encode_png
from worker.training.records import JobLookup, JobPictures, TrainingRecords

JOBS: Final = "label-images"
RESULTS: Final = "label-text"
LETTERS: Final = "label-images.dlq"
FOLDER: Final = "s3://labels/in/"
WIDTH, HEIGHT = 640, 320
ALLOWED: Final[Headers] = (("labelwire.consent", b"training"),)
NOW_MS: Final = 1_700_000_000_000


def quad(left: float, top: float, right: float, bottom: float) -> Quad:
    return (left, top), (right, top), (right, bottom), (left, bottom)


def read_line(number: int, text: str, confidence: float = 0.99) -> Line:
    """Return a line as it was read off a picture of `drawn`."""
    top = 30 + 60 * number
    polygon = quad(36, top - 3, 44 + 24 * len(text), top + 27)
    return Line(id=number, text=text, confidence=confidence, polygon=polygon, rotation=0)


def drawn_pixels(*texts: str) -> Pixels:
    """Return a page with these lines, whose blocks are 24 pixels high."""
    lines = [BlockLine(text, 40, 30 + 60 * number) for number, text in enumerate(texts)]
    return draw_blocks(lines, width=WIDTH, height=HEIGHT)


def drawn(*texts: str) -> bytes:
    """Return the same as PNG."""
    return encode_png(drawn_pixels(*texts))


def field_of(line: Line, *, check: Check = Check.PASSED, source: Source = Source.TEXT) -> LabelField:
    return LabelField(
        type="sscc",
        value=line.text,
        text=line.text,
        confidence=0.9,
        check=check,
        source=source,
        line_ids=(line.id,),
    )


def page_of(lines: Sequence[Line], fields: Sequence[LabelField] = ()) -> Page:
    return Page(width=WIDTH, height=HEIGHT, lines=tuple(lines), fields=tuple(fields))


def result_of(picture: bytes, job: Coordinate, *pages: Page) -> LabelText:
    return LabelText(
        job_id=f"job-{job}",
        result_id=hashlib.sha256(picture).hexdigest()[:16],
        image=SourceImage(sha256=hashlib.sha256(picture).hexdigest(), size_bytes=len(picture), format="png"),
        pages=pages,
        models={"text_recognizer": ModelUsed(version="7", digest="0" * 64, precision="fp32")},
        timing_ms={},
        source=SourceCoordinate(topic=job.topic, partition=job.partition, offset=job.offset),
        attempt=1,
    )


@dataclass
class Topics:
    """A job topic, a result topic and a dead-letter topic in memory."""

    jobs: list[Record] = field(default_factory=list)
    results: list[Record] = field(default_factory=list)
    letters: list[Record] = field(default_factory=list)
    blobs: MemoryBlobStore = field(default_factory=partial(MemoryBlobStore, AllowedPrefixes.of([FOLDER])))

    def add(
        self,
        picture: bytes,
        *pages: Page,
        key: bytes | None = None,
        headers: Headers = ALLOWED,
        at_ms: int = NOW_MS,
        read_from: bytes | None = None,
    ) -> Record:
        """Add a job and its result, and return the result. `read_from` is the picture that the result tells of."""
        job = Record(
            Coordinate(JOBS, 0, len(self.jobs)), key, picture, (("content-type", b"image/png"), *headers), at_ms
        )
        self.jobs.append(job)
        value = result_of(read_from or picture, job.coordinate, *pages).to_json()
        result = Record(Coordinate(RESULTS, 0, len(self.results)), key, value, headers, at_ms)
        self.results.append(result)
        return result

    @property
    def fetch(self) -> Fetch:
        return {each.coordinate: each for each in (*self.jobs, *self.results, *self.letters)}.get

    @property
    def records(self) -> TrainingRecords:
        return TrainingRecords(self.results, self.letters, self.fetch, JobLookup(self.fetch).of, self._picture)

    def _picture(self, job: Record) -> bytes:
        with asyncio.Runner() as runner:
            return JobPictures(self.blobs, runner).of(job)
