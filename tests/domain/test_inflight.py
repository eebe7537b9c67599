"""The limit in flight: up by one for a window of successes that used it, halved once for a round trip of overload."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.domain.inflight import FLOOR, InflightLimit


class OneLimit(RuleBasedStateMachine):
    """Requests that are sent and end in any order."""

    @initialize(ceiling=st.integers(1, 40))
    def begin(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.limit = InflightLimit(ceiling)
        self.sent: list[float] = []
        self.now = 0.0
        self.decreased_at = -1.0
        self.used_successes = 0

    def now_later(self) -> float:
        self.now += 1
        return self.now

    @precondition(lambda self: self.limit.has_free_slot)
    @rule()
    def send(self) -> None:
        self.limit.enter()
        self.sent.append(self.now_later())

    def take(self, data: st.DataObject) -> float:
        return self.sent.pop(data.draw(st.integers(0, len(self.sent) - 1)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        before, is_used = self.limit.limit, not self.limit.has_free_slot
        sent_at = self.take(data)
        self.limit.succeeded(sent_at)
        self.limit.leave()
        if is_used and sent_at > self.decreased_at:
            self.used_successes += 1
        assert self.limit.limit in {before, before + 1}
        if self.limit.limit > before:
            assert self.used_successes >= before, "a whole window of successes, all at the limit"
            self.used_successes = 0

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def meet_overload(self, data: st.DataObject) -> None:
        before = self.limit.limit
        sent_at = self.take(data)
        is_news = self.limit.overloaded(sent_at, self.now_later())
        self.limit.leave()
        assert is_news == (sent_at > self.decreased_at)
        assert self.limit.limit == (max(FLOOR, before // 2) if is_news else before)
        if is_news:
            self.decreased_at, self.used_successes = self.now, 0

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def end_otherwise(self, data: st.DataObject) -> None:
        before = self.limit.limit
        self.take(data)
        self.limit.leave()
        assert self.limit.limit == before

    @invariant()
    def bounds_hold(self) -> None:
        assert FLOOR <= self.limit.limit <= self.ceiling
        assert self.limit.in_flight == len(self.sent) <= self.ceiling
        assert self.limit.has_free_slot == (len(self.sent) < self.limit.limit)
        assert self.limit.at_floor == (self.limit.limit == FLOOR)


TestOneLimit = OneLimit.TestCase
TestOneLimit.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


def full(limit: InflightLimit) -> None:
    while limit.has_free_slot:
        limit.enter()


def test_a_round_of_overload_halves_once() -> None:
    limit = InflightLimit(32)
    full(limit)
    assert [limit.overloaded(1.0, 2.0) for _ in range(32)] == [True] + [False] * 31
    assert limit.limit == 16


def test_it_comes_back_by_one_a_window() -> None:
    limit = InflightLimit(8)
    full(limit)
    limit.overloaded(1.0, 2.0)
    windows = []
    for _ in range(5):
        before, successes = limit.limit, 0
        while limit.limit == before and successes < 100:
            limit.succeeded(3.0)
            successes += 1
        windows.append(successes)
    assert windows == [4, 5, 6, 7, 100]
    assert limit.limit == 8


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    limit = InflightLimit(8)
    limit.enter()
    limit.overloaded(1.0, 2.0)
    for _ in range(100):
        limit.succeeded(3.0)
    assert limit.limit == 4


def test_no_place_is_taken_or_given_back_that_is_not_there() -> None:
    limit = InflightLimit(1)
    with pytest.raises(RuntimeError, match="nothing is under way"):
        limit.leave()
    limit.enter()
    with pytest.raises(RuntimeError, match="1 are under way, 1 may be"):
        limit.enter()
