"""The records that replays leave on a topic of their own, from which an unfinished one is resumed.

Invariants: each record holds the whole plan, so the last one of a run is enough and the topic may be compacted. A run's
plan and its last state say which letters it has taken.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError

from worker.dlq.replay.plan import ReplayError, ReplayPlan, RunClaim
from worker.domain.records import OutgoingRecord, Record

SCHEMA = "labelwire/replay-run/1"


class RunState(StrEnum):
    """How far a run is. One that was killed is still `begun`."""

    BEGUN = "begun"
    INTERRUPTED = "interrupted"  # it can be taken up again
    ABORTED = "aborted"  # too many canaries failed again; the letters that are no canaries were left
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One record of a run. Times are epoch milliseconds; `counts` is by outcome and error code."""

    plan: ReplayPlan
    state: RunState
    by: str
    started_at_ms: int
    at_ms: int
    counts: Mapping[str, Mapping[str, int]]
    reason: str = ""
    schema: str = SCHEMA

    @property
    def claim(self) -> RunClaim:
        """The letters that later runs leave to this one."""
        if self.state is RunState.ABORTED:
            return replace(self.plan.claim, only_keys=self.plan.canary_keys)
        return self.plan.claim

    def outgoing(self, topic: str) -> OutgoingRecord:
        """Return the record for the topic of runs."""
        headers = (("content-type", b"application/json"),)
        return OutgoingRecord(topic, self.plan.run_id.encode(), _ADAPTER.dump_json(self), headers)


_ADAPTER = TypeAdapter(RunRecord)


class RunHistory:
    """The last record of each run on a cluster's dead-letter topic."""

    def __init__(self, records: Iterable[Record], cluster_id: str, topic: str) -> None:
        self._latest: dict[str, RunRecord] = {}
        for record in records:
            try:
                run = _ADAPTER.validate_json(record.value or b"")
            except ValidationError:
                continue  # not ours, or of a later version
            if (run.plan.cluster_id, run.plan.topic) == (cluster_id, topic):
                self._latest[run.plan.run_id] = run

    def get(self, run_id: str) -> RunRecord | None:
        """Return a run; None if there is none of this id."""
        return self._latest.get(run_id)

    def overlapping(self, topic_id: str, starts: Mapping[int, int]) -> list[RunRecord]:
        """Return the runs that may have taken letters which are still on this topic, from `starts` on."""
        return [
            run
            for run in self._latest.values()
            if run.plan.claim.is_on(topic_id)
            and any(end > starts.get(partition, end) for partition, end in run.plan.claim.ends.items())
        ]

    def resumable(self, run_id: str) -> RunRecord:
        """Return a run to resume. Raises ReplayError where it cannot be resumed."""
        run = self.get(run_id)
        if run is None:
            known = ", ".join(self._latest) or "none"
            raise ReplayError(f"There is no replay {run_id} of this dead-letter topic to resume; known are: {known}.")
        if run.state is RunState.FINISHED:
            raise ReplayError(f"The replay {run_id} is finished: nothing is left to resume.")
        successor = next((other for other in self._latest.values() if _took_over(other, run)), None)
        if successor is not None:
            raise ReplayError(
                f"The replay {run_id} was stopped after its canaries, and the replay {successor.plan.run_id} took over "
                f"its letters: resume {successor.plan.run_id}."
            )
        return run


def _took_over(other: RunRecord, run: RunRecord) -> bool:
    """Say whether the other run was planned after this one was aborted, and left it no more than its canaries."""
    if run.state is not RunState.ABORTED or other.plan.run_id == run.plan.run_id:
        return False
    left = next((claim for claim in other.plan.earlier if claim.run_id == run.plan.run_id), None)
    return left is not None and left.only_keys is not None
