"""The report on large pictures: `large.json`, and a page."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.domain.errors import Stage
from worker.lab.bench.facts import facts
from worker.lab.bench.large import LargePicture, LargeTurn
from worker.lab.evaluation.scores import Scores, total
from worker.reporting import formats, plots
from worker.reporting.render import render, write

DEFINITIONS: Final = {
    "seconds": "From when the broker has a job to the timestamp of its answer's record, one job at a time.",
    "time_ratio": "Median over the rounds of a large picture's seconds, over the median of its pieces' together.",
    "bound_ratio": "The same over what a large picture may take that is mostly empty: its decoding, the first look at"
    " it, and 1.5 times its pieces.",
    "word_recall": "The share of the words that were read, over all rounds.",
    "peak_rss_mb": "Resident memory of the worker's processes while it read the large picture, at its highest.",
}
_EMPTY_ALLOWANCE: Final = 1.5
_FIRST_LOOK: Final = (Stage.DECODE, Stage.SURVEY)


@dataclass(frozen=True, slots=True)
class LargeRun:
    """All that was measured."""

    pictures: Sequence[LargePicture]
    turns: Sequence[LargeTurn]
    configuration: Mapping[str, Any]


def figures(run: LargeRun) -> dict[str, Any]:
    """Return the content of `large.json`."""
    return {
        "pictures": {picture.name: _figures(picture, run.turns) for picture in run.pictures},
        "worker_peak_rss_mb": round(max(turn.peak_rss_bytes for turn in run.turns) / 1e6, 1),
        "configuration": dict(run.configuration),
    }


def write_report(run: LargeRun, folder: Path) -> Path:
    """Write `large.json` and `large.html`, and return the page."""
    measured = figures(run)
    write(folder / "large.json", json.dumps(measured, indent=2) + "\n")
    full = run.pictures[0]
    series: dict[str, list[float]] = {}
    for picture in run.pictures:
        rounds = measured["pictures"][picture.name]["rounds"]
        series[picture.title] = [turn["seconds"] for turn in rounds]
        series[f"its {len(picture.pieces)} pieces"] = [turn["pieces_seconds"] for turn in rounds]
    page = render(
        "large",
        kind="large pictures",
        title=f"{formats.times(measured['pictures'][full.name]['time_ratio'])} the time of its pieces",
        lead=(
            f"{full.title} of {full.picture.width} by {full.picture.height} pixels beside the {len(full.pieces)}"
            " pictures that it is made of, read one by one by the same worker."
        ),
        measured=measured,
        pictures=run.pictures,
        seconds=plots.rounds(series, "seconds"),
        facts=facts(run.configuration),
        definitions=DEFINITIONS,
    )
    return write(folder / "large.html", page)


def _figures(picture: LargePicture, turns: Sequence[LargeTurn]) -> dict[str, Any]:
    own = [turn for turn in turns if turn.name == picture.name]
    seconds = statistics.median(turn.seconds for turn in own)
    pieces = statistics.median(turn.pieces_seconds for turn in own)
    return {
        "width": picture.picture.width,
        "height": picture.picture.height,
        "pieces": len(picture.pieces),
        "seconds": round(seconds, 3),
        "pieces_seconds": round(pieces, 3),
        "time_ratio": round(seconds / pieces, 3),
        "bound_ratio": round(seconds / statistics.median(map(_bound_seconds, own)), 3),
        "word_recall": Scores.of(total(turn.counts for turn in own)).word_recall,
        "pieces_word_recall": Scores.of(total(turn.pieces_counts for turn in own)).word_recall,
        "peak_rss_mb": round(max(turn.peak_rss_bytes for turn in own) / 1e6, 1),
        "rounds": [
            {
                "seconds": turn.seconds,
                "pieces_seconds": round(turn.pieces_seconds, 3),
                "bound_seconds": round(_bound_seconds(turn), 3),
                "peak_rss_mb": round(turn.peak_rss_bytes / 1e6, 1),
                "stage_seconds": dict(turn.stage_seconds),
            }
            for turn in own
        ],
    }


def _bound_seconds(turn: LargeTurn) -> float:
    looked = sum(turn.stage_seconds.get(stage, 0.0) for stage in _FIRST_LOOK)
    return looked + _EMPTY_ALLOWANCE * turn.pieces_seconds
