"""Whether this worker should get jobs, and whether it should be restarted.

Readiness is a set of named conditions. Each is met, or has a sentence that says why not; one that is met may have a
notice, which the probe shows as well. Liveness only says that the loops run: a Triton that is away is no reason to
restart a worker.
"""

from worker.domain.events import ReadinessChanged
from worker.ports import Clock, EventSink

UNKNOWN = "not checked yet."


class Health:
    """The worker's state for probes. Read on any thread, written on the event loop's thread."""

    def __init__(self, conditions: tuple[str, ...], clock: Clock, events: EventSink, *, pulse_seconds: float) -> None:
        self._reasons: dict[str, str | None] = dict.fromkeys(conditions, UNKNOWN)
        self._notices: dict[str, str] = {}
        self._clock = clock
        self._events = events
        self._pulse_seconds = pulse_seconds
        self._last_beat = clock.monotonic()

    def met(self, condition: str, notice: str = "") -> None:
        """Note that a condition is met, with a sentence that a person should still know."""
        self._notices[condition] = notice
        self._set(condition, None)

    def unmet(self, condition: str, reason: str) -> None:
        """Note why a condition is not met, in a sentence."""
        self._notices[condition] = ""
        self._set(condition, reason)

    def _set(self, condition: str, reason: str | None) -> None:
        if self._reasons[condition] == reason:
            return
        self._reasons[condition] = reason
        unmet = tuple(name for name, why in self._reasons.items() if why)
        self._events.emit(ReadinessChanged(self.ready, self.reason, unmet))

    def is_met(self, *conditions: str) -> bool:
        """Say whether all of these are met."""
        return all(self._reasons[condition] is None for condition in conditions)

    @property
    def ready(self) -> bool:
        """Whether all conditions are met."""
        return not self.reason

    @property
    def reason(self) -> str:
        """Why the worker is not ready; empty if it is."""
        return " ".join(f"{name}: {reason}" for name, reason in list(self._reasons.items()) if reason)

    @property
    def notice(self) -> str:
        """What a person should know although the worker is ready; empty if nothing."""
        return " ".join(f"{name}: {notice}" for name, notice in list(self._notices.items()) if notice)

    def beat(self) -> None:
        """Note that the loops run."""
        self._last_beat = self._clock.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the loops ran lately."""
        return self._clock.monotonic() - self._last_beat < self._pulse_seconds
