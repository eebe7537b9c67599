"""Results in files, with the pictures that they were read from: what `labelwire ocr --json` or `tail --json` prints.

Invariant: a picture belongs to a result by its digest alone, whatever it is called.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from worker.domain.content import JSON_TYPE
from worker.domain.errors import LabelwireError
from worker.domain.records import CONTENT_TYPE_HEADER, Coordinate, Headers, Record
from worker.domain.result import LabelText

_RESULTS: Final = frozenset({".json", ".jsonl"})


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """The results in a folder, as records, and its pictures by their digests. They have no keys."""

    results: Mapping[Coordinate, Record]
    pictures: Mapping[str, Path]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a folder: each line of a `.json` or `.jsonl` file is a result, each other file a picture.

        Raises LabelwireError if it cannot be read or holds no results.
        """
        try:
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            results = {
                record.coordinate: record
                for path in files
                if path.suffix in _RESULTS
                for record in _records(path, folder)
            }
            pictures = {_digest(path): path for path in files if path.suffix not in _RESULTS}
        except OSError as error:
            raise LabelwireError(f"{error.filename or folder} cannot be read: {error.strerror or error}.") from error
        if not results:
            raise LabelwireError(
                f"{folder} holds no results: give a folder with pictures and what `labelwire ocr --json` printed."
            )
        return cls(results, pictures)

    def fetch(self, coordinate: Coordinate) -> Record | None:
        """Return a result."""
        return self.results.get(coordinate)

    def job_of(self, result: LabelText) -> Record | None:
        """Return a job with the picture of a result, None if it is not in the folder. Raises LabelwireError."""
        path = self.pictures.get(result.image.sha256)
        if path is None:
            return None
        coordinate = Coordinate(result.source.topic, result.source.partition, result.source.offset)
        try:
            return Record(coordinate, None, path.read_bytes(), _headers("image/*"), 0)
        except OSError as error:
            raise LabelwireError(f"{path} cannot be read: {error.strerror or error}.") from error


def _records(path: Path, folder: Path) -> Iterator[Record]:
    # One JSON document over many lines is a result as well.
    lines = path.read_bytes().splitlines() if path.suffix == ".jsonl" else _documents(path.read_bytes())
    for number, line in enumerate(lines):
        if line.strip():
            coordinate = Coordinate(path.relative_to(folder).as_posix(), 0, number)
            yield Record(coordinate, None, line, _headers(JSON_TYPE), 0)


def _documents(content: bytes) -> list[bytes]:
    lines = content.splitlines()
    return lines if all(line.startswith(b"{") and line.endswith(b"}") for line in lines if line) else [content]


def _headers(content_type: str) -> Headers:
    return ((CONTENT_TYPE_HEADER, content_type.encode()),)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
