"""The records that training data are made of, wherever they come from.

Invariant: reading changes nothing. A picture is the one that its result was read from: its digest says so.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from worker.dlq.payload import Fetch
from worker.domain.job import parse_job
from worker.domain.records import Coordinate, Record
from worker.domain.result import LabelText
from worker.ports import BlobStore


@dataclass(frozen=True, slots=True)
class TrainingRecords:
    """Where records come from.

    `results` and `letters` are read once, from their beginning to an end that is fixed. `fetch` returns a single
    record, `job_of` the job of a result; both None if it is gone. `picture_of` returns the encoded picture of a job,
    and raises JobError.
    """

    results: Iterable[Record]
    letters: Iterable[Record]
    fetch: Fetch
    job_of: Callable[[LabelText], Record | None]
    picture_of: Callable[[Record], bytes]


@dataclass(frozen=True, slots=True)
class JobPictures:
    """Pictures of jobs: out of the record, or from the allowed prefixes by their URI."""

    blobs: BlobStore
    runner: asyncio.Runner

    def of(self, job: Record) -> bytes:
        """Return the encoded picture. Raises JobError."""
        parsed = parse_job(job)
        return parsed.picture if parsed.uri is None else self.runner.run(self.blobs.fetch(parsed.uri, _reserved))


@dataclass(frozen=True, slots=True)
class JobLookup:
    """Jobs by the coordinate that their result names as its source."""

    fetch: Fetch

    def of(self, result: LabelText) -> Record | None:
        """Return the job of a result, None if it is no longer there."""
        return self.fetch(Coordinate(result.source.topic, result.source.partition, result.source.offset))


def sha256_of(content: bytes) -> str:
    """Return the hex digest of a picture."""
    return hashlib.sha256(content).hexdigest()


async def _reserved(_size_bytes: int) -> None:
    """Take memory for a picture: one is held at a time, and the store limits its size."""
