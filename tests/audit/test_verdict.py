"""The rules, one history each."""

from dataclasses import replace

import pytest

from tests.audit.histories import TOPICS, Logs
from worker.audit.account import account
from worker.audit.consistent_cut import ConsistentCut, Gap, input_topics
from worker.audit.report import AuditReport
from worker.domain.headers import ORIGIN_TIMESTAMP
from worker.domain.records import Coordinate

STATES = ("completed", "dead_lettered", "parked", "pending", "lost", "unverifiable")


def states(report: AuditReport) -> dict[str, int]:
    """Return the states that any job is in."""
    assert report.jobs == sum(getattr(report, state) for state in STATES)
    return {state: getattr(report, state) for state in STATES if getattr(report, state)}


def test_a_job_with_a_result_is_completed() -> None:
    logs = Logs()
    logs.result(logs.job())
    report = logs.audit()
    assert states(report) == {"completed": 1}
    assert report.is_sound
    assert report.offenders == ()


def test_a_job_that_is_done_with_nothing_to_show_is_lost_and_named() -> None:
    logs = Logs()
    logs.result(logs.job())
    job = logs.job()
    report = logs.audit()
    assert states(report) == {"completed": 1, "lost": 1}
    assert not report.is_sound
    (offender,) = report.offenders
    assert offender.problem.startswith("lost")
    assert (offender.origin, offender.records) == (job.coordinate, (job.coordinate,))


def test_a_job_that_is_not_done_is_pending_even_below_others_that_are() -> None:
    logs = Logs()
    waiting, finished = logs.job(), logs.job()
    logs.result(finished)
    logs.open.add(waiting.coordinate)
    report = logs.audit()
    assert states(report) == {"completed": 1, "pending": 1}
    assert report.is_sound


def test_a_lost_job_above_the_base_is_known_by_the_map_of_the_commit() -> None:
    logs = Logs()
    waiting, vanished = logs.job(), logs.job()
    logs.open.add(waiting.coordinate)
    report = logs.audit()
    assert states(report) == {"pending": 1, "lost": 1}
    assert [o.origin for o in report.offenders if o.problem.startswith("lost")] == [vanished.coordinate]


def test_a_result_before_the_commit_counts_already() -> None:
    logs = Logs()
    job = logs.job()
    logs.result(job)
    logs.open.add(job.coordinate)
    assert states(logs.audit()) == {"completed": 1}


@pytest.mark.parametrize("topic", input_topics(TOPICS))
def test_an_input_that_is_done_without_successor_is_a_lost_job(topic: str) -> None:
    logs = Logs()
    last = job = logs.job()
    if topic in TOPICS.retry_topics:
        for level in range(1, TOPICS.retry_topics.index(topic) + 2):
            last = logs.retry(last, level)
    elif topic == TOPICS.replay_topic:
        last = logs.replay(logs.dead_letter(job))
    report = logs.audit()
    assert states(report) == {"lost": 1}
    assert last.coordinate.topic == topic
    assert [(o.origin, o.records) for o in report.offenders] == [(job.coordinate, (last.coordinate,))]


def test_the_newest_replay_decides() -> None:
    logs = Logs()
    letter = logs.dead_letter(logs.retry(logs.job()))
    assert states(logs.audit()) == {"dead_lettered": 1}
    replayed = logs.replay(letter)
    logs.open.add(replayed.coordinate)
    assert states(logs.audit()) == {"pending": 1}
    again = logs.dead_letter(logs.retry(replayed, 1))
    assert states(logs.audit()) == {"dead_lettered": 1}
    logs.park(again)
    assert states(logs.audit()) == {"parked": 1}
    report = logs.audit()
    assert (report.retries, report.replays, report.dead_letter_records, report.parked_records) == (2, 1, 2, 1)


def test_a_replay_to_the_origin_is_the_same_job_and_no_new_one() -> None:
    logs = Logs()
    replayed = logs.replay(logs.dead_letter(logs.job()), to_origin=True)
    assert states(logs.audit()) == {"lost": 1}
    logs.result(replayed)
    report = logs.audit()
    assert states(report) == {"completed": 1}
    assert report.replays == 1


