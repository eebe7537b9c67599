"""The page to look at before anything is corrected: doubtful lines with what was read, and pictures of dead letters.

Needs the extra `evaluation`. Invariant: the page is whole up to its limits, and says how many it leaves out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.domain.errors import LabelwireError
from worker.reporting.formats import quantity
from worker.reporting.picture import Figure, figure
from worker.reporting.render import render
from worker.training.manifest import TrainingKind, TrainingRecord

MAX_LINES: Final = 1000
MAX_PICTURES: Final = 100
_PICTURE_PIXELS: Final = 480


@dataclass(frozen=True, slots=True)
class _ReviewLine:
    text: str
    confidence: float
    reason: str
    split: str
    file: str
    crop: Figure


@dataclass(frozen=True, slots=True)
class _ReviewPicture:
    code: str
    split: str
    coordinate: str
    file: str
    picture: Figure


@dataclass(frozen=True, slots=True)
class _ReviewBar:
    name: str
    share: float
    amount: str


def review_page(folder: Path, records: Sequence[TrainingRecord]) -> str:
    """Return the page of an export; the least confident lines come first. Raises LabelwireError for a lost file."""
    doubtful = [
        (line, record, line.crop)
        for record in records
        if record.kind is TrainingKind.LINES
        for page in record.pages
        for line in page.lines
        if line.crop is not None
    ]
    doubtful.sort(key=lambda each: each[0].confidence)
    letters = [
        (page, record, page.file)
        for record in records
        if record.kind is TrainingKind.DEAD_LETTERS
        for page in record.pages
        if page.file is not None
    ]
    lines = [
        _ReviewLine(line.text, line.confidence, line.trust.value, record.split.value, crop, _figure(folder / crop))
        for line, record, crop in doubtful[:MAX_LINES]
    ]
    pictures = [
        _ReviewPicture(record.code, record.split.value, record.coordinate, file, _figure(folder / file))
        for _, record, file in letters[:MAX_PICTURES]
    ]
    return render(
        "training_review",
        kind="training data",
        title=f"{quantity(len(doubtful), 'line')} and {quantity(len(letters), 'picture')} to review",
        lead="Nothing here is trained on until somebody has corrected it. The lines were read with too little "
        "confidence, or a check or a barcode contradicts them; the pictures are of dead letters.",
        line_count=len(doubtful),
        picture_count=len(letters),
        lines=lines,
        lines_left_out=len(doubtful) - len(lines),
        pictures=pictures,
        pictures_left_out=len(letters) - len(pictures),
        confidences=_bars(Counter(f"{int(10 * min(line.confidence, 0.99)) / 10:.1f}" for line, _, _ in doubtful)),
        codes=_bars(Counter(record.code for _, record, _ in letters)),
    )


def _bars(counts: Counter[str]) -> list[_ReviewBar]:
    most = max(counts.values(), default=1)
    return [_ReviewBar(name, count / most, str(count)) for name, count in sorted(counts.items())]


def _figure(path: Path) -> Figure:
    try:
        return figure(path.read_bytes(), long_side_pixels=_PICTURE_PIXELS)
    except OSError as error:
        raise LabelwireError(f"{path} cannot be read: {error.strerror or error}.") from error
