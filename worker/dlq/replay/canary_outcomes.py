"""Waiting for the outcomes of the canaries.

Invariant: only results and dead letters that carry the run's id count, and only those written after the plan was made.
A topic that was made anew since is read from its beginning.
"""

import logging
from collections.abc import Callable, Mapping

from worker.adapters.kafka.offline.bounded_reader import BoundedReader, TopicRecreatedError
from worker.dlq.replay.canary import CanaryLimits, CanaryOutcomes
from worker.dlq.replay.phase import StoppableClock
from worker.dlq.replay.plan import ReplayPlan
from worker.domain.headers import DerivedHeaders
from worker.domain.records import TopicPartition
from worker.settings import KafkaSettings

_POLL_SECONDS = 1.0
_LOGGER = logging.getLogger(__name__)


class CanaryMonitor:
    """Reads the topics of results and dead letters again and again."""

    def __init__(self, kafka: KafkaSettings, plan: ReplayPlan, results_topic: str) -> None:
        self._kafka = kafka
        self._plan = plan
        self._positions = {TopicPartition(results_topic, p): end for p, end in plan.results_ends.items()}
        self._positions.update({TopicPartition(plan.topic, p): end for p, end in plan.claim.ends.items()})
        self._topic_ids: Mapping[str, str] = {
            results_topic: plan.results_topic_id,
            plan.topic: plan.claim.topic_id,
        }

    def wait(
        self, replayed: int, limits: CanaryLimits, timing: StoppableClock, report: Callable[[CanaryOutcomes], None]
    ) -> CanaryOutcomes:
        """Return the outcomes that are known.

        Waits until all are known, or too many failed whatever becomes of the others, or the time is over, or the replay
        is stopped.
        """
        outcomes = CanaryOutcomes(replayed)
        deadline = timing.monotonic() + limits.wait_seconds
        while True:
            self._poll(outcomes)
            report(outcomes)
            if outcomes.complete or outcomes.hopeless(limits.max_failure_ratio):
                return outcomes
            left_seconds = deadline - timing.monotonic()
            if left_seconds <= 0 or timing.wait(min(_POLL_SECONDS, left_seconds)):
                return outcomes

    def _poll(self, outcomes: CanaryOutcomes) -> None:
        """Read what has come since the last poll."""
        try:
            self._read(outcomes)
        except TopicRecreatedError as error:
            _LOGGER.warning("%s It is read from its beginning.", error)

    def _read(self, outcomes: CanaryOutcomes) -> None:
        with BoundedReader(
            *(self._kafka.bootstrap_servers, list(self._topic_ids), self._kafka.client_options()),
            starts=self._positions,
            made_for=self._topic_ids,
        ) as reader:
            for record in reader:
                derived = DerivedHeaders.of(record)
                if derived.replay_run_id == self._plan.run_id:
                    outcomes.note(derived.origin, failed=record.coordinate.topic == self._plan.topic)
            self._positions, self._topic_ids = dict(reader.ends), reader.topic_ids
