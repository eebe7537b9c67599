"""Read an export by docTR's own readers. Runs in an interpreter that has docTR: `doctr_reading.py FOLDER`."""

import json
import sys
from pathlib import Path

from doctr.datasets import DetectionDataset, RecognitionDataset


def read(detection: Path, recognition: Path) -> dict[str, object]:
    """Return how many pictures and polygons a split has, where these lie (of the page), and its texts."""
    pages = DetectionDataset(str(detection / "images"), str(detection / "labels.json"), use_polygons=True)
    lines = RecognitionDataset(str(recognition / "images"), str(recognition / "labels.json"))
    polygons = [polygon for number in range(len(pages)) for polygon in pages[number].target["words"]]
    coordinates = [float(value) for polygon in polygons for point in polygon for value in point]
    return {
        "pictures": len(pages),
        "polygons": len(polygons),
        "low": min(coordinates),
        "high": max(coordinates),
        "texts": [lines[number].target for number in range(len(lines))],
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    splits = [path.name for path in (folder / "detection").iterdir() if (path / "images").is_dir()]
    found = {split: read(folder / "detection" / split, folder / "recognition" / split) for split in splits}
    sys.stdout.write(json.dumps(found) + "\n")
