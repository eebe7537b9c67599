"""A circuit opens after failures in a row, lets one probe at a time through, and closes after successes in a row."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from worker.domain.circuit import Circuit, CircuitPolicy, CircuitState

POLICY = CircuitPolicy(failures=3, successes=2, cooldown_seconds=0.25, max_cooldown_seconds=2.0)
DRAWS = st.floats(0, 1, exclude_max=True)


class OneCircuit(RuleBasedStateMachine):
    """Requests and probes in any order, told apart from a plain reading of the rules."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit(POLICY)
        self.now = 0.0
        self.failures_in_a_row = 0
        self.probes_in_a_row = 0
        self.opened_at = 0.0
        self.was_hastened = False
        self.probing = False

    @rule(seconds=st.floats(0, 3))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_request_succeeds(self) -> None:
        before = self.circuit.state
        self.circuit.succeeded()
        assert self.circuit.state is before, "only probes close a circuit"
        self.failures_in_a_row = 0

    @rule(draw=DRAWS)
    def a_request_fails(self, draw: float) -> None:
        was_closed = self.circuit.is_closed
        before = self.circuit.state
        self.circuit.failed(self.now, draw)
        if not was_closed:
            assert self.circuit.state is before, "a late failure changes nothing"
            return
        self.failures_in_a_row += 1
        assert self.circuit.is_closed == (self.failures_in_a_row < POLICY.failures)
        if not self.circuit.is_closed:
            self.note_opened()

    @rule()
    def a_probe_is_asked_for(self) -> None:
        before = self.circuit.state
        given = self.circuit.begin_probe(self.now)
        if before is CircuitState.CLOSED or self.probing:
            assert not given
        elif before is CircuitState.HALF_OPEN:
            assert given
        else:
            waited = self.now - self.opened_at
            assert given == (self.now >= self.circuit.due_at)
            assert given or waited < POLICY.max_cooldown_seconds
            assert not given or self.was_hastened or waited >= POLICY.cooldown_seconds / 2 - 1e-9
        self.probing = self.probing or given

    @precondition(lambda self: self.probing)
    @rule()
    def the_probe_succeeds(self) -> None:
        self.circuit.probe_succeeded()
        self.probing = False
        self.probes_in_a_row += 1
        assert self.circuit.is_closed == (self.probes_in_a_row == POLICY.successes)
        if self.circuit.is_closed:
            self.failures_in_a_row = self.probes_in_a_row = 0

    @precondition(lambda self: self.probing)
    @rule(draw=DRAWS)
    def the_probe_fails(self, draw: float) -> None:
        self.circuit.probe_failed(self.now, draw)
        self.probing = False
        assert self.circuit.state is CircuitState.OPEN
        self.note_opened()

    @precondition(lambda self: self.probing)
    @rule()
    def the_probe_is_given_up(self) -> None:
        self.circuit.probe_given_up()
        self.probing = False
        assert self.circuit.state is CircuitState.HALF_OPEN

    @rule()
    def the_server_gives_a_sign(self) -> None:
        before = self.circuit.state
        self.circuit.probe_now(self.now)
        self.was_hastened = True
        assert self.circuit.state is before

    def note_opened(self) -> None:
        self.opened_at, self.was_hastened = self.now, False
        self.failures_in_a_row = self.probes_in_a_row = 0

    @invariant()
    def a_probe_is_only_under_way_half_open(self) -> None:
        assert not self.probing or self.circuit.state is CircuitState.HALF_OPEN


TestOneCircuit = OneCircuit.TestCase
TestOneCircuit.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def opened(policy: CircuitPolicy = POLICY) -> Circuit:
    circuit = Circuit(policy)
    for _ in range(policy.failures):
        circuit.failed(0.0, 0.0)
    return circuit


def cooldowns(circuit: Circuit, count: int) -> list[float]:
    """Let probes fail, and return how long each cooldown was."""
    found, begun = [], 0.0
    for _ in range(count):
        found.append(circuit.due_at - begun)
        begun = circuit.due_at
        assert circuit.begin_probe(begun)
        circuit.probe_failed(begun, 0.999999)
    return found


def test_cooldowns_double_up_to_their_maximum() -> None:
    assert cooldowns(opened(), 6) == pytest.approx([0.125, 0.5, 1.0, 2.0, 2.0, 2.0], abs=1e-5)


def test_the_draw_spreads_the_second_half_of_a_cooldown() -> None:
    circuit = Circuit(CircuitPolicy(failures=1, cooldown_seconds=1.0))
    circuit.failed(10.0, 0.5)
    assert circuit.due_at == 10.75


def close(circuit: Circuit) -> None:
    circuit.probe_now(100.0)
    while not circuit.is_closed:
        assert circuit.begin_probe(100.0)
        circuit.probe_succeeded()


@pytest.mark.parametrize(("successes", "cooldown"), [(2, 2.0), (3, 0.25)])
def test_the_short_cooldown_comes_back_only_with_a_row_of_successes(successes: int, cooldown: float) -> None:
    circuit = opened()
    cooldowns(circuit, 5)
    close(circuit)
    for _ in range(successes):
        circuit.succeeded()
    for _ in range(POLICY.failures):
        circuit.failed(100.0, 0.999999)
    assert circuit.due_at - 100 == pytest.approx(cooldown, abs=1e-5)


def test_a_probe_that_was_not_begun_cannot_end() -> None:
    for end in (Circuit(POLICY).probe_succeeded, Circuit(POLICY).probe_given_up):
        with pytest.raises(RuntimeError, match="no probe"):
            end()
