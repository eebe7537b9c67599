"""Reading files without Kafka.

Invariant: each file ends in exactly one `FileReading`, in the order in which the files were given; a file that fails
stops no other.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.domain.errors import ErrorCode, JobError, LabelwireError
from worker.domain.job import parse_job
from worker.domain.records import CONTENT_TYPE_HEADER, JOB_ID_HEADER, Coordinate, Record
from worker.domain.result import LabelText
from worker.pipeline.explanation import PageSearch
from worker.reporting.drawings import DrawingNames, draw_pages
from worker.runtime.model_client import ModelClient, PictureRequest
from worker.runtime.results import label_text

# What a result names as its source where there is no topic.
SOURCE: Final = "file"


@dataclass(frozen=True, slots=True)
class FileReading:
    """A file and its result, or the sentence that says why there is none, and the code of that error if it has one."""

    path: Path
    result: LabelText | None
    error: str | None
    code: str | None = None
    searches: tuple[PageSearch, ...] = ()  # how each page was searched
    drawings: tuple[Path, ...] = ()  # files that were written


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """`at_once` files are under way together; one has `timeout_seconds`; `draw_into` is a folder for drawings.

    `draw_tiles` shows the detector's tiles in them.
    """

    at_once: int = 4
    timeout_seconds: float = 120.0
    draw_into: Path | None = None
    draw_tiles: bool = False


async def read_files(
    paths: Iterable[Path],
    reader: ModelClient,
    report: Callable[[FileReading], None],
    options: ReadingOptions = ReadingOptions(),
) -> bool:
    """Read files, report each as soon as its turn has come, and say whether all were read.

    Raises ServerMismatchError or JobError INFERENCE_UNAVAILABLE if no file can be read at all.
    """
    await reader.refresh()
    names = DrawingNames(options.draw_into)
    under_way: deque[asyncio.Task[FileReading]] = deque()
    readings: list[bool] = []

    async def report_oldest() -> None:
        reading = await under_way[0]
        under_way.popleft()
        readings.append(reading.error is None)
        report(reading)

    # No task group: what `report` raises, a closed pipe above all, must reach the caller as it is.
    try:
        for number, path in enumerate(paths):
            if len(under_way) >= options.at_once:
                await report_oldest()
            under_way.append(asyncio.create_task(_read(number, path, reader, options, names.of(path))))
        while under_way:
            await report_oldest()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    return all(readings)


async def _read(
    number: int, path: Path, reader: ModelClient, options: ReadingOptions, stem: Path | None
) -> FileReading:
    try:
        picture = await asyncio.to_thread(path.read_bytes)
        result, searches = await _read_picture(number, path, picture, reader, options.timeout_seconds)
        drawings: tuple[Path, ...] = ()
        if stem is not None:
            tiles = [search.tiles if options.draw_tiles else () for search in searches]
            header = reader.header(picture)
            drawings = await asyncio.to_thread(draw_pages, picture, header, result.pages, tiles, stem)
    except OSError as error:
        return FileReading(path, None, f"{error.filename or path}: {error.strerror or error}.")
    except JobError as error:
        return FileReading(path, None, f"{path}: {error}", error.code.value)
    except LabelwireError as error:
        return FileReading(path, None, f"{path}: {error}")
    return FileReading(path, result, None, searches=searches, drawings=drawings)


async def _read_picture(
    number: int, path: Path, picture: bytes, reader: ModelClient, timeout_seconds: float
) -> tuple[LabelText, tuple[PageSearch, ...]]:
    if not picture:
        raise JobError(ErrorCode.IMAGE_UNSUPPORTED, "the file is empty.")
    headers = ((CONTENT_TYPE_HEADER, b"image/*"), (JOB_ID_HEADER, str(path).encode("utf-8", "replace")))
    record = Record(Coordinate(SOURCE, 0, number), None, picture, headers, timestamp_ms=0)
    header = reader.header(picture)
    job = parse_job(record)
    read = await reader.read(PictureRequest(job.job_id.encode(), picture, header, timeout_seconds, job.job_id))
    return label_text(record, job, header, read, attempt=1), read.reading.searches
