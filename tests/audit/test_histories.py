"""Any history of jobs that workers and replays may write is sound, and the audit finds exactly what is done to it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audit.histories import TOPICS, Logs
from worker.audit.report import AuditReport
from worker.domain.records import Coordinate, Record

Draw = Callable[[st.SearchStrategy[Any]], Any]
MAX_REPLAYS = 3
STATES = ("completed", "dead_lettered", "parked", "pending", "lost", "unverifiable")


@dataclass
class Model:
    """What a history must be found to be: the state of each job, and what was done to it."""

    logs: Logs = field(default_factory=Logs)
    states: dict[Coordinate, str] = field(default_factory=dict)
    endings: dict[Coordinate, Record] = field(default_factory=dict)  # each job's last record, which decides
    results: dict[Coordinate, list[Record]] = field(default_factory=dict)
    conflicting: int = 0
    mismatched: int = 0
    after_dedup: int = 0
    contradictory: int = 0


@st.composite
def histories(draw: st.DrawFn) -> Model:
    """Draw the chains of some jobs."""
    model = Model()
    for _ in range(draw(st.integers(1, 8))):
        _chain(draw, model)
    return model


def _chain(draw: st.DrawFn, model: Model) -> None:
    logs, job = model.logs, model.logs.job(as_json=draw(st.booleans()))
    current, origin = job, job.coordinate
    for generation in range(MAX_REPLAYS + 1):
        for level in range(draw(st.integers(0, 3))):
            current = logs.retry(current, level + 1)
        how = draw(st.sampled_from(["result", "result", "dead letter", "pending"]))
        if how == "pending":
            logs.open.add(current.coordinate)
            model.states[origin], model.endings[origin] = "pending", current
            return
        if how == "result":
            # At least once: a repeat has the same reading, whenever it was made.
            model.results[origin] = [logs.result(current) for _ in range(draw(st.integers(1, 3)))]
            model.states[origin], model.endings[origin] = "completed", current
            return
        letters = [logs.dead_letter(current) for _ in range(draw(st.integers(1, 2)))]
        model.states[origin], model.endings[origin] = "dead_lettered", letters[-1]
        if not draw(st.booleans()):
            return
        if generation == MAX_REPLAYS:
            model.states[origin], model.endings[origin] = "parked", logs.park(letters[0])
            return
        current = logs.replay(letters[0], to_origin=draw(st.booleans()))
        model.endings[origin] = current


def _loses(draw: Draw, model: Model, origin: Coordinate) -> None:
    """Lose every outcome of the newest generation, and call its inputs done."""
    logs, state = model.logs, model.states[origin]
    if state == "completed":
        for result in model.results.pop(origin):
            logs.remove(result)
    elif state == "pending":
        logs.open.discard(model.endings[origin].coordinate)
        if draw(st.booleans()) and model.endings[origin].coordinate.topic in TOPICS.retry_topics:
            _lose_last_retry(model, origin)
    else:
        return
    model.states[origin] = "lost"


def _lose_last_retry(model: Model, origin: Coordinate) -> None:
    """The retry itself is gone: the record before it was done, and nothing came of it."""
    model.logs.remove(model.endings[origin])


def _spoils(draw: Draw, model: Model, origin: Coordinate) -> None:
    """Add to a completed job what must not be."""
    logs, last = model.logs, model.endings[origin]
    match draw(st.sampled_from(["reading", "identity", "dead letter"])):
        case "reading":
            logs.result(last, "PARCE1")
            model.conflicting += 1
        case "identity":
            logs.result(last, result_id="f" * 30 + f"{origin.offset:02d}")
            model.after_dedup += 1
            model.mismatched += 1
        case "dead letter":
            logs.dead_letter(last)
            model.contradictory += 1
            model.states[origin] = "dead_lettered"


def _found(report: AuditReport) -> dict[str, int]:
    return {state: count for state in STATES if (count := getattr(report, state))}


@settings(max_examples=100, deadline=None)
@given(model=histories())
def test_what_workers_and_replays_write_is_sound(model: Model) -> None:
    report = model.logs.audit()
    assert _found(report) == Counter(model.states.values())
    assert report.is_sound
    assert report.duplicates == sum(len(results) - 1 for results in model.results.values())
    assert (report.mismatched, report.conflicting, report.contradictory, report.strangers) == (0, 0, 0, 0)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), model=histories())
def test_exactly_what_is_lost_is_found_and_named(data: st.DataObject, model: Model) -> None:
    for origin in data.draw(st.lists(st.sampled_from(sorted(model.states)), unique=True)):
        _loses(data.draw, model, origin)
    report = model.logs.audit()
    assert _found(report) == Counter(model.states.values())
    named = {offender.origin for offender in report.offenders if offender.problem.startswith("lost")}
    assert named == {origin for origin, state in model.states.items() if state == "lost"}
    assert report.is_sound == (not named)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), model=histories())
def test_exactly_what_is_spoilt_is_found(data: st.DataObject, model: Model) -> None:
    completed = sorted(model.results)
    for origin in data.draw(st.lists(st.sampled_from(completed), unique=True)) if completed else []:
        _spoils(data.draw, model, origin)
    report = model.logs.audit()
    assert _found(report) == Counter(model.states.values())
    assert report.conflicting == model.conflicting
    assert (report.duplicates_after_dedup, report.mismatched) == (model.after_dedup, model.mismatched)
    assert report.contradictory == model.contradictory
    assert report.lost == 0


@settings(max_examples=100, deadline=None)
@given(data=st.data(), model=histories())
def test_the_order_in_which_records_are_read_changes_nothing(data: st.DataObject, model: Model) -> None:
    for origin in data.draw(st.lists(st.sampled_from(sorted(model.states)), unique=True)):
        _loses(data.draw, model, origin)
    before = model.logs.audit()
    model.logs.records = dict(data.draw(st.permutations(list(model.logs.records.items()))))
    after = model.logs.audit()
    assert _found(after) == _found(before)
    assert {str(offender) for offender in after.offenders} == {str(offender) for offender in before.offenders}
