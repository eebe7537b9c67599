"""The report of an evaluation: `evaluate.json`, and a page that shows where model sets read differently."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from worker.domain.manifest import ModelManifest
from worker.lab.acceptance.reading import SetReading
from worker.lab.acceptance.stage_times import StageTime, in_order, stage_times
from worker.lab.acceptance.verdict import TITLES, ModelEvaluation
from worker.lab.evaluation.comparison import RESAMPLES
from worker.lab.evaluation.machine import describe_machine
from worker.lab.evaluation.scores import Counts, Score, Scores
from worker.lab.evaluation.worst import ShownPage, shown_page
from worker.reporting.paired_plots import Gain, forest, medians
from worker.reporting.render import render, write

REPORT_NAME: Final = "evaluate"
_SHOWN_PICTURES: Final = 8
_MODEL_FACTS: Final = ("source", "precision", "device", "alphabet", "version")


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A score of A and B, their difference, and the loss that is allowed; None is not measured or not limited."""

    score: Score
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    share_better: float | None
    limit: float | None

    @property
    def title(self) -> str:
        """The score's name."""
        return TITLES[self.score]

    @property
    def gain(self) -> float:
        """How much better A is, 0 where nothing is known."""
        change = self.difference or 0.0
        return -change if self.score.less_is_better else change

    @property
    def gain_interval(self) -> tuple[float, float] | None:
        """The interval of the gain, None where nothing is known."""
        if self.low is None or self.high is None:
            return None
        return (-self.high, -self.low) if self.score.less_is_better else (self.low, self.high)

    @property
    def is_lost(self) -> bool:
        """Whether A loses more than it may."""
        return self.limit is not None and self.gain < -self.limit

    @property
    def tone(self) -> str:
        """The stylesheet's class for the difference."""
        return "better" if self.gain > 0 else ("worse" if self.gain < 0 else "")


@dataclass(frozen=True, slots=True)
class StageRow:
    """The time of a stage with A and with B; None where no picture went through it, or without B."""

    stage: str
    a: StageTime | None
    b: StageTime | None

    @property
    def ratio(self) -> float | None:
        """How many times as long the median takes with A."""
        return self.a.median_ms / self.b.median_ms if self.a and self.b and self.b.median_ms else None


@dataclass(frozen=True, slots=True)
class _DifferingPicture:
    """A picture that A and B read with a different number of wrong words, shown as each of them read it."""

    name: str
    facts: str
    readings: Mapping[str, ShownPage]


def score_rows(evaluation: ModelEvaluation) -> list[ScoreRow]:
    """Return all scores that the set has."""
    a, b = evaluation.a.read.scores, evaluation.b.read.scores if evaluation.b else Scores.unmeasured()
    return [_score_row(evaluation, score, a, b) for score in Score if a[score] is not None or b[score] is not None]


def stage_rows(evaluation: ModelEvaluation) -> list[StageRow]:
    """Return the times of the stages in the order of the pipeline, and `total` at the end."""
    a, b = _stage_times(evaluation)
    return [StageRow(stage, a.get(stage), b.get(stage)) for stage in in_order({*a, *b})]


def word_errors(counts: Counts) -> int:
    """Return how many words were missed, and how many were read that do not stand there."""
    return counts.words_true + counts.words_read - 2 * counts.words_right


def figures(evaluation: ModelEvaluation) -> dict[str, Any]:
    """Return the content of `evaluate.json`; what was not measured is None."""
    dataset, times = evaluation.dataset, _stage_times(evaluation)
    sides = dict.fromkeys(("a", "b")) | {
        one.candidate.letter.lower(): _side(one, times[number]) for number, one in enumerate(evaluation.readings)
    }
    return {
        "verdict": asdict(evaluation.verdict),
        "limits": asdict(evaluation.limits),
        **sides,
        "differences": {
            score.value: {**asdict(difference), "may_be_zero": difference.may_be_zero}
            for score, difference in evaluation.differences.items()
        },
        "slowdown": asdict(evaluation.slowdown) if evaluation.slowdown else None,
        "dataset": {
            "name": dataset.name,
            "images": [{"name": one.name, "sha256": one.sha256} for one in dataset.samples],
        },
        "pictures": [
            {
                "name": sample.name,
                **{one.candidate.letter.lower(): _picture(one, number) for one in evaluation.readings},
            }
            for number, sample in enumerate(dataset.samples)
        ],
        "resamples": RESAMPLES,
        "machine": describe_machine(),
    }


def write_report(evaluation: ModelEvaluation, document: Mapping[str, Any], folder: Path) -> Path:
    """Write `evaluate.json`, which holds `document`, and `evaluate.html`, and return the latter."""
    write(folder / f"{REPORT_NAME}.json", json.dumps(document, indent=2) + "\n")
    return write(folder / f"{REPORT_NAME}.html", page(evaluation))


