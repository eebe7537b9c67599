"""The audit on a real broker, while things go on."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner

from tests.audit.deployment import Deployment, produce
from worker.audit.run import audit, audit_until_settled
from worker.cli import _app
from worker.domain.errors import BrokerError
from worker.local.kafka import KafkaServer
from worker.settings import TopicSettings

pytestmark = pytest.mark.real


@pytest.fixture
def deployment(kafka: KafkaServer) -> Iterator[Deployment]:
    with contextlib.closing(Deployment(kafka.bootstrap_servers)) as deployment:
        yield deployment


def test_a_live_system_is_cut_with_jobs_pending_and_a_lost_one_named(deployment: Deployment) -> None:
    logs = deployment.logs
    jobs = [logs.job() for _ in range(20)]
    logs.open |= {jobs[n].coordinate for n in (7, 12, 13)}
    for number, job in enumerate(jobs):
        if number not in {7, 11, 12, 13}:  # 11 is done above the base, with nothing to show
            logs.result(job)
    letter = logs.dead_letter(logs.retry(logs.job()))
    logs.open.add(logs.replay(letter).coordinate)
    deployment.write()
    deployment.commit()
    behind: list[int] = []

    @contextlib.contextmanager
    def progress(_what: str, total: int) -> Iterator[Callable[[int], None]]:
        yield behind.append
        assert behind[-1] == total == 40

    report = audit(deployment.kafka, deployment.topics, progress=progress, offenders=1)

    assert (report.jobs, report.completed, report.pending, report.lost) == (21, 16, 4, 1)
    assert (report.dead_letter_records, report.retries, report.replays, report.records) == (1, 1, 1, 40)
    lost = [offender for offender in report.offenders if offender.problem.startswith("lost")]
    assert [(o.origin, o.records) for o in lost] == [(jobs[11].coordinate, (jobs[11].coordinate,))]
    assert not report.is_sound
    assert behind


@pytest.mark.parametrize("transactional", [False, True])
def test_nothing_seems_lost_while_workers_go_on(deployment: Deployment, *, transactional: bool) -> None:
    """Were the ends taken before the positions, jobs that are done meanwhile would seem lost."""
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            jobs = [deployment.logs.job() for _ in range(5)]
            deployment.write()
            results = [deployment.logs.result(job) for job in jobs]
            if transactional:
                deployment.write_in_transaction(results)
            else:
                deployment.write()
                deployment.commit()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        reports, deadline = [audit(deployment.kafka, deployment.topics)], time.monotonic() + 60
        while len(reports) < 8 or reports[-1].completed <= reports[0].completed:
            assert time.monotonic() < deadline, "the worker gets nothing done"
            reports.append(audit(deployment.kafka, deployment.topics))
    finally:
        stopping.set()
        worker.join()
    assert [report.lost + report.unverifiable for report in reports] == [0] * len(reports)
    last = audit(deployment.kafka, deployment.topics)
    assert last.jobs == last.completed == last.result_records > 0


def test_results_of_an_aborted_transaction_are_none(deployment: Deployment) -> None:
    logs = deployment.logs
    jobs = [logs.job() for _ in range(5)]
    deployment.write()
    transaction = deployment.transaction()
    produce(transaction, [logs.result(job) for job in jobs])
    transaction.flush(20)
    transaction.abort_transaction(20)
    deployment.commit()
    report = audit(deployment.kafka, deployment.topics)
    assert (report.lost, report.completed, report.result_records) == (5, 0, 0)


def test_what_an_open_transaction_hides_is_waited_for(deployment: Deployment) -> None:
    logs = deployment.logs
    job = logs.job()
    deployment.write()
    transaction = deployment.transaction()
    produce(transaction, [logs.result(job)])
    transaction.flush(20)
    deployment.commit()  # as the end of a transaction may reach the positions before it reaches the results
    ending = threading.Timer(1.0, transaction.commit_transaction, [20])
    ending.start()
    report = audit(deployment.kafka, deployment.topics)
    ending.join()
    assert (report.completed, report.lost) == (1, 0)
    assert report.is_sound


def test_what_stays_hidden_is_unverifiable_and_not_lost(deployment: Deployment) -> None:
    logs = deployment.logs
    seen, hidden = logs.job(), logs.job()
    logs.result(seen)
    deployment.write()
    stranger = deployment.transaction()
    stranger.produce(deployment.topics.results, b"somebody's", partition=0)
    stranger.flush(20)
    behind = logs.result(hidden)
    deployment.write()  # acknowledged, and not to be read before the transaction ends
    deployment.commit()
    report = audit(deployment.kafka, deployment.topics, settle_seconds=0.5)
    assert (report.completed, report.unverifiable, report.lost) == (1, 1, 0)
    assert any(
        f"{behind.coordinate.topic}/0 hides the records from offset 1 up to" in sentence for sentence in report.gaps
    )
    stranger.abort_transaction(20)
    report = audit(deployment.kafka, deployment.topics)
    assert (report.completed, report.is_sound) == (2, True)


def test_removed_records_are_said_and_never_counted_as_lost(deployment: Deployment) -> None:
    logs = deployment.logs
    jobs = [logs.job() for _ in range(6)]
    for job in jobs[:5]:
        logs.result(job)
    deployment.write()
    deployment.commit()
    deployment.remove_below(deployment.topics.jobs, 2)
    report = audit(deployment.kafka, deployment.topics)
    assert (report.completed, report.unverifiable, report.lost) == (3, 2, 1)
    assert [sentence for sentence in report.gaps if f"{deployment.topics.jobs}/0 below offset 2" in sentence]
    deployment.remove_below(deployment.topics.results, 4)
    report = audit(deployment.kafka, deployment.topics)
    assert (report.completed, report.unverifiable, report.lost) == (1, 3, 0)  # of 0 and 1 nothing is left
    assert len(report.gaps) == 2
    assert not report.is_sound


def test_compacted_results_prove_nothing(kafka: KafkaServer) -> None:
    with contextlib.closing(Deployment(kafka.bootstrap_servers, {"cleanup.policy": "compact,delete"})) as deployment:
        deployment.logs.job()
        deployment.write()
        deployment.commit()
        report = audit(deployment.kafka, deployment.topics)
    assert (report.unverifiable, report.lost) == (1, 0)
    assert any("is compacted" in sentence for sentence in report.gaps)


def test_a_group_that_has_committed_nothing_has_everything_pending_and_is_asked_about(deployment: Deployment) -> None:
    deployment.logs.job()
    deployment.write()
    report = audit(deployment.kafka, deployment.topics)
    assert (report.pending, report.is_sound) == (1, True)
    assert any(deployment.kafka.group_id in note for note in report.notes)


def test_a_misspelt_topic_is_an_error_and_not_an_empty_audit(deployment: Deployment) -> None:
    with pytest.raises(BrokerError, match="has no topic nowhere"):
        audit(deployment.kafka, TopicSettings(jobs="nowhere", results=deployment.topics.results))


def test_it_can_wait_until_nothing_is_pending(deployment: Deployment) -> None:
    logs = deployment.logs
    job = logs.job()
    logs.open.add(job.coordinate)
    deployment.write()
    deployment.commit()

    def finish() -> None:
        logs.result(job)
        deployment.write()

    threading.Timer(1.0, finish).start()
    began = time.monotonic()
    report = audit_until_settled(deployment.kafka, deployment.topics, wait_seconds=30)
    assert (report.pending, report.completed) == (0, 1)
    assert time.monotonic() - began < 20


def test_the_command_fails_where_something_is_lost_or_asked_to_be_complete(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in deployment.environment().items():
        monkeypatch.setenv(name, value)
    logs, command = deployment.logs, CliRunner()
    waiting = logs.job()
    logs.open.add(waiting.coordinate)
    deployment.write()
    deployment.commit()
    assert command.invoke(_app, ["audit"]).exit_code == 0
    assert command.invoke(_app, ["audit", "--complete"]).exit_code == 1
    logs.open.clear()
    deployment.commit()
    ended = command.invoke(_app, ["audit"])
    assert ended.exit_code == 1
    assert f"job {waiting.coordinate}" in ended.output
    as_json = json.loads(command.invoke(_app, ["audit", "--json"]).stdout)
    assert (as_json["jobs"], as_json["lost"], as_json["sound"]) == (1, 1, False)
    assert as_json["offenders"][0]["origin"] == str(waiting.coordinate)
    logs.result(waiting)
    deployment.write()
    assert command.invoke(_app, ["audit", "--complete"]).exit_code == 0


def test_outcomes_of_jobs_that_were_deleted_with_their_topic_are_not_those_of_new_ones(deployment: Deployment) -> None:
    logs = deployment.logs
    former = [logs.job() for _ in range(6)]
    for job in former[:3]:
        logs.result(job)
    logs.dead_letter(logs.retry(former[3]))
    deployment.write()
    deployment.commit()
    deployment.recreate(deployment.topics.jobs)
    jobs = [logs.job() for _ in range(5)]
    logs.result(jobs[4])
    logs.open |= {job.coordinate for job in jobs[:4]}
    deployment.write()
    deployment.commit()

    report = audit(deployment.kafka, deployment.topics)

    # The former job that was tried again has a record that is still there, and is accounted for.
    assert (report.jobs, report.completed, report.dead_lettered, report.pending) == (6, 1, 1, 4)
    assert (report.mismatched, report.duplicates_after_dedup, report.is_sound) == (0, 0, True)
    assert any("3 records" in note and "jobs of a topic that was deleted" in note for note in report.notes)


def test_positions_on_a_topic_that_was_made_anew_count_as_none(deployment: Deployment) -> None:
    logs = deployment.logs
    for _ in range(6):
        logs.result(logs.job())
    logs.topic_ids = deployment.topic_ids()
    deployment.write()
    deployment.commit()
    former = logs.positions()
    deployment.recreate(deployment.topics.jobs)
    deployment.recreate(deployment.topics.results)
    for _ in range(9):
        logs.job()
    deployment.write()
    deployment.commit(former)  # the coordinator removes them in its own time, or never where it is away

    report = audit(deployment.kafka, deployment.topics)

    assert (report.jobs, report.pending, report.lost) == (9, 9, 0)
    assert any(f"{deployment.topics.jobs}/0" in note and "deleted and created again" in note for note in report.notes)


def test_a_topic_that_is_made_anew_during_the_audit_ends_it(deployment: Deployment) -> None:
    logs = deployment.logs
    for _ in range(4):
        logs.result(logs.job())
    deployment.write()
    deployment.commit()

    @contextlib.contextmanager
    def progress(_what: str, _total: int) -> Iterator[Callable[[int], None]]:
        deployment.recreate(deployment.topics.results)
        yield lambda _behind: None

    with pytest.raises(BrokerError, match=f"The topic {deployment.topics.results} .* was deleted"):
        audit(deployment.kafka, deployment.topics, progress=progress)
