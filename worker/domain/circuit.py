"""Whether requests to one model may pass.

The rules:

1. Closed, every request passes. A success sets the count of failures to zero; `failures` in a row open the circuit.
2. Open, nothing passes until the cooldown is over, and results of requests that were sent before change nothing.
3. After the cooldown one probe at a time may be sent: half-open. `successes` probes in a row close the circuit.
4. A probe that fails opens the circuit again, and the cooldown doubles up to its maximum. A probe that is given up
   counts for nothing, and another may be sent at once.
5. A circuit that closed and soon fails again does not begin with the short cooldown: that is forgotten only after
   as many successes in a row as failures open the circuit.

Times are seconds of any one clock; `draw` is uniform in [0, 1) and keeps the probes of many workers apart.
Source: Nygard, "Release It!", 2nd edition, 2018, "Circuit Breaker".
"""

from dataclasses import dataclass
from enum import StrEnum


class CircuitState(StrEnum):
    """What passes: everything, a probe, nothing."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """When a circuit opens and closes: see the rules of this module."""

    failures: int = 5
    successes: int = 2
    cooldown_seconds: float = 0.25
    max_cooldown_seconds: float = 2.0


class Circuit:
    """The state of one model's circuit."""

    def __init__(self, policy: CircuitPolicy) -> None:
        self._policy = policy
        self._state = CircuitState.CLOSED
        self._failures = 0
        self._successes = 0
        self._cooldown_seconds = policy.cooldown_seconds
        self.due_at = 0.0  # when the cooldown is over; without meaning while the circuit is closed
        self._probing = False

    @property
    def state(self) -> CircuitState:
        """What passes now."""
        return self._state

    @property
    def is_closed(self) -> bool:
        """Whether every request passes."""
        return self._state is CircuitState.CLOSED

    def succeeded(self) -> None:
        """Note that a request was answered."""
        if not self.is_closed:
            return
        self._failures = 0
        self._successes += 1
        if self._successes >= self._policy.failures:
            self._cooldown_seconds = self._policy.cooldown_seconds

    def failed(self, now: float, draw: float) -> None:
        """Note that a request failed for a reason that may be the server's."""
        if not self.is_closed:
            return
        self._successes = 0
        self._failures += 1
        if self._failures >= self._policy.failures:
            self._open(now, draw)

    def probe_now(self, now: float) -> None:
        """End the cooldown: there is a sign that the server is back."""
        self.due_at = min(self.due_at, now)

    def begin_probe(self, now: float) -> bool:
        """Say whether a probe may be sent now; if so it is under way until one of the three methods below is called."""
        if self.is_closed or self._probing or (self._state is CircuitState.OPEN and now < self.due_at):
            return False
        self._state = CircuitState.HALF_OPEN
        self._probing = True
        return True

    def probe_succeeded(self) -> None:
        """Note that the probe was answered."""
        self._end_probe()
        self._successes += 1
        if self._successes >= self._policy.successes:
            self._state = CircuitState.CLOSED
            self._failures = self._successes = 0

    def probe_failed(self, now: float, draw: float) -> None:
        """Note that the probe failed."""
        self._end_probe()
        self._open(now, draw)

    def probe_given_up(self) -> None:
        """Note that the probe ended without a result."""
        self._end_probe()

    def _end_probe(self) -> None:
        if not self._probing:
            raise RuntimeError("no probe is under way")
        self._probing = False

    def _open(self, now: float, draw: float) -> None:
        self._state = CircuitState.OPEN
        self._failures = self._successes = 0
        # Half of the cooldown is kept as a floor, so that no probe follows at once.
        self.due_at = now + self._cooldown_seconds * (0.5 + draw / 2)
        self._cooldown_seconds = min(2 * self._cooldown_seconds, self._policy.max_cooldown_seconds)
