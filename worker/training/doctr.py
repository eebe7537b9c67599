"""The labels that docTR's reference scripts train on: a folder with `images/` and `labels.json`.

docTR knows no ignored regions, so each line that was found counts as text, whatever its reading is worth. Its
vocabularies have no space, so a line of several words is no label for its recognizers.
"""

import json
from collections.abc import Iterable, Mapping

from worker.training.manifest import TrainingPage


def detection_labels(pages: Iterable[tuple[str, TrainingPage]]) -> str:
    """Return `labels.json` of pictures, each with its name in `images/`; polygons are in pixels."""
    return _json(
        {
            name: {
                "img_dimensions": [page.height, page.width],
                "img_hash": page.sha256,
                "polygons": [[list(point) for point in line.polygon] for line in page.lines],
            }
            for name, page in pages
        }
    )


def recognition_labels(crops: Iterable[tuple[str, str]]) -> str:
    """Return `labels.json` of crops, pairs of name and text, without those of several words."""
    return _json({name: text for name, text in crops if len(text.split()) == 1})


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
