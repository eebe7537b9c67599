"""What an export holds: a folder with a manifest, one line of JSON for each record.

Invariant: the manifest names a record only when its files are complete. All lists are made of the manifest, so an
export that was interrupted goes on, and no file is overwritten but an incomplete one of the same record.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from worker.dlq.inspect.files import put, unwritable
from worker.domain.errors import LabelwireError
from worker.domain.records import Record
from worker.domain.result import Quad
from worker.training.split import Split, SplitBy
from worker.training.trust import Trust

MANIFEST: Final = "manifest.jsonl"
OPTIONS: Final = "export.json"
PRIVATE: Final = 0o700  # pictures are customers' data


class TrainingKind(StrEnum):
    """What is exported; each only where it was named."""

    RESULTS = "results"
    LINES = "lines"
    DEAD_LETTERS = "dead-letters"


class _ManifestEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainingLine(_ManifestEntry):
    """A line as it was read; `polygon` is in pixels of the page's file, `crop` a file of the export."""

    id: int
    text: str
    confidence: float
    trust: Trust
    polygon: Quad
    crop: str | None = None


class TrainingPage(_ManifestEntry):
    """A page; `file` is its picture in the export and `sha256` the digest of that, both None where only lines are."""

    number: int
    width: int
    height: int
    file: str | None = None
    sha256: str | None = None
    lines: tuple[TrainingLine, ...] = ()


class TrainingRecord(_ManifestEntry):
    """A record that was exported.

    `coordinate` is the record's own and `job` where its job first stood. `content_sha256` is the digest of the picture
    as the job brought it, `key_sha256` that of the record's key. `code` is a dead letter's error code.
    """

    kind: TrainingKind
    coordinate: str
    job: str
    content_sha256: str
    key_sha256: str | None
    split: Split
    timestamp_ms: int
    consent: str
    models: Mapping[str, str] = {}
    code: str = ""
    pages: tuple[TrainingPage, ...]


class SavedOptions(_ManifestEntry):
    """The options that decide what is in an export and where; a resumed export must have the same."""

    seed: int
    split: tuple[int, int, int]
    split_by: SplitBy
    min_confidence: float


class TrainingManifest:
    """The records of an export, those that were there before among them; a context manager.

    The folder is made when the first record is added.
    """

    def __init__(self, folder: Path, options: SavedOptions, records: Sequence[TrainingRecord]) -> None:
        self.folder = folder
        self.options = options
        self.records = list(records)
        self._contents = {(each.kind, each.content_sha256) for each in records}
        self._places = {(each.kind, each.coordinate, each.timestamp_ms) for each in records}
        self._splits = {each.content_sha256: each.split for each in records}
        self._counts = Counter(each.kind for each in records)
        self._file: IO[bytes] | None = None

    @classmethod
    def opened(cls, folder: Path, options: SavedOptions, *, resume: bool) -> Self:
        """Return the manifest of a new or empty folder, or with `resume` that of an export that it holds.

        Raises LabelwireError for any other folder, and for an export that was made with other options.
        """
        try:
            names = {each.name for each in folder.iterdir()} if folder.exists() else set[str]()
            if not names:
                return cls(folder, options, ())
            if not resume:
                raise LabelwireError(
                    f"The folder {folder} is not empty; choose another, or continue its export with --resume."
                )
            if OPTIONS not in names:
                raise LabelwireError(f"The folder {folder} holds no export to resume: it has no {OPTIONS}.")
            _check_same(folder / OPTIONS, options)
            return cls(folder, options, _present(folder / MANIFEST) if MANIFEST in names else ())
        except OSError as error:
            raise LabelwireError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error

    def holds(self, kind: TrainingKind, content_sha256: str) -> bool:
        """Say whether the picture of this digest is exported as this kind."""
        return (kind, content_sha256) in self._contents

    def holds_record(self, kind: TrainingKind, record: Record) -> bool:
        """Say whether this very record is exported as this kind; its picture need not be known."""
        return (kind, str(record.coordinate), record.timestamp_ms) in self._places

    def count(self, kind: TrainingKind) -> int:
        """Return how many records of a kind are exported."""
        return self._counts[kind]

    def split_of(self, content_sha256: str) -> Split | None:
        """Return the split that a picture has already, whatever it was exported as."""
        return self._splits.get(content_sha256)

    def begin(self) -> Path:
        """Make the folder, private, if that was not done yet, and return it. Raises LabelwireError."""
        if self._file is None:
            try:
                self.folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
                put(self.folder / OPTIONS, self.options.model_dump_json(indent=2).encode() + b"\n")
                self._file = (self.folder / MANIFEST).open("ab")
            except OSError as error:
                raise unwritable(self.folder, error) from error
        return self.folder

    def add(self, record: TrainingRecord) -> None:
        """Note a record whose files are complete. Raises LabelwireError."""
        self.begin()
        if self._file is None:
            raise AssertionError
        try:
            self._file.write(record.model_dump_json().encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise unwritable(self.folder / MANIFEST, error) from error
        self.records.append(record)
        self._contents.add((record.kind, record.content_sha256))
        self._places.add((record.kind, record.coordinate, record.timestamp_ms))
        self._splits[record.content_sha256] = record.split
        self._counts[record.kind] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _check_same(path: Path, options: SavedOptions) -> None:
    try:
        before = SavedOptions.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise LabelwireError(f"{path} is not the options of an export; choose another folder.") from error
    for name in SavedOptions.model_fields:
        was, given = getattr(before, name), getattr(options, name)
        if was != given:
            raise LabelwireError(
                f"The export in {path.parent} was begun with {_said(name, was)}, not {_said(name, given)}: give the "
                "same with --resume, or choose another folder."
            )


def _said(name: str, value: object) -> str:
    text = "/".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"--{name.replace('_', '-')} {text}"


def _present(manifest: Path) -> list[TrainingRecord]:
    """Read the manifest, and cut a last line off that was not written to its end."""
    found: list[TrainingRecord] = []
    whole_bytes = 0
    with manifest.open("r+b") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                found.append(TrainingRecord.model_validate_json(line))
            except ValidationError as error:
                raise LabelwireError(f"{manifest}, line {number}, is not a record of an export.") from error
            whole_bytes += len(line)
        file.truncate(whole_bytes)
    return found