def test_a_late_dead_letter_of_an_older_generation_changes_nothing() -> None:
    logs = Logs()
    job = logs.job()
    logs.result(logs.replay(logs.dead_letter(job)))
    logs.dead_letter(job)  # a worker that was thought dead
    report = logs.audit()
    assert states(report) == {"completed": 1}
    assert (report.contradictory, report.dead_letter_records, report.duplicate_dead_letters) == (0, 2, 1)
    assert report.is_sound


def test_repeats_are_dropped_by_their_result_id() -> None:
    logs = Logs()
    job = logs.job()
    for _ in range(3):
        logs.result(job)
    report = logs.audit()
    assert states(report) == {"completed": 1}
    assert (report.result_records, report.duplicates, report.duplicates_after_dedup) == (3, 2, 0)
    assert report.is_sound


def test_a_second_result_id_cannot_be_dropped_and_is_not_of_this_job() -> None:
    logs = Logs()
    job = logs.job()
    logs.result(job)
    other = logs.result(job, result_id="f" * 32)
    report = logs.audit()
    assert (report.duplicates, report.duplicates_after_dedup, report.mismatched) == (1, 1, 1)
    assert not report.is_sound
    assert [o.records for o in report.offenders if o.problem.startswith("mismatched")] == [(other.coordinate,)]


def test_a_result_of_another_jobs_picture_is_named() -> None:
    logs = Logs()
    mine, yours = logs.job(), logs.job()
    result = logs.result(yours)
    swapped = logs.result(mine)
    logs.alter(swapped, result.value or b"")
    report = logs.audit()
    assert states(report) == {"completed": 2}
    assert report.mismatched == 1
    assert [(o.origin, o.records) for o in report.offenders] == [(mine.coordinate, (swapped.coordinate,))]


def test_two_readings_of_one_job_conflict() -> None:
    logs = Logs()
    job = logs.job()
    first, second = logs.result(job, "PARCEL"), logs.result(job, "PARCE1", version="2")
    report = logs.audit()
    assert report.conflicting == 1
    assert not report.is_sound
    assert [o.records for o in report.offenders] == [(first.coordinate, second.coordinate)]


@pytest.mark.parametrize(("version", "conflicting"), [("1", 1), ("2", 0)])
def test_a_job_sent_twice_may_be_read_otherwise_by_other_models_only(version: str, conflicting: int) -> None:
    logs = Logs()
    for text, by in (("PARCEL", "1"), ("PARCE1", version)):
        job = logs.job(b"same picture")
        logs.result(job, text, result_id="a" * 32, version=by)
    assert logs.audit().conflicting == conflicting


def test_completed_and_given_up_is_contradictory_and_the_last_record_decides() -> None:
    logs = Logs()
    one, two = logs.job(), logs.job()
    logs.result(one)
    logs.dead_letter(one)
    logs.dead_letter(two)
    logs.result(two)
    report = logs.audit()
    assert states(report) == {"completed": 1, "dead_lettered": 1}
    assert report.contradictory == 2
    assert not report.is_sound


def test_a_job_that_was_removed_is_unverifiable_and_never_lost() -> None:
    logs = Logs()
    job, kept = logs.job(), logs.job()
    logs.retry(job)
    logs.result(kept)
    logs.remove(job)
    report = logs.audit(Gap(TOPICS.jobs, "Records of label-images were removed."))
    assert states(report) == {"unverifiable": 1, "completed": 1}
    assert report.gaps == ("Records of label-images were removed.",)
    assert not report.is_sound


@pytest.mark.parametrize(
    ("topic", "state"),
    [(TOPICS.results, "unverifiable"), (TOPICS.retry_topics[1], "unverifiable"), (TOPICS.jobs, "lost")],
)
def test_a_missing_outcome_is_not_called_lost_where_outcomes_were_removed(topic: str, state: str) -> None:
    logs = Logs()
    logs.job()
    assert states(logs.audit(Gap(topic, "gone"))) == {state: 1}


