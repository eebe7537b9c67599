"""Pictures to measure on, with or without truth.

A folder with a `truth.jsonl` is a fixed list: one JSON object a picture with `image`, `sha256`, `width`, `height` and
`lines` of `polygon` and `text`. Where somebody wrote them down there are also `fields` of `type` and `value`,
`barcodes` of `value`, and words for what the picture is: `layout` and `degradation`. A folder without the file is all
its pictures, in order of name.
Invariant: a picture's bytes have the digest that its sample says, checked when the folder is read.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.lab.evaluation.errors import DatasetError
from worker.lab.evaluation.fields import UNTOLD, Findings, Value, covered_types
from worker.lab.evaluation.transcript import Transcript, line

TRUTH_FILE = "truth.jsonl"
PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif", ".pdf"}
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture. `name` tells it apart within its set; `truth` is None where nobody wrote it down.

    `stands` are the fields and barcodes that stand on it. `layout` and `degradation` are words for tables, empty where
    nobody says; `width` and `height` are pixels as its truth has them, 0 without. `pieces` are the names of the
    pictures that a mosaic is made of.
    """

    name: str
    path: Path
    sha256: str
    truth: Transcript | None = None
    stands: Findings = UNTOLD
    layout: str = ""
    degradation: str = ""
    width: int = 0
    height: int = 0
    pieces: tuple[str, ...] = ()

    def read_bytes(self) -> bytes:
        """Return the picture as encoded."""
        return self.path.read_bytes()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A fixed list of pictures."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def has_truth(self) -> bool:
        """Whether each picture has its truth."""
        return all(sample.truth is not None for sample in self.samples)

    @property
    def covered_types(self) -> frozenset[str]:
        """The types of field that the truth knows of."""
        return covered_types(sample.stands for sample in self.samples)

    def with_picture(self, sample: Sample) -> "Dataset":
        """Return the set with one more picture at its end."""
        return Dataset(self.name, (*self.samples, sample))

    def first(self, count: int | None) -> "Dataset":
        """Return the set of the first `count` pictures; None keeps all."""
        return self if count is None else Dataset(self.name, self.samples[:count])


class _TruthLine(BaseModel):
    model_config = ConfigDict(frozen=True)
    polygon: list[tuple[float, float]] = Field(min_length=3)
    text: str


class _TruthField(BaseModel):
    model_config = ConfigDict(frozen=True)
    type: str = Field(min_length=1)
    value: str


class _TruthBarcode(BaseModel):
    model_config = ConfigDict(frozen=True)
    value: str


class _TruthPiece(BaseModel):
    model_config = ConfigDict(frozen=True)
    image: str


class _TruthRecord(BaseModel):
    model_config = ConfigDict(frozen=True)
    image: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    lines: list[_TruthLine]
    fields: list[_TruthField] | None = None
    barcodes: list[_TruthBarcode] | None = None
    layout: str = ""
    degradation: str = ""
    width: int = Field(default=0, ge=0)
    height: int = Field(default=0, ge=0)
    pieces: list[_TruthPiece] = []

    def transcript(self) -> Transcript:
        return Transcript(tuple(line(one.text, one.polygon) for one in self.lines))

    def findings(self) -> Findings:
        fields = None if self.fields is None else tuple(Value(one.type, one.value) for one in self.fields)
        barcodes = None if self.barcodes is None else tuple(one.value for one in self.barcodes)
        return Findings(fields, barcodes)


def load(directory: Path) -> Dataset:
    """Read a folder of pictures.

    Raises DatasetError for a folder that is absent or empty, for broken truth, and for a picture that is not the
    one whose digest the truth names.
    """
    if not directory.is_dir():
        raise DatasetError(f"{directory} is not a folder; give one that holds pictures.")
    truth = directory / TRUTH_FILE
    samples = _labeled(directory, truth) if truth.is_file() else _bare(directory)
    if not samples:
        raise DatasetError(f"{directory} holds no pictures ({', '.join(sorted(PICTURE_SUFFIXES))}).")
    return Dataset(directory.resolve().name, samples)


def _labeled(directory: Path, truth: Path) -> tuple[Sample, ...]:
    rows = [row for row in truth.read_text(encoding="utf-8").splitlines() if row.strip()]
    samples = tuple(_sample(directory, truth, number, row) for number, row in enumerate(rows, start=1))
    names = [sample.name for sample in samples]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DatasetError(f"{truth} lists {repeated[0]} more than once; each picture counts once.")
    return samples


def _sample(directory: Path, truth: Path, number: int, row: str) -> Sample:
    try:
        record = _TruthRecord.model_validate_json(row)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        location = ".".join(str(part) for part in problem["loc"]) or "the line"
        raise DatasetError(f"{truth}, line {number}: {location}: {problem['msg']}.") from error
    path = directory / record.image
    if not path.is_file():
        raise DatasetError(f"{truth}, line {number}: the picture {record.image} is not in {directory}.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != record.sha256:
        raise DatasetError(
            f"{path} is not the picture that the truth was written for: its SHA-256 is {digest}, not {record.sha256}."
        )
    return Sample(
        name=record.image,
        path=path,
        sha256=digest,
        truth=record.transcript(),
        stands=record.findings(),
        layout=record.layout,
        degradation=record.degradation,
        width=record.width,
        height=record.height,
        pieces=tuple(piece.image for piece in record.pieces),
    )


def _bare(directory: Path) -> tuple[Sample, ...]:
    paths = sorted(path for path in directory.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    return tuple(
        Sample(path.relative_to(directory).as_posix(), path, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in paths
    )
