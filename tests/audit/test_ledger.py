"""Topics larger than memory."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.audit.histories import TOPICS, Logs
from worker.audit.account import account
from worker.audit.consistent_cut import ConsistentCut
from worker.audit.state import temporary_state
from worker.audit.verdict import AuditEntry, RecordKind
from worker.domain.headers import ORIGIN_OFFSET
from worker.domain.records import CommitPoint, Coordinate, Record, TopicPartition

MEBIBYTE = 1024 * 1024


def _many(jobs: int, lost: set[int]) -> Iterator[Record]:
    """Give as many jobs, then their results in another order, without holding them."""
    logs = Logs()
    job = logs.job(b"picture")
    result = logs.result(job)
    for offset in range(jobs):
        yield replace(job, coordinate=job.coordinate._replace(offset=offset))
    for offset in range(jobs):
        origin = (offset * 7919 + 13) % jobs
        if origin not in lost:
            headers = tuple(
                (name, str(origin).encode() if name == ORIGIN_OFFSET else value) for name, value in result.headers
            )
            yield replace(result, coordinate=result.coordinate._replace(offset=offset), headers=headers)


def _cut(jobs: int) -> ConsistentCut:
    return ConsistentCut(
        {TopicPartition(TOPICS.jobs, 0): CommitPoint(jobs)},
        {TopicPartition(TOPICS.jobs, 0): jobs, TopicPartition(TOPICS.results, 0): jobs},
    )


def test_memory_does_not_grow_with_the_topics() -> None:
    """Four times the records, the same memory; SQLite's own is bounded by the cache it is given."""
    peaks = []
    for jobs in (1_000, 4_000):
        tracemalloc.start()
        lost = {jobs // 3, jobs // 2}
        report = account(_many(jobs, lost), _cut(jobs), TOPICS)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (report.jobs, report.completed, report.lost) == (jobs, jobs - 2, 2)
        assert {offender.origin.offset for offender in report.offenders if offender.problem.startswith("lost")} == lost
    assert peaks[1] < peaks[0] + MEBIBYTE


def test_an_entry_comes_back_as_it_was_and_numbers_of_any_size_fit() -> None:
    entry = AuditEntry(
        origin=Coordinate("elsewhere", 3, 2**63 - 1),
        generation=2**63 - 1,
        kind=RecordKind.RESULT,
        is_root=False,
        done=False,
        attempt=5,
        at=Coordinate(TOPICS.results, 7, 11),
        timestamp_ms=1_700_000_000_000,
        identity=b"i",
        reading=b"r",
        models=b"m",
    )
    with temporary_state() as state:
        ledger = state.ledger()
        ledger.add(entry)
        (chain,) = ledger.histories(lambda _at: True, state.covers)
        assert (chain.origin, chain.generation, chain.results) == (entry.origin, entry.generation, 1)
        assert chain.evidence == (entry.at,)
        assert chain.result_identities == {b"i": entry.at}


def test_headers_with_absurd_numbers_spoil_nothing() -> None:
    logs = Logs()
    job = logs.job()
    absurd = [
        (name, b"9" * 19) if name in {ORIGIN_OFFSET, "labelwire.attempt", "labelwire.replay.count"} else (name, value)
        for name, value in logs.result(job).headers
    ]
    elsewhere = [(name, b"else" if name == "labelwire.origin.topic" else value) for name, value in absurd]
    last = list(logs.records.values())[-1]
    logs.records[last.coordinate] = replace(last, headers=tuple(elsewhere))
    report = logs.audit()
    assert (report.jobs, report.lost, report.unverifiable) == (2, 1, 1)


def test_the_ledger_leaves_no_file_behind(tmp_path: Path) -> None:
    with temporary_state(tmp_path):
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []
