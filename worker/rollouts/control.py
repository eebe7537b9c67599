"""Reads the rollouts' topic, and writes the next state.

Invariant: a state counts only if it is the first of its epoch in the log, so what was written is read back before it is
reported; who lost against another writer is told so.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from worker.adapters.kafka.control_log import find_control_topic
from worker.adapters.kafka.offline.bounded_reader import BoundedReader
from worker.adapters.kafka.permissions import check_topic_rights
from worker.adapters.kafka.sink import KafkaSink
from worker.domain.errors import BrokerError, JobError, RolloutError
from worker.domain.model_set import set_title
from worker.domain.records import OutgoingRecord
from worker.domain.rollout.records import RolloutRecords
from worker.domain.rollout.state import (
    ControlState,
    Mode,
    Rollout,
    RolloutLimits,
    state_key,
    to_json,
)
from worker.ports import Clock
from worker.settings import KafkaSettings

_LOGGER = logging.getLogger(__name__)
Change = Callable[[ControlState], ControlState]


@dataclass(frozen=True, slots=True)
class RolloutOrder:
    """What is to be rolled out, and how."""

    candidate: str
    mode: Mode
    steps: tuple[int, ...]
    limits: RolloutLimits


class RolloutControl:
    """The rollouts' topic of a deployment. `default_set` is in use where no rollout has decided."""

    def __init__(self, kafka: KafkaSettings, topic: str, default_set: str, clock: Clock) -> None:
        self._kafka = kafka
        self._topic = topic
        self._default_set = default_set
        self._clock = clock

    def read(self) -> RolloutRecords:
        """Return what the topic says. Raises BrokerError where it is absent or cannot hold a state."""
        if find_control_topic(self._kafka, self._topic) is None:
            raise BrokerError(
                f"Topic {self._topic} does not exist, so no worker follows a rollout: create it with"
                " `labelwire topics apply`."
            )
        records = RolloutRecords()
        with BoundedReader(self._kafka.bootstrap_servers, [self._topic], self._kafka.client_options()) as reader:
            for record in reader:
                if record.key is None or record.value is None:
                    continue
                try:
                    records.take(record.key.decode("utf-8", "replace"), record.value)
                except RolloutError as error:  # workers leave it out as well
                    _LOGGER.warning("A record of the rollout's topic is left out: %s", error)
        return records

    def in_use(self, state: ControlState) -> str:
        """Return the model set that reads jobs."""
        return self._default_set if state.in_use is None else state.in_use

    def start(self, order: RolloutOrder) -> ControlState:
        """Begin a rollout. Raises RolloutError while another one runs, or where the candidate is in use."""
        now_ms = self._clock.epoch_ms()

        def begin(state: ControlState) -> ControlState:
            replaced = self.in_use(state)
            if order.candidate == replaced:
                raise RolloutError(
                    f"The model set {set_title(replaced)!r} is in use already: name another one, as `labelwire models "
                    "build --model-set` made it."
                )
            return state.started(
                Rollout(
                    id=secrets.token_hex(6),
                    mode=order.mode,
                    candidate=order.candidate,
                    replaced=replaced,
                    steps=order.steps,
                    limits=order.limits,
                    started_at_ms=now_ms,
                    changed_at_ms=now_ms,
                )
            )

        return self._write(begin)

    def promote(self, reason: str) -> ControlState:
        """Put the candidate in use now, whatever was seen. Raises RolloutError where no rollout runs."""
        return self._write(lambda state: state.promoted(self._clock.epoch_ms(), reason))

    def abort(self, reason: str) -> ControlState:
        """End the rollout, and leave in use what was. Raises RolloutError where no rollout runs."""
        return self._write(lambda state: state.aborted(reason, self._clock.epoch_ms()))

    def _write(self, change: Change) -> ControlState:
        check_topic_rights(self._kafka, reads=[self._topic], writes=[self._topic])
        following = change(self.read().state)
        record = OutgoingRecord(
            self._topic, state_key(following, f"command-{secrets.token_hex(4)}").encode(), to_json(following), ()
        )
        asyncio.run(self._send(record))
        if following not in self.read().history:
            raise RolloutError(
                "Somebody else changed the rollout at the same moment; see `labelwire canary status`, and decide again."
            )
        return following

    async def _send(self, record: OutgoingRecord) -> None:
        sink = KafkaSink(self._kafka)
        try:
            await sink.send(record)
        except JobError as error:
            raise BrokerError(error.message) from error
        finally:
            await sink.close()
