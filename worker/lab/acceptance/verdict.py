"""May a model set be deployed in place of another one? Only if it loses no more than the limits, on the same pictures.

Invariant: a loss counts as it was measured; whether other pictures might not show it is said, and excuses nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from worker.lab.acceptance.reading import SetReading
from worker.lab.acceptance.stage_times import Slowdown, slowdown
from worker.lab.evaluation.comparison import Difference, differences
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.scores import Score, Scores, total
from worker.lab.precision import gate
from worker.lab.precision.errors import GateError

TITLES: Final[Mapping[Score, str]] = {
    Score.WORD_F1: "word F1",
    Score.LINE_HMEAN: "line hmean",
    Score.DETECTION_HMEAN: "detection hmean",
    Score.CER: "CER",
    Score.FIELD_EXACT: "fields exact",
}


@dataclass(frozen=True, slots=True)
class AcceptanceLimits:
    """How much a model set may be worse than the one in use: scores as parts of 1, the slowdown as a ratio of times.

    Without `max_slowdown` times are reported and not judged. Exact fields are not judged: not every set has them.
    """

    max_word_f1_loss: float = 0.005
    max_line_hmean_loss: float = 0.01
    max_detection_hmean_loss: float = 0.01
    max_cer_rise: float = 0.005
    max_slowdown: float | None = None

    @property
    def by_score(self) -> Mapping[Score, float]:
        """The limits of the scores that have one."""
        return {
            Score.WORD_F1: self.max_word_f1_loss,
            Score.LINE_HMEAN: self.max_line_hmean_loss,
            Score.DETECTION_HMEAN: self.max_detection_hmean_loss,
            Score.CER: self.max_cer_rise,
        }


@dataclass(frozen=True, slots=True)
class AcceptanceVerdict:
    """Whether a model set passed, with a sentence for each limit that it exceeds; one that was read alone passes.

    `scores` are those of the model set that were measured, by name; `dataset` is its name, `pictures` how many it has.
    """

    passed: bool
    reasons: tuple[str, ...]
    scores: Mapping[str, float]
    dataset: str
    pictures: int


@dataclass(frozen=True, slots=True)
class ModelEvaluation:
    """A model set, and the one that it was compared with if there was one, on the same pictures.

    `differences` are A's scores minus B's, empty without B; `slowdown` is the time of A over that of B, None without B
    or where no picture was read by both.
    """

    dataset: Dataset
    limits: AcceptanceLimits
    a: SetReading
    b: SetReading | None
    differences: Mapping[Score, Difference]
    slowdown: Slowdown | None
    verdict: AcceptanceVerdict

    @property
    def readings(self) -> tuple[SetReading, ...]:
        """A, and B if it was read."""
        return (self.a,) if self.b is None else (self.a, self.b)


def check_set(dataset: Dataset, limits: AcceptanceLimits) -> None:
    """Raise GateError for limits that show no loss, and for a set without truth or too small to see such a loss."""
    if limits.max_slowdown is not None and not limits.max_slowdown > 0:
        raise GateError(f"a slowdown of {limits.max_slowdown:g} is no ratio of times: give a number greater than 0")
    gate.check_set(dataset, gate.Limits(limits.max_word_f1_loss, limits.max_line_hmean_loss))
    gate.check_limit(limits.max_detection_hmean_loss)
    gate.check_limit(limits.max_cer_rise)
    truths = [sample.truth for sample in dataset.samples if sample.truth is not None]
    lines = sum(len(truth.lines) for truth in truths)
    gate.check_size(dataset, lines, "lines", TITLES[Score.LINE_HMEAN], limits.max_line_hmean_loss)
    gate.check_size(dataset, lines, "lines", TITLES[Score.DETECTION_HMEAN], limits.max_detection_hmean_loss)
    characters = sum(len(line.text) for truth in truths for line in truth.lines)
    gate.check_size(dataset, characters, "characters", TITLES[Score.CER], limits.max_cer_rise)


def judge(dataset: Dataset, limits: AcceptanceLimits, a: SetReading, b: SetReading | None) -> ModelEvaluation:
    """Compare A with B and say whether A passed.

    Raises GateError if the better of them reads so little that nothing can be lost.
    """
    best = max((one for one in (a, b) if one is not None), key=lambda one: one.read.scores.word_f1 or 0.0)
    allowed = gate.Limits(limits.max_word_f1_loss, limits.max_line_hmean_loss)
    gate.check_baseline(dataset, total(best.counts), allowed, best.candidate.letter)
    found = differences(a.counts, b.counts) if b else {}
    slower = slowdown(a.stages_ms, b.stages_ms) if b else None
    scores = a.read.scores
    reasons = (*_losses(scores, found, limits), *_slowness(slower, limits)) if b else ()
    measured = {score.value: value for score in Score if (value := scores[score]) is not None}
    verdict = AcceptanceVerdict(not reasons, reasons, measured, dataset.name, len(dataset.samples))
    return ModelEvaluation(dataset, limits, a, b, found, slower, verdict)


def _losses(scores: Scores, found: Mapping[Score, Difference], limits: AcceptanceLimits) -> Iterator[str]:
    for score, limit in limits.by_score.items():
        difference = found.get(score)
        if difference is None:
            continue
        loss = difference.value if score.less_is_better else -difference.value
        if loss > limit:
            verb = "rose" if score.less_is_better else "fell"
            contains = "contains" if difference.may_be_zero else "does not contain"
            yield (
                f"{TITLES[score]} {verb} by {loss:.4f} to {scores[score] or 0.0:.4f}, over the limit of {limit:g}; "
                f"the 95 % interval of the difference, {difference.low:+.4f} to {difference.high:+.4f}, {contains} 0."
            )


def _slowness(slower: Slowdown | None, limits: AcceptanceLimits) -> Iterator[str]:
    if limits.max_slowdown is None:
        return
    if slower is None:
        yield "No picture was read by both, so that their times cannot be compared as --max-slowdown asks."
    elif slower.ratio > limits.max_slowdown:
        contains = "contains" if slower.low <= 1 <= slower.high else "does not contain"
        yield (
            f"A picture takes {slower.ratio:.2f} times as long as with B, over the limit of {limits.max_slowdown:g}; "
            f"the 95 % interval, {slower.low:.2f} to {slower.high:.2f}, {contains} 1."
        )
