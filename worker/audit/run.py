"""The audit of the topics of one group, as they are now."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

from worker.adapters.clock import SystemClock
from worker.adapters.kafka.offline.bounded_reader import BoundedReader
from worker.adapters.kafka.offline.group_view import KafkaGroupView
from worker.audit.account import account
from worker.audit.consistent_cut import ConsistentCut, find_removals, take_cut
from worker.audit.report import AuditReport
from worker.audit.state import DEFAULT_HORIZON_SECONDS, Scope, opened_state, temporary_state
from worker.domain.errors import BrokerError
from worker.domain.records import Record
from worker.domain.start_position import is_same_topic
from worker.settings import KafkaSettings, TopicSettings

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]

_AT_ONCE = 500
_POLL_SECONDS = 0.5
_PAUSE_SECONDS = 2.0


def audit(
    kafka: KafkaSettings,
    topics: TopicSettings,
    *,
    progress: Progress | None = None,
    offenders: int = 20,
    settle_seconds: float = 60.0,
    state_folder: Path | None = None,
    horizon_seconds: float = DEFAULT_HORIZON_SECONDS,
) -> AuditReport:
    """Read all topics up to a cut and say what became of every job; at most `offenders` are named for each problem.

    With a `state_folder` only what came since the last audit with that folder is read; finished jobs stay in the state
    for `horizon_seconds`. `progress(what, total)` opens a display and gives a function to call with how much of it is
    behind. Waits at most `settle_seconds` for transactions that are open at the cut.
    Raises BrokerError where the broker does not answer, has no topic of jobs or results, or lost a topic meanwhile, and
    AuditStateError where the state cannot be used or is that of another deployment.
    """
    until_ms = SystemClock().epoch_ms()
    view = KafkaGroupView(kafka)
    with temporary_state() if state_folder is None else opened_state(state_folder, horizon_seconds) as state:
        state.claim(Scope.of(view.cluster_id(), kafka.group_id, topics))
        cut = take_cut(view, topics, settle_seconds=settle_seconds)
        state.check(cut)
        with BoundedReader(
            kafka.bootstrap_servers, cut.topics, kafka.client_options(), starts=state.starts, ends=cut.ends
        ) as reader:
            _check_topics(cut, reader.topic_ids)
            report = account(
                _shown(reader, progress),
                cut,
                topics,
                find_removals=partial(find_removals, view, cut.topics, state.starts),
                offenders=offenders,
                state=state,
                until_ms=until_ms,
            )
    return replace(report, notes=_notes(cut, kafka, report))


def audit_until_settled(
    kafka: KafkaSettings,
    topics: TopicSettings,
    *,
    wait_seconds: float,
    progress: Progress | None = None,
    offenders: int = 20,
    state_folder: Path | None = None,
    horizon_seconds: float = DEFAULT_HORIZON_SECONDS,
) -> AuditReport:
    """Repeat the audit until no job is pending or the time is over, and return the last report."""
    deadline = time.monotonic() + wait_seconds
    while True:
        report = audit(
            kafka,
            topics,
            progress=progress,
            offenders=offenders,
            state_folder=state_folder,
            horizon_seconds=horizon_seconds,
        )
        left = deadline - time.monotonic()
        if not report.pending or left <= 0:
            return report
        time.sleep(min(left, _PAUSE_SECONDS))


def _shown(reader: BoundedReader, progress: Progress | None) -> Iterator[Record]:
    display = progress("auditing", reader.total) if progress else contextlib.nullcontext(_ignore)
    with display as show:
        while not reader.finished:
            yield from reader.read(_AT_ONCE, _POLL_SECONDS)
            show(reader.passed)


def _check_topics(cut: ConsistentCut, read: Mapping[str, str]) -> None:
    for topic, topic_id in read.items():
        if not is_same_topic(cut.topic_ids.get(topic, ""), topic_id):
            raise BrokerError(f"The topic {topic} was deleted and created again during the audit; audit again.")


def _ignore(_behind: int) -> None:
    pass


def _notes(cut: ConsistentCut, kafka: KafkaSettings, report: AuditReport) -> tuple[str, ...]:
    notes = [
        f"The position of the group {kafka.group_id} on {partition} is ignored, because {reset}; workers read it from"
        " its beginning, too."
        for partition, reset in sorted(cut.former.items())
    ]
    if not cut.positions and not cut.former and report.jobs:
        notes.append(
            f"The group {kafka.group_id} has committed nothing on these topics: check LABELWIRE_KAFKA__GROUP_ID, and"
            " that workers run."
        )
    if report.strangers:
        notes.append(f"{report.strangers} records on the outcome topics name no job; they are not counted.")
    if report.former:
        notes.append(
            f"{report.former} records belong to jobs of a topic that was deleted and created again; they are not"
            " counted."
        )
    if report.late:
        notes.append(
            f"{report.late} records belong to jobs that an earlier audit had accounted for and that the state has"
            " forgotten; they are not counted, and not compared with the earlier ones."
        )
    return tuple(notes)
