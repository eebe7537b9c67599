"""Follows the rollout that all workers share, and moves it on.

Invariants: what this worker does is decided by the log alone, so workers differ for no longer than a record takes to
reach them. What was seen is written before it decides anything elsewhere; a worker that ends takes at most the last
moment's observations with it. Any worker may write the next state, and the first in the log counts. All workers
together write a bounded number of records a second: each of them reads all, so the broker sends them as many times.
"""

import logging
from collections.abc import Callable
from typing import Final

from worker.domain.errors import BrokerError, RolloutError
from worker.domain.events import RolloutChanged
from worker.domain.model_set import DEFAULT_SET
from worker.domain.rollout.evidence import Evidence
from worker.domain.rollout.judgment import Decision, Judgment, judge, needs_pairs
from worker.domain.rollout.records import RolloutRecords
from worker.domain.rollout.routing import ALL
from worker.domain.rollout.state import (
    ControlState,
    Rollout,
    WorkerEvidence,
    evidence_key,
    state_key,
    to_json,
)
from worker.ports import Clock, ControlLog, EventSink
from worker.runtime.health import Health

ROLLOUT: Final = "rollout"
_LOGGER = logging.getLogger(__name__)
# How often what was seen is written and judged.
_PERIOD_SECONDS: Final = 0.5
# Of evidence, by all workers together: the more there are, the less often each writes. The broker sends each record to
# all workers: with 200 of them 8,000 a second, about 10 MB.
_MAX_RECORDS_PER_SECOND: Final = 40
# A state that was written and not read back for so long is written again.
_PROPOSAL_SECONDS: Final = 10.0


class RolloutFollower:
    """The rollout's state as this worker knows it, and the evidence of all workers."""

    def __init__(
        self,
        log: ControlLog,
        writer: str,
        clock: Clock,
        event_sink: EventSink,
        health: Health,
        *,
        default_set: str = DEFAULT_SET,
    ) -> None:
        self._log = log
        self._writer = writer
        self._clock = clock
        self._events = event_sink
        self._health = health
        self._default_set = default_set
        self._records = RolloutRecords()
        self._is_known = False
        self._own: dict[int, Evidence] = {}
        self._own_rollout = ""
        self._unwritten: set[int] = set()
        self._writes_from_seconds = 0.0
        self._proposed: tuple[int, float] | None = None
        # Whether more jobs should be read by both, as of the last judgment: each costs a second reading.
        self.needs_pairs = True
        self._listeners: list[Callable[[], None]] = []

    @property
    def state(self) -> ControlState:
        """The state, as the log has it up to now."""
        return self._records.state

    @property
    def in_use(self) -> str:
        """The model set that reads jobs."""
        return self._default_set if self.state.in_use is None else self.state.in_use

    @property
    def running(self) -> Rollout | None:
        """The rollout that runs, if one does and the log was read to its end."""
        return self.state.running if self._is_known else None

    def evidence(self) -> dict[int, Evidence]:
        """Return what all workers saw, by step."""
        others = self._records.evidence(without=self._writer)
        return {
            step: others.get(step, Evidence()) + self._own.get(step, Evidence())
            for step in others.keys() | self._own.keys()
        }

    def judgment(self) -> Judgment | None:
        """Judge the rollout that runs; None if there is none."""
        return None if self.running is None else judge(self.running, self.evidence())

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after every change of the state."""
        self._listeners.append(listener)

    def observe(self, rollout: Rollout, seen: Evidence) -> None:
        """Add what was seen of a job that began in this state of the rollout; nothing once the rollout has ended."""
        if self.running is not None and self.running.id == rollout.id:
            self._own[rollout.step] = self._own.get(rollout.step, Evidence()) + seen
            self._unwritten.add(rollout.step)

    async def run(self) -> None:
        """Read the log, write what was seen, and move the rollout on, until canceled."""
        await self._log.start(self)
        while True:
            await self._clock.sleep(_PERIOD_SECONDS)
            try:
                await self._write_evidence()
                await self._move_on()
            except BrokerError as error:
                _LOGGER.warning("The rollout's topic did not take a record, which is written again: %s", error)

    # What the log says.

    def received(self, key: str, value: bytes) -> None:
        """Take a record of the log."""
        try:
            is_new_state = self._records.take(key, value)
        except RolloutError as error:
            _LOGGER.warning("A record of the rollout's topic is left out: %s", error)
            return
        if is_new_state and self._is_known:
            self._forget_other_rollouts()
            self._announce()
            self._changed()

    def reached_end(self) -> None:
        """Begin to work by what was read."""
        if self._is_known:
            return
        self._is_known = True
        self._health.met(ROLLOUT)
        self._forget_other_rollouts()
        self._announce()  # also an end: the alert for a rollback must outlive a restart
        self._changed()

    def reset(self) -> None:
        """Forget what was read: the log is the truth, also where it was made anew and is empty.

        Until it is read to its end, readings go on with the models that they have: its states are past ones.
        """
        self._records = RolloutRecords()
        self._is_known = False
        self._health.unmet(ROLLOUT, "the rollout's topic is read again.")

    def failed(self, reason: str) -> None:
        """Note why the log cannot be read: without it nobody knows which models are in use."""
        if not self._is_known:
            self._health.unmet(ROLLOUT, reason)

    def _forget_other_rollouts(self) -> None:
        """Keep what this worker saw only if the rollout is the same as before."""
        rollout = self.state.rollout
        present = "" if rollout is None else rollout.id
        if present != self._own_rollout:
            self._own, self._own_rollout, self._proposed, self.needs_pairs = {}, present, None, True
            self._unwritten.clear()

    def _announce(self) -> None:
        rollout = self.state.rollout
        if rollout is not None:
            self._events.emit(
                RolloutChanged(
                    rollout=rollout.id,
                    mode=rollout.mode,
                    phase=rollout.phase,
                    candidate=rollout.candidate,
                    in_use=self.in_use,
                    share=rollout.share / ALL,
                    reason=rollout.reason,
                )
            )

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()

    # What this worker writes.

    async def _write_evidence(self) -> None:
        rollout, now = self.running, self._clock.monotonic()
        if rollout is None or not self._unwritten or now < self._writes_from_seconds:
            return
        self._writes_from_seconds = now + self._records.writers / _MAX_RECORDS_PER_SECOND
        for step in sorted(self._unwritten):
            if self._own_rollout != rollout.id:
                return  # it was replaced while a record was written
            self._unwritten.discard(step)
            record = WorkerEvidence(rollout=rollout.id, step=step, evidence=self._own[step])
            try:
                await self._log.append(evidence_key(record, self._writer), to_json(record))
            except BrokerError:
                if self._own_rollout == rollout.id:
                    self._unwritten.add(step)
                raise

    async def _move_on(self) -> None:
        rollout = self.running
        if rollout is None:
            return
        evidence = self.evidence()
        self.needs_pairs = needs_pairs(rollout, evidence.get(rollout.step, Evidence()))
        judgment = judge(rollout, evidence)
        if judgment.decision is Decision.WAIT:
            return
        now = self._clock.monotonic()
        if self._proposed is not None and self._proposed[0] == self.state.epoch and now < self._proposed[1]:
            return
        state, now_ms = self.state, self._clock.epoch_ms()
        roll_back = judgment.decision is Decision.ROLL_BACK
        following = state.rolled_back(judgment.reason, now_ms) if roll_back else state.advanced(now_ms)
        self._proposed = (state.epoch, now + _PROPOSAL_SECONDS)
        await self._log.append(state_key(following, self._writer), to_json(following))
