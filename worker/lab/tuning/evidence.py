"""From trials to what a tuning file says of them."""

from collections.abc import Sequence
from statistics import median
from typing import Literal

from worker.lab.tuning.judgment import SweepTurn, rates
from worker.lab.tuning.sweep import SweepTrial
from worker.models.tuning import CandidateEvidence, RateSpread

_PLACES = 4


def candidate_evidence(trial: SweepTrial) -> CandidateEvidence:
    """Return a trial as evidence."""
    compared = trial.compared
    return CandidateEvidence(
        change=trial.change,
        settings=trial.settings,
        outcome=_outcome(trial),
        reason=trial.verdict.reason,
        pictures_per_second=None if compared is None else rate_spread(compared.candidate),
        compared_with=None if compared is None else rate_spread(compared.incumbent),
        cpu_seconds=None if compared is None else cpu_of(compared.candidate),
        cpu_seconds_compared_with=None if compared is None else cpu_of(compared.incumbent),
        peak_rss_mb=_rounded(trial.peak_rss_mb, 1),
        word_f1=_rounded(trial.word_f1, _PLACES),
        equal_lines=_rounded(trial.equal_lines, _PLACES),
    )


def rate_spread(turns: Sequence[SweepTurn]) -> RateSpread:
    """Return the median of the rates of some turns, the lowest and the highest."""
    found = rates(turns)
    return RateSpread(
        median=round(median(found), _PLACES), min=round(min(found), _PLACES), max=round(max(found), _PLACES)
    )


def cpu_of(turns: Sequence[SweepTurn]) -> float:
    """Return the median CPU seconds a picture of some turns."""
    return round(median(turn.cpu_seconds for turn in turns), _PLACES)


def _outcome(trial: SweepTrial) -> Literal["taken", "refused", "not tried"]:
    if not trial.tried:
        return "not tried"
    return "taken" if trial.verdict.taken else "refused"


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)
