"""Making a plan of a request. Nothing is written here.

Invariants: the ends are taken once, before anything is read. Every refusal comes before the first write, as one
sentence.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from worker.adapters.kafka.admin import describe_cluster
from worker.adapters.kafka.offline.bounded_reader import BoundedReader, present_topic_ids, watermarks
from worker.adapters.kafka.permissions import check_topic_rights
from worker.dlq.replay.census import Census, check_targets, limit_plan, take_census
from worker.dlq.replay.plan import LettersGoneError, ReplayError, ReplayPlan, ReplayRequest, RunClaim
from worker.dlq.replay.runs import RunHistory, RunRecord, RunState
from worker.domain.records import ClusterDescription, TopicPartition
from worker.ports import Clock
from worker.settings import Settings

_RUN_ID = re.compile(r"[a-zA-Z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class PreparedReplay:
    """A plan to carry out. `census` is None where the plan is an earlier one, whose last record is `earlier`."""

    plan: ReplayPlan
    census: Census | None
    earlier: RunRecord | None
    parked_partitions: int


class ReplayPlanner:
    """Makes plans for the dead-letter topic of the settings."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._topics = settings.topics
        self._clock = clock

    def prepare(self, request: ReplayRequest) -> PreparedReplay:
        """Return a new plan, or the unfinished one that the same request made before.

        Raises ReplayError and BrokerError.
        """
        self._check_target(request.target)
        if request.run_id is not None and not _RUN_ID.fullmatch(request.run_id):
            raise ReplayError(
                f"--run-id {request.run_id!r} is not a name: use 1 to 64 of the characters a-z A-Z 0-9 . _ -"
            )
        topic = self._topics.dead_letters
        self._check_rights()
        cluster = self._described([topic, self._topics.replay_runs_topic, self._topics.parked_topic])
        self._check_exist(cluster, [topic, self._topics.replay_runs_topic])
        now_ms = self._clock.epoch_ms()
        topic_id = self._topic_id(topic)  # before its ends
        spans = {p.partition: span for p, span in self._watermarks(topic).items()}
        starts, ends = {p: low for p, (low, _) in spans.items()}, {p: high for p, (_, high) in spans.items()}
        runs = self.runs(cluster.cluster_id)
        others = runs.overlapping(topic_id, starts)
        ended = [run.plan.run_id for run in others if run.state in (RunState.FINISHED, RunState.ABORTED)]
        run_id = request.identity(cluster.cluster_id, topic, topic_id, ends, ended, now_ms)
        before = runs.get(run_id)
        if before is not None:
            return self._resume_planned(before, request, cluster)
        claim = RunClaim(run_id, request.selection, now_ms, starts, ends, topic_id=topic_id)
        earlier = () if request.again else tuple(run.claim for run in others)
        return self._counted(request, claim, earlier, cluster)

    def resume(self, run_id: str) -> PreparedReplay:
        """Return the plan of an earlier run that is not finished. Raises ReplayError and BrokerError."""
        self._check_rights()
        cluster = self._described([self._topics.replay_runs_topic, self._topics.parked_topic])
        self._check_exist(cluster, [self._topics.replay_runs_topic])
        run = self.runs(cluster.cluster_id).resumable(run_id)
        self._check_letters(run.plan)
        return PreparedReplay(run.plan, None, run, _partitions(cluster, self._topics.parked_topic))

    def runs(self, cluster_id: str) -> RunHistory:
        """Return the runs so far."""
        topic = self._topics.replay_runs_topic
        with self._reader(topic) as reader:
            return RunHistory(reader, cluster_id, self._topics.dead_letters)

    def _resume_planned(self, before: RunRecord, request: ReplayRequest, cluster: ClusterDescription) -> PreparedReplay:
        run_id = before.plan.run_id
        if before.state is RunState.FINISHED:
            raise ReplayError(f"The replay {run_id} is finished, so nothing was written; choose another --run-id.")
        if not request.is_of(before.plan):
            raise ReplayError(
                f"There is an unfinished replay {run_id} with another filter or target; choose another --run-id, or "
                f"resume that one: labelwire dlq replay --resume {run_id}"
            )
        self._check_letters(before.plan)
        return PreparedReplay(before.plan, None, before, _partitions(cluster, self._topics.parked_topic))

    def _counted(
        self, request: ReplayRequest, claim: RunClaim, earlier: tuple[RunClaim, ...], cluster: ClusterDescription
    ) -> PreparedReplay:
        topics = self._topics
        if request.canary:
            check_topic_rights(self._settings.kafka, reads=[topics.results])
        results_topic_id = self._topic_id(topics.results) if request.canary else ""
        results = self._watermarks(topics.results) if request.canary else {}
        draft = ReplayPlan(
            claim=claim,
            cluster_id=cluster.cluster_id,
            topic=topics.dead_letters,
            target=request.target,
            parked_topic=topics.parked_topic,
            max_replays=request.max_replays,
            earlier=earlier,
            canary_keys=frozenset(),
            results_ends={partition.partition: end for partition, (_, end) in results.items()},
            counts={},
            results_topic_id=results_topic_id,
        )
        limit = claim.selection.limit
        if limit is not None:
            with self._reader(draft.topic, claim.ends) as reader:
                draft = limit_plan(draft, reader, limit)
        with self._reader(draft.topic, draft.claim.ends) as reader:
            plan, census = take_census(draft, reader, canary=request.canary)
        self._check_letters(plan)
        check_topic_rights(self._settings.kafka, writes=census.needs)
        described = self._described(census.needs)
        check_targets(plan, census, described)
        self._check_targets(census.needs)
        return PreparedReplay(plan, census, None, _partitions(described, topics.parked_topic))

    def _check_rights(self) -> None:
        """Raise BrokerError for a right that is missing; a topic that may not be described would seem not to exist."""
        runs = self._topics.replay_runs_topic
        check_topic_rights(self._settings.kafka, reads=[self._topics.dead_letters, runs], writes=[runs])

    def _check_target(self, target: str | None) -> None:
        if target is not None:
            self._check_targets([target])
            if target == self._topics.parked_topic:
                raise ReplayError(
                    f"The target {target} is the topic of parked letters, which no worker reads; choose another."
                )

    def _check_targets(self, targets: Collection[str]) -> None:
        topics = self._topics
        if topics.dead_letters in targets:
            raise ReplayError(
                f"The target is the dead-letter topic {topics.dead_letters} itself, so the replay would read its own "
                f"letters; choose another, for instance {topics.replay_topic}."
            )
        for name, what in ((topics.results, "results"), (topics.replay_runs_topic, "replay records")):
            if name in targets:
                raise ReplayError(
                    f"The target {name} is the topic of {what}; choose another, such as {topics.replay_topic}."
                )

    def _check_exist(self, cluster: ClusterDescription, topics: Collection[str]) -> None:
        for topic in topics:
            if cluster.topics.get(topic) is None:
                where = self._settings.kafka.bootstrap_servers
                raise ReplayError(
                    f"Kafka at {where} has no topic {topic}, which a replay needs; create it with"
                    " `labelwire topics apply`."
                )

    def _check_letters(self, plan: ReplayPlan) -> None:
        """Raise LettersGoneError where the plan is one for a former topic."""
        if not plan.claim.is_on(self._topic_id(plan.topic)):
            raise LettersGoneError(plan.run_id, plan.topic)

    def _topic_id(self, topic: str) -> str:
        kafka = self._settings.kafka
        return present_topic_ids(kafka.bootstrap_servers, [topic], kafka.client_options())[topic]

    def _described(self, topics: Collection[str]) -> ClusterDescription:
        kafka = self._settings.kafka
        return describe_cluster(kafka.bootstrap_servers, topics, kafka.client_options())

    def _watermarks(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        kafka = self._settings.kafka
        return watermarks(kafka.bootstrap_servers, [topic], kafka.client_options())

    def _reader(self, topic: str, ends: Mapping[int, int] | None = None) -> BoundedReader:
        kafka = self._settings.kafka
        until = {TopicPartition(topic, partition): end for partition, end in (ends or {}).items()}
        return BoundedReader(kafka.bootstrap_servers, [topic], kafka.client_options(), ends=until)


def _partitions(cluster: ClusterDescription, topic: str) -> int:
    limits = cluster.topics.get(topic)
    return 1 if limits is None else limits.partitions
