"""What follows from the evidence: wait, go on, or roll back.

Invariant: the judgment is a function of state and evidence alone, so every worker that has read the same log comes to
the same one. Each test may be looked at after every job (`sequential`), and speaks against a candidate that is as good
as its limit allows with a probability of at most `FALSE_ALARM`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from worker.domain.rollout.evidence import Evidence, part_counts, quantile_bin, time_of_bin
from worker.domain.rollout.sequential import log_wealth, threshold
from worker.domain.rollout.state import Mode, Rollout, RolloutLimits

FALSE_ALARM: Final = 0.01
_ENOUGH: Final = threshold(FALSE_ALARM)
_MIN_TIMES_IN_USE: Final = 100
# So many times the pairs that a step needs are compared, so that what comes late in a step is seen as well.
_PAIRS_FACTOR: Final = 4
# Fewer hold up no step: where a criterion is seldom seen at all, as misread codes are, one would hold it up for ever.
_MIN_OBSERVATIONS: Final = 5
# Of the codes whose text only one of both read, the candidate may lose a little more than half.
_MAX_CODES_LOST: Final = 0.6


class Criterion(StrEnum):
    """What a candidate is judged by."""

    ERRORS = "errors"
    BLANKS = "blanks"
    TEXT = "text"
    FIELDS = "fields"
    CODES = "codes"
    P50 = "p50"
    P99 = "p99"


# The quantiles of the times by which a candidate is judged. The p99 is what users feel. But other work on the machine
# makes it, for both alike, and hides a candidate that is slower each time: its median tells.
_QUANTILES: Final = {Criterion.P50: 0.5, Criterion.P99: 0.99}
# The quantile of the models in use is known of a sample only. So many standard errors of the part of the readings that
# are over it are left to the candidate.
_STANDARD_ERRORS: Final = 2.0


@dataclass(frozen=True, slots=True)
class CriterionFinding:
    """One criterion: how many observations there are, the rate or ratio that was seen, and its limit.

    `is_over` says whether what was seen is over the limit, by more than the error with which the limit itself is known.
    `log_wealth` is the evidence against the candidate: `limit_reached` if it is enough, below zero where there is none.
    """

    criterion: Criterion
    observations: int
    seen: float | None
    limit: float
    is_over: bool
    log_wealth: float

    @property
    def limit_reached(self) -> bool:
        """Whether the candidate is worse than its limit, beyond chance."""
        return self.log_wealth >= _ENOUGH

    @property
    def speaks_against(self) -> bool:
        """Whether what was seen is over the limit, though it may be chance: more of it has to decide."""
        return self.is_over and self.observations >= _MIN_OBSERVATIONS


class Decision(StrEnum):
    """What follows."""

    WAIT = "wait"
    ADVANCE = "advance"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True)
class Judgment:
    """A decision with the findings that it rests on, and its reason in a sentence."""

    decision: Decision
    reason: str
    findings: tuple[CriterionFinding, ...]


def judge(rollout: Rollout, evidence: Mapping[int, Evidence]) -> Judgment:
    """Judge a rollout by the evidence of each of its steps.

    The present step decides, also for times: machines are busier at one time than at another, so a candidate's are
    compared with what the models in use took beside it. Where it reads all jobs nothing is left to compare with; it had
    to be compared in a step before.
    """
    here = evidence.get(rollout.step, Evidence())
    findings = (*_rates(here, rollout.limits), *_reading(here, rollout.limits))
    if rollout.mode is Mode.CANARY:  # a shadow gives way to other work, so its times say nothing
        findings = (*findings, *_times(here, rollout.limits))
    for finding in findings:
        if finding.limit_reached:
            return Judgment(Decision.ROLL_BACK, _sentence(finding, here), findings)
    times_beside = max((sum(seen.in_use_times.values()) for seen in evidence.values()), default=0)
    missing = _missing(rollout, here, times_beside) or _leaning(findings)
    return Judgment(Decision.WAIT if missing else Decision.ADVANCE, missing, findings)


def needs_pairs(rollout: Rollout, here: Evidence) -> bool:
    """Whether a step needs more pairs: there are too few, or what they show is over a limit and not decided yet."""
    if here.pairs < _PAIRS_FACTOR * rollout.limits.min_pairs:
        return True
    of_pairs = (*_rates(here, rollout.limits)[1:], *_reading(here, rollout.limits))
    return any(finding.speaks_against for finding in of_pairs)


def _missing(rollout: Rollout, here: Evidence, times_beside: int) -> str:
    """Return in a sentence what is to be seen before the step ends; empty if enough was."""
    if here.jobs < rollout.limits.min_jobs:
        return f"{here.jobs} of {rollout.limits.min_jobs} jobs are judged."
    if here.pairs < rollout.limits.min_pairs:
        return f"{here.pairs} of {rollout.limits.min_pairs} jobs are compared."
    if rollout.mode is Mode.CANARY and times_beside < _MIN_TIMES_IN_USE:
        return f"{times_beside} of {_MIN_TIMES_IN_USE} times of the models in use are known."
    return ""


def _leaning(findings: Iterable[CriterionFinding]) -> str:
    against = next((finding for finding in findings if finding.speaks_against), None)
    return f"{_TITLES[against.criterion]} leans against the candidate; more jobs decide." if against else ""


def _rates(here: Evidence, limits: RolloutLimits) -> tuple[CriterionFinding, ...]:
    codes = here.code_lost + here.code_won
    return (
        _rate(Criterion.ERRORS, here.errors, here.jobs, limits.max_error_rate),
        _rate(Criterion.BLANKS, here.blanks, here.pairs, limits.max_blank_rate),
        _rate(Criterion.CODES, here.code_lost, codes, _MAX_CODES_LOST),
    )


def _reading(here: Evidence, limits: RolloutLimits) -> tuple[CriterionFinding, ...]:
    return (
        _mean(Criterion.TEXT, here.text, here.text_disagreement, limits.max_text_disagreement),
        _mean(Criterion.FIELDS, here.fields, here.field_disagreement, limits.max_field_disagreement),
    )


def _rate(criterion: Criterion, bad: int, of: int, limit: float) -> CriterionFinding:
    return _finding(criterion, bad / of if of else None, limit, {1.0: bad, 0.0: of - bad})


def _mean(criterion: Criterion, histogram: Mapping[int, int], seen: float | None, limit: float) -> CriterionFinding:
    return _finding(criterion, seen, limit, part_counts(histogram))


def _finding(criterion: Criterion, seen: float | None, limit: float, counts: Mapping[float, int]) -> CriterionFinding:
    is_over = seen is not None and seen > limit
    return CriterionFinding(criterion, sum(counts.values()), seen, limit, is_over, log_wealth(counts, limit))


def _times(here: Evidence, limits: RolloutLimits) -> tuple[CriterionFinding, ...]:
    """Compare times at each quantile: too many of the candidate's readings over the limit speak against it.

    `seen` is the ratio of both quantiles, None while too few of the models in use are known.
    """
    return tuple(_quantile(criterion, here, limits.max_p99_ratio) for criterion in _QUANTILES)


def _quantile(criterion: Criterion, here: Evidence, limit: float) -> CriterionFinding:
    quantile = _QUANTILES[criterion]
    count, in_use_count = sum(here.candidate_times.values()), sum(here.in_use_times.values())
    own_bin, in_use_bin = quantile_bin(here.candidate_times, quantile), quantile_bin(here.in_use_times, quantile)
    if own_bin is None or in_use_bin is None or in_use_count < _MIN_TIMES_IN_USE:
        return CriterionFinding(criterion, count, None, limit, is_over=False, log_wealth=0.0)
    in_use_seconds = time_of_bin(in_use_bin)
    slow = sum(n for number, n in here.candidate_times.items() if time_of_bin(number) > limit * in_use_seconds)
    # Of all readings, as many more as one of the sample are expected over the sample's quantile.
    over = 1 - quantile + 1 / in_use_count
    max_slow_rate = over + _STANDARD_ERRORS * math.sqrt(over * (1 - over) / in_use_count)
    of_slow = _finding(criterion, slow / count, max_slow_rate, {1.0: slow, 0.0: count - slow})
    return replace(of_slow, seen=time_of_bin(own_bin) / in_use_seconds, limit=limit)


_TITLES: Final = {
    Criterion.ERRORS: "The rate of jobs that fail with the candidate alone",
    Criterion.BLANKS: "The rate of pages on which the candidate alone reads nothing",
    Criterion.TEXT: "The mean part of the characters that the candidate reads otherwise",
    Criterion.FIELDS: "The mean part of the fields that the candidate reads otherwise",
    Criterion.CODES: "The rate at which the candidate misreads the text beside a barcode",
    Criterion.P50: "The median of the time of a reading, as a ratio to the models in use,",
    Criterion.P99: "The p99 of the time of a reading, as a ratio to the models in use,",
}


def _sentence(finding: CriterionFinding, here: Evidence) -> str:
    seen = "unknown" if finding.seen is None else f"{finding.seen:.3g}"
    return (
        f"{_TITLES[finding.criterion]} is {seen} after {here.jobs} jobs in this step, over its limit of "
        f"{finding.limit:g}."
    )