def test_jobs_after_the_cut_are_not_counted_with_their_outcomes() -> None:
    logs = Logs()
    logs.result(logs.job())
    cut = logs.cut()
    logs.result(logs.job())
    later = account(logs.records.values(), ConsistentCut(cut.positions, cut.ends), TOPICS)
    assert (later.jobs, later.result_records, later.records) == (1, 1, 4)


def test_strangers_and_unreadable_results_do_not_count_as_outcomes() -> None:
    logs = Logs()
    logs.stranger(TOPICS.results)
    logs.stranger(TOPICS.dead_letters)
    broken = logs.result(logs.job())
    logs.alter(broken, b'{"pages": [')
    report = logs.audit()
    assert states(report) == {"lost": 1}
    assert (report.strangers, report.unreadable, report.result_records) == (2, 1, 0)
    assert any(o.records == (broken.coordinate,) and o.problem.startswith("unreadable") for o in report.offenders)


def test_a_job_of_another_cluster_is_judged_by_what_was_replayed_here() -> None:
    logs = Logs()
    letter = logs.dead_letter(logs.job())
    elsewhere = tuple(
        (name, b"other-images" if name == "labelwire.origin.topic" else value) for name, value in letter.headers
    )
    logs.records = {letter.coordinate: Logs().job().__class__(letter.coordinate, b"k", letter.value, elsewhere, 1)}
    logs.result(logs.replay(logs.records[letter.coordinate]))
    report = logs.audit()
    assert states(report) == {"completed": 1}


def test_at_most_the_asked_number_is_named_and_all_are_counted() -> None:
    logs = Logs()
    for _ in range(9):
        logs.job()
    report = logs.audit(offenders=4)
    assert report.lost == 9
    assert [o.origin for o in report.offenders] == [Coordinate(TOPICS.jobs, 0, n) for n in range(4)]


def test_the_report_for_scripts_has_coordinates_as_text() -> None:
    logs = Logs()
    logs.job()
    shown = logs.audit().to_dict()
    assert shown["lost"] == 1
    assert shown["sound"] is False
    assert shown["offenders"][0]["records"] == ["label-images/0/0"]


def test_what_came_of_a_job_on_a_former_topic_says_nothing_of_the_one_in_its_place() -> None:
    logs = Logs()
    former = [logs.job() for _ in range(3)]
    logs.result(former[0])
    logs.dead_letter(former[1])
    logs.begin_anew(TOPICS.jobs)
    jobs = [logs.job(b"another picture %d" % number) for number in range(4)]
    logs.result(jobs[0])
    logs.open.add(jobs[1].coordinate)
    report = logs.audit()
    assert (report.jobs, report.completed, report.pending, report.lost) == (4, 1, 1, 2)
    assert (report.mismatched, report.duplicates, report.dead_lettered, report.former) == (0, 0, 0, 2)
    assert {offender.origin for offender in report.offenders} == {job.coordinate for job in jobs[1:]}


def test_a_former_job_that_is_still_tried_is_accounted_for_beside_the_one_in_its_place() -> None:
    logs = Logs()
    former = [logs.job() for _ in range(3)]
    retries = [logs.retry(job) for job in former]
    logs.open.add(retries[0].coordinate)
    logs.result(retries[1])
    logs.begin_anew(TOPICS.jobs)
    for number in range(3):
        logs.result(logs.job(b"another picture %d" % number))
    report = logs.audit()
    assert (report.jobs, report.completed, report.pending, report.lost) == (6, 4, 1, 1)
    assert (report.duplicates, report.duplicates_after_dedup, report.former) == (0, 0, 0)


@pytest.mark.parametrize("stated", [b"0", b"", b"long ago", None])
def test_an_outcome_that_does_not_tell_when_its_job_was_written_is_that_of_the_job_in_its_place(
    stated: bytes | None,
) -> None:
    logs = Logs()
    result = logs.result(logs.job())
    headers = [(name, stated if name == ORIGIN_TIMESTAMP else value) for name, value in result.headers]
    told = tuple((name, value) for name, value in headers if value is not None)
    logs.records[result.coordinate] = replace(result, headers=told)
    report = logs.audit()
    assert (report.completed, report.lost, report.former) == (1, 0, 0)
