"""What probes see."""

import pytest

from worker.domain.events import ReadinessChanged
from worker.runtime.health import Health
from worker.testing.clock import ManualClock
from worker.testing.events import RecordedEvents


def health(clock: ManualClock | None = None, events: RecordedEvents | None = None) -> Health:
    return Health(("triton", "topics"), clock or ManualClock(), events or RecordedEvents(), pulse_seconds=60)


def test_it_is_ready_when_every_condition_is_met_and_says_which_is_not() -> None:
    state = health()
    assert state.reason == "triton: not checked yet. topics: not checked yet."
    state.met("triton")
    state.unmet("topics", "label-text does not exist.")
    assert not state.ready
    assert state.reason == "topics: label-text does not exist."
    state.met("topics")
    assert state.ready
    assert state.reason == ""


def test_conditions_are_asked_for_one_by_one() -> None:
    state = health()
    state.met("triton")
    assert state.is_met("triton")
    assert not state.is_met("triton", "topics")


def test_an_unknown_condition_is_a_defect() -> None:
    with pytest.raises(KeyError):
        health().met("weather")


def test_only_changes_are_told() -> None:
    events = RecordedEvents()
    state = health(events=events)
    for _ in range(3):
        state.met("triton")
        state.unmet("topics", "away.")
    state.met("topics")
    assert events.all == [
        ReadinessChanged(ready=False, reason="topics: not checked yet.", unmet=("topics",)),
        ReadinessChanged(ready=False, reason="topics: away.", unmet=("topics",)),
        ReadinessChanged(ready=True, reason=""),
    ]


def test_it_is_alive_while_it_beats_whether_ready_or_not() -> None:
    clock = ManualClock()
    state = health(clock)
    clock.advance(59)
    assert state.alive
    clock.advance(1)
    assert not state.alive
    state.beat()
    assert state.alive
    assert not state.ready
