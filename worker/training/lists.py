"""All files that are made of the manifest: the lists of both programs, truth, configurations, README and review page.

Invariant: they follow from the manifest alone, so they are written anew whenever it has grown.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from worker.dlq.inspect.files import put, unwritable
from worker.training import doctr, paddle
from worker.training.configuration import detector_configuration, recognizer_configuration
from worker.training.figures import TrainingFigures
from worker.training.manifest import PRIVATE, TrainingKind, TrainingManifest, TrainingPage, TrainingRecord
from worker.training.places import DETECTION, IMAGES, RECOGNITION, REVIEW_LINES, REVIEW_PICTURES, TO_REVIEW
from worker.training.readme import readme
from worker.training.review_page import review_page
from worker.training.split import Split

TRUTH: Final = "truth.jsonl"  # as `labelwire eval` reads it
README: Final = "README.md"
REVIEW_PAGE: Final = f"{TO_REVIEW}/review.html"

_Value = TypeVar("_Value")


def write_lists(manifest: TrainingManifest) -> TrainingFigures:
    """Write the lists of an export and return what is in it. Raises LabelwireError if one cannot be written."""
    folder, records = manifest.folder, manifest.records
    figures = TrainingFigures.of(records)
    for split in Split:
        labels = [each for each in records if each.split is split and each.kind is TrainingKind.RESULTS]
        _write_detection(folder, split, _pages(labels))
        _write_recognition(folder, split, _crops(labels))
        review = [each for each in records if each.split is split and each.kind is not TrainingKind.RESULTS]
        _write_review(folder, split, review)
    _put(folder / "paddle_det.yml", detector_configuration(folder.resolve(), figures))
    _put(folder / "paddle_rec.yml", recognizer_configuration(folder.resolve(), figures))
    _put(folder / README, readme(folder.resolve(), figures, manifest.options))
    if figures.review_lines or figures.review_pictures:
        _put(folder / REVIEW_PAGE, review_page(folder, records))
    return figures


def _write_detection(folder: Path, split: Split, pages: Sequence[tuple[str, TrainingPage]]) -> None:
    place = folder / DETECTION
    _put(place / f"det_gt_{split}.txt", paddle.detection_list(_under(f"{split}/{IMAGES}", pages)))
    _put(place / split / "labels.json", doctr.detection_labels(pages))
    _put(place / split / TRUTH, "".join(_truth(name, page) for name, page in pages))


def _write_recognition(folder: Path, split: Split, crops: Sequence[tuple[str, str]]) -> None:
    place = folder / RECOGNITION
    _put(place / f"rec_gt_{split}.txt", paddle.recognition_list(_under(f"{split}/{IMAGES}", crops)))
    _put(place / split / "labels.json", doctr.recognition_labels(crops))


def _write_review(folder: Path, split: Split, records: Sequence[TrainingRecord]) -> None:
    """Write what is to be corrected, in the same forms; the names of the files say that nobody has done so."""
    if pages := _pages(records):
        place = folder / REVIEW_PICTURES / split
        _put(place / "det_gt_uncorrected.txt", paddle.detection_list(_under(IMAGES, pages), corrected=False))
        _put(place / "labels_uncorrected.json", doctr.detection_labels(pages))
    if crops := _crops([each for each in records if each.kind is TrainingKind.LINES]):
        place = folder / REVIEW_LINES / split
        _put(place / "rec_gt_uncorrected.txt", paddle.recognition_list(_under(IMAGES, crops)))
        _put(place / "labels_uncorrected.json", doctr.recognition_labels(crops))


def _pages(records: Iterable[TrainingRecord]) -> list[tuple[str, TrainingPage]]:
    pages = [page for record in records for page in record.pages]
    return [(PurePosixPath(page.file).name, page) for page in pages if page.file is not None]


def _crops(records: Iterable[TrainingRecord]) -> list[tuple[str, str]]:
    lines = [line for record in records for page in record.pages for line in page.lines]
    return [(PurePosixPath(line.crop).name, line.text) for line in lines if line.crop is not None]


def _under(place: str, named: Iterable[tuple[str, _Value]]) -> list[tuple[str, _Value]]:
    return [(f"{place}/{name}", value) for name, value in named]


def _truth(name: str, page: TrainingPage) -> str:
    """Return a picture's line of the house's own truth: all lines as they were read, in reading order."""
    document = {
        "image": f"{IMAGES}/{name}",
        "sha256": page.sha256,
        "width": page.width,
        "height": page.height,
        "lines": [{"polygon": [list(point) for point in line.polygon], "text": line.text} for line in page.lines],
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def _put(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    put(path, content.encode())