def page(evaluation: ModelEvaluation) -> str:
    """Return the page."""
    rows, stages = score_rows(evaluation), stage_rows(evaluation)
    return render(
        REPORT_NAME,
        kind="evaluation of models",
        title=_headline(evaluation),
        lead=_lead(evaluation),
        verdict=evaluation.verdict,
        readings=evaluation.readings,
        compared=evaluation.b is not None,
        rows=rows,
        stages=stages,
        slowdown=evaluation.slowdown,
        max_slowdown=evaluation.limits.max_slowdown,
        plots=_plots(evaluation, rows, stages),
        differing=list(_differing(evaluation)),
        pictures=[
            {"name": sample.name, "sides": [_picture(one, number) for one in evaluation.readings]}
            for number, sample in enumerate(evaluation.dataset.samples)
        ],
        models={one.candidate.letter: _models(one.manifests) for one in evaluation.readings},
        resamples=RESAMPLES,
        machine=json.dumps(describe_machine(), indent=2),
    )


def _stage_times(evaluation: ModelEvaluation) -> tuple[dict[str, StageTime], dict[str, StageTime]]:
    a = evaluation.a.stages_ms
    if evaluation.b is None:
        return stage_times(a, a), {}
    b = evaluation.b.stages_ms
    return stage_times(a, b), stage_times(b, a)


def _score_row(evaluation: ModelEvaluation, score: Score, a: Scores, b: Scores) -> ScoreRow:
    found, limit = evaluation.differences.get(score), evaluation.limits.by_score.get(score)
    if found is None:
        return ScoreRow(score, a[score], b[score], None, None, None, None, limit)
    return ScoreRow(score, a[score], b[score], found.value, found.low, found.high, found.share_better, limit)


def _side(one: SetReading, times: Mapping[str, StageTime]) -> dict[str, Any]:
    return {
        "repository": one.candidate.title,
        "version": one.candidate.version,
        "read_by": one.candidate.read_by,
        "models": _models(one.manifests),
        "scores": asdict(one.read.scores),
        "refused": {refusal.job_id: refusal.code for refusal in one.refused},
        "stage_ms": {stage: {"median": time.median_ms, "p95": time.p95_ms} for stage, time in times.items()},
    }


def _models(manifests: Mapping[Any, ModelManifest]) -> dict[str, Any]:
    return {
        str(role): {name: fact for name in _MODEL_FACTS if (fact := getattr(manifest, name)) is not None}
        for role, manifest in manifests.items()
    }


def _picture(one: SetReading, number: int) -> dict[str, Any]:
    counts, refusal = one.counts[number], one.refusals[number]
    scores = Scores.of(counts)
    return {
        "refused": refusal.code if refusal else None,
        "word_errors": word_errors(counts),
        **{score.value: scores[score] for score in Score},
        "stage_ms": dict(one.stages_ms[number]),
    }


def _headline(evaluation: ModelEvaluation) -> str:
    if evaluation.b is None:
        return "Scored alone: nothing to compare with"
    return "A may take the place of B" if evaluation.verdict.passed else "A reads worse than it may"


def _lead(evaluation: ModelEvaluation) -> str:
    sides = [f"{one.candidate.letter} is {one.candidate.title}" for one in evaluation.readings]
    order = ", picture by picture in turn" if evaluation.b else ""
    return (
        f"{len(evaluation.dataset.samples)} pictures of {evaluation.dataset.name}, read by the whole pipeline{order}. "
        f"{'; '.join(sides)}."
    )


def _plots(evaluation: ModelEvaluation, rows: list[ScoreRow], stages: list[StageRow]) -> dict[str, Markup]:
    gains = [
        Gain(row.title, row.gain, *interval, row.limit) for row in rows if (interval := row.gain_interval) is not None
    ]
    series: dict[str, dict[str, tuple[float, float]]] = {one.candidate.letter: {} for one in evaluation.readings}
    for row in stages:
        for letter, time in zip(series, (row.a, row.b), strict=False):
            if time is not None:
                series[letter][row.stage] = time.median_ms, time.p95_ms
    return {
        "scores": forest(gains, "how much better A is, with the middle 95 % of resamples"),
        "stages": medians(series, "milliseconds a picture: median, and on to the 95th percentile"),
    }


def _differing(evaluation: ModelEvaluation) -> Iterator[_DifferingPicture]:
    """Yield the pictures on which A and B differ most in wrong words, the greatest difference first."""
    a, b = evaluation.a, evaluation.b
    if b is None:
        return
    dataset, covered = evaluation.dataset, evaluation.dataset.covered_types
    more = [word_errors(own) - word_errors(other) for own, other in zip(a.counts, b.counts, strict=True)]
    ranked = sorted(range(len(more)), key=lambda number: (-abs(more[number]), number))
    for number in ranked[:_SHOWN_PICTURES]:
        if not more[number]:
            return
        errors = [f"{one.candidate.letter} {word_errors(one.counts[number])}" for one in (a, b)]
        yield _DifferingPicture(
            name=dataset.samples[number].name,
            facts=f"wrong words: {', '.join(errors)}",
            readings={one.candidate.letter: shown_page(dataset, one.read, number, covered) for one in (a, b)},
        )
