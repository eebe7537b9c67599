"""Where the files of an export lie.

Invariant: a name is made of digests and numbers alone, so it is safe whatever a header says.

    README.md  manifest.jsonl  export.json  paddle_det.yml  paddle_rec.yml
    detection/   det_gt_<split>.txt   <split>/{images/, labels.json, truth.jsonl}
    recognition/ rec_gt_<split>.txt   <split>/{images/, labels.json}
    to_review/   review.html          lines/<split>/, pictures/<split>/ with the same lists, not yet corrected
"""

from typing import Final

from worker.training.manifest import TrainingKind

DETECTION: Final = "detection"
RECOGNITION: Final = "recognition"
TO_REVIEW: Final = "to_review"
REVIEW_LINES: Final = f"{TO_REVIEW}/lines"
REVIEW_PICTURES: Final = f"{TO_REVIEW}/pictures"
IMAGES: Final = "images"
_NAME_DIGITS: Final = 32


def picture_file(kind: TrainingKind, split: str, content_sha256: str, page: int, suffix: str) -> str:
    """Return the place of a page's picture, from the folder of the export."""
    place = REVIEW_PICTURES if kind is TrainingKind.DEAD_LETTERS else DETECTION
    return f"{place}/{split}/{IMAGES}/{content_sha256[:_NAME_DIGITS]}-{page}{suffix}"


def crop_file(kind: TrainingKind, split: str, content_sha256: str, page: int, line: int) -> str:
    """Return the place of a line's crop, from the folder of the export."""
    place = REVIEW_LINES if kind is TrainingKind.LINES else RECOGNITION
    return f"{place}/{split}/{IMAGES}/{content_sha256[:_NAME_DIGITS]}-{page}-{line}.png"
