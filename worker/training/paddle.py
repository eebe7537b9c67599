"""The lists that PaddleOCR trains on: `SimpleDataSet` reads them line by line.

Detection: `path<TAB>[{"transcription": text, "points": [[x, y], …]}, …]`, recognition: `path<TAB>text`
(https://www.paddleocr.ai, "Text Detection and Recognition Datasets"). A region of the text `###` is ignored: nothing is
learned there, neither that it is text nor that it is none.
"""

import json
from collections.abc import Iterable
from typing import Final

from worker.training.manifest import TrainingLine, TrainingPage

IGNORED: Final = "###"


def detection_list(pages: Iterable[tuple[str, TrainingPage]], *, corrected: bool = True) -> str:
    """Return the list of pictures, each with its path; lines that are no labels are ignored regions.

    With `corrected` False, all lines stand as they were read, for a person to correct.
    """
    rows = ((path, [_region(line, corrected=corrected) for line in page.lines]) for path, page in pages)
    return "".join(f"{path}\t{json.dumps(regions, ensure_ascii=False)}\n" for path, regions in rows)


def recognition_list(crops: Iterable[tuple[str, str]]) -> str:
    """Return the list of crops: pairs of path and text."""
    return "".join(f"{path}\t{text}\n" for path, text in crops)


def _region(line: TrainingLine, *, corrected: bool) -> dict[str, object]:
    is_known = line.trust.is_label or not corrected
    return {"transcription": line.text if is_known else IGNORED, "points": [list(point) for point in line.polygon]}
