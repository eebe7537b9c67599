"""Each record has exactly one outcome, and it is on the broker before the record counts as done."""

import asyncio
import base64
import hashlib
import json
import traceback
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.runtime.parts import BLANK, JOBS, LETTERS, PICTURE, PNG, RESULTS, RETRIES, Parts, in_hand, record
from worker.domain.due_times import due_at_ms
from worker.domain.errors import ErrorCode, JobError
from worker.domain.events import JobDeadLettered, JobFinished, JobRetried
from worker.domain.headers import DerivedHeaders
from worker.domain.outcome import Completed, DeadLettered, Retried
from worker.domain.records import Record
from worker.domain.redaction import MASK, Redaction
from worker.domain.result import LabelText
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits
from worker.runtime.dead_letter_limit import WaitingBounds
from worker.runtime.job import InflightJob
from worker.runtime.job_processor import PreparedJob
from worker.runtime.lifecycle import TOPICS
from worker.runtime.model_client import ModelClient
from worker.testing.backend import fake_models
from worker.testing.clock import ManualClock

JSON = ("content-type", b"application/json")
RECOGNIZER_VERSION = fake_models()["text_recognizer"].version
UNAVAILABLE = JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton is away.")
FAILED = JobError(ErrorCode.INFERENCE_FAILED, "Triton stumbled.")
REJECTED = JobError(ErrorCode.INFERENCE_REJECTED, "Triton refuses the request.")
AWAY = JobError(ErrorCode.BROKER_UNAVAILABLE, "The broker is away.")


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - turn by turn
            await asyncio.sleep(0.001)


async def test_a_picture_ends_as_one_result(parts: Parts) -> None:
    job = in_hand(record(PICTURE, PNG, ("job-id", b"j1"), ("trace", b"\xff")))
    outcome = await parts.delivery().deliver(job)
    assert isinstance(outcome, Completed)
    (written,) = parts.results()
    assert parts.letters() == []
    result = LabelText.model_validate_json(written.value or b"")
    assert result == outcome.result
    assert (result.job_id, result.attempt, result.source.offset) == ("j1", 1, 0)
    assert [line.text for line in result.pages[0].lines] == ["HELLO"]
    headers = dict(written.headers)
    assert written.key == b"key"
    assert headers["trace"] == b"\xff"
    assert headers["content-type"] == b"application/json"
    assert headers["labelwire.job-id"] == b"j1"
    assert headers["labelwire.attempt"] == b"1"
    assert headers["labelwire.origin.topic"] == b"label-images"
    assert len(headers) == len(written.headers)


async def test_a_job_says_when_it_begins_and_whether_it_waited_for_others(parts: Parts) -> None:
    begun = list[tuple[int, bool | None]]()
    jobs = [in_hand(record(offset=offset)) for offset in range(6)]
    for job in jobs:
        job.on_begun = partial(_note_begun, begun, job)
    async with AsyncExitStack() as others:
        for _ in range(3):
            await others.enter_async_context(parts.admission.admitted(1))
        delivered = [asyncio.create_task(parts.delivery().deliver(job)) for job in jobs]
        await asyncio.wait(delivered)
    at_once = [offset for offset, waited in begun if waited is False]
    assert sorted(offset for offset, _ in begun) == list(range(6))
    assert len(at_once) == 1, "one place was free"
    assert not any(job.ahead for job in jobs)


def _note_begun(begun: list[tuple[int, bool | None]], job: InflightJob, waited: bool | None) -> None:  # noqa: FBT001
    begun.append((job.record.coordinate.offset, waited))


@pytest.mark.parametrize("suspect", [False, True])
async def test_a_job_that_fails_before_it_begins_is_not_ahead_any_more(parts: Parts, *, suspect: bool) -> None:
    job = in_hand(record(b"no picture"), suspect=suspect)
    begun = list[tuple[int, bool | None]]()
    job.on_begun = partial(_note_begun, begun, job)
    await parts.delivery().deliver(job)
    assert begun == [(0, None)]


async def test_a_result_has_one_content_type_however_the_jobs_was_written(parts: Parts) -> None:
    await parts.deliver(record(PICTURE, ("Content-Type", b"image/png"), ("own", b"x")))
    written = parts.results()[0]
    assert [value for name, value in written.headers if name.lower() == "content-type"] == [b"application/json"]


@pytest.mark.parametrize("suspect", [False, True])
async def test_a_result_leaves_out_what_is_redacted_wherever_it_was_read(parts: Parts, *, suspect: bool) -> None:
    parts.destination.redaction = Redaction(frozenset({"lines"}))
    await parts.delivery().deliver(in_hand(record(PICTURE), suspect=suspect))
    (written,) = parts.results()
    result = LabelText.model_validate_json(written.value or b"")
    assert [line.text for line in result.pages[0].lines] == [MASK]
    assert b"HELLO" not in (written.value or b"")


async def test_a_dead_letter_names_where_its_payload_stands_if_none_is_copied(parts: Parts) -> None:
    parts.destination.copies_payload = False
    await parts.deliver(record(b"no picture", ("job-id", b"j1")))
    (written,) = parts.letters()
    headers = dict(written.headers)
    assert written.value is None
    assert headers["labelwire.dlq.payload.mode"] == b"reference"
    assert headers["labelwire.dlq.payload.sha256"] == hashlib.sha256(b"no picture").hexdigest().encode()
    assert (headers["labelwire.dlq.source.topic"], headers["job-id"]) == (JOBS.encode(), b"j1")


async def test_a_blank_picture_is_a_result_without_lines(parts: Parts) -> None:
    await parts.deliver(record(BLANK))
    result = LabelText.model_validate_json(parts.results()[0].value or b"")
    assert result.pages[0].lines == ()


async def test_lines_below_the_jobs_own_confidence_are_left_out(parts: Parts) -> None:
    body = {"image_base64": base64.b64encode(PICTURE).decode(), "options": {"min_confidence": 1.0}}
    await parts.deliver(record(json.dumps(body).encode(), JSON))
    result = LabelText.model_validate_json(parts.results()[0].value or b"")
    assert result.pages[0].lines == ()


@pytest.mark.parametrize(
    ("value", "header", "code", "stage"),
    [
        (None, PNG, ErrorCode.JOB_INVALID, "consume"),
        (b"", PNG, ErrorCode.JOB_INVALID, "consume"),
        (b"some text", PNG, ErrorCode.IMAGE_UNSUPPORTED, "decode"),
        (PICTURE[: len(PICTURE) // 2], PNG, ErrorCode.IMAGE_CORRUPT, "decode"),
        (PICTURE, ("content-type", b"text/html"), ErrorCode.JOB_INVALID, "consume"),
        (b'{"job_id": ', JSON, ErrorCode.JOB_INVALID, "consume"),
        (b'{"image_uri": "s3://a", "image_base64": "eA=="}', JSON, ErrorCode.JOB_INVALID, "consume"),
        (b'{"image_uri": "s3://a/b"}', JSON, ErrorCode.URI_FORBIDDEN, "consume"),
    ],
    ids=["null", "empty", "text", "cut", "type", "json", "both", "uri"],
)
async def test_a_wrong_job_ends_as_one_dead_letter(
    parts: Parts, value: bytes | None, header: tuple[str, bytes], code: ErrorCode, stage: str
) -> None:
    sent = record(value, header, ("own", b"\xff\x00"))
    await parts.deliver(sent)
    assert parts.results() == []
    letter = parts.letter()
    assert (letter["error.code"], letter["error.stage"], letter["disposition"]) == (str(code), stage, "permanent")
    assert (letter["payload.mode"], letter["attempt"], letter["group"]) == ("inline", "1", "group")
    assert (letter["source.cluster"], letter["source.offset"]) == ("memory", "0")
    assert letter["payload.sha256"] == hashlib.sha256(value or b"").hexdigest()
    (written,) = parts.letters()
    assert (written.key, written.value) == (sent.key, sent.value)
    assert [pair for pair in written.headers if not pair[0].startswith("labelwire.")] == [*sent.headers]
    assert [event.error_code for event in parts.events.of(JobDeadLettered)] == [code]
    assert [event.outcome for event in parts.events.of(JobFinished)] == ["dead_lettered"]


async def test_a_deadline_that_has_passed_ends_the_job_before_it_is_read(parts: Parts) -> None:
    body = {"image_base64": base64.b64encode(PICTURE).decode(), "deadline": "2020-01-01T00:00:00Z"}
    await parts.deliver(record(json.dumps(body).encode(), JSON))
    assert parts.letter()["error.code"] == "DEADLINE_EXCEEDED"
    assert parts.backend.calls == []


async def test_a_deadline_runs_on_while_the_job_is_tried_again(parts: Parts) -> None:
    parts.backend.broken = UNAVAILABLE
    body = {"image_base64": base64.b64encode(PICTURE).decode(), "deadline": "2023-11-14T22:13:30Z"}
    await parts.deliver(record(json.dumps(body).encode(), JSON))
    assert parts.letter()["error.code"] == "DEADLINE_EXCEEDED"
    assert sum(parts.clock.slept) >= 10


async def test_a_systemic_error_is_waited_for_in_place_and_counts_for_no_attempt(parts: Parts) -> None:
    parts.backend.fail(*[UNAVAILABLE] * 12)
    await parts.deliver(record())
    assert parts.letters() == []
    result = LabelText.model_validate_json(parts.results()[0].value or b"")
    assert result.attempt == 1
    delays = parts.clock.slept
    assert len(delays) == len(parts.events.of(JobRetried)) == 12
    assert all(0.25 * 2**n <= seconds <= 0.5 * 2**n for n, seconds in enumerate(delays[:6]))
    assert all(15 <= seconds <= 30 for seconds in delays[6:])


async def test_a_job_that_may_be_at_fault_goes_to_the_retry_topic_of_its_attempt(parts: Parts) -> None:
    parts.backend.fail(FAILED)
    outcome = await parts.delivery().deliver(in_hand(record(PICTURE, PNG, ("labelwire.attempt", b"1"))))
    assert outcome == Retried(FAILED)
    assert parts.results() == parts.letters() == []
    (written,) = parts.broker.records(RETRIES[1])
    assert (written.key, written.value) == (b"key", PICTURE)
    derived = DerivedHeaders.of(written)
    assert (derived.attempt, derived.origin) == (2, record().coordinate)
    assert derived.due_at_ms is not None
    assert 60_000 <= derived.due_at_ms - parts.clock.epoch_ms() <= 66_000
    assert parts.events.of(JobFinished)[0].outcome == "retried"


def at_its_last_attempt(offset: int = 0) -> InflightJob:
    return in_hand(record(PICTURE, PNG, ("labelwire.attempt", b"3"), offset=offset))


async def test_a_job_that_fails_alone_is_given_up_after_its_last_retry(parts: Parts) -> None:
    parts.backend.fail(FAILED)
    assert await parts.delivery().deliver(at_its_last_attempt()) == DeadLettered(FAILED)
    assert parts.letter()["attempt"] == "4"


async def test_while_all_jobs_fail_none_is_given_up(parts: Parts) -> None:
    delivery = parts.delivery()
    parts.backend.fail(FAILED, FAILED, FAILED)
    await delivery.deliver(in_hand(record(offset=1)))
    assert await delivery.deliver(at_its_last_attempt()) == Retried(FAILED), "it is Triton's fault"
    assert len(parts.broker.records(RETRIES[2])) == 1
    assert await delivery.deliver(at_its_last_attempt(2)) == Retried(FAILED)
    await delivery.deliver(in_hand(record(offset=3)))
    parts.backend.fail(FAILED)
    assert await delivery.deliver(at_its_last_attempt()) == DeadLettered(FAILED), "another one succeeded"


async def test_a_retry_topic_that_does_not_take_a_record_lets_it_wait_in_place(parts: Parts) -> None:
    parts.broker.create_topic(RETRIES[0], 1, 100)
    parts.backend.fail(FAILED)
    await parts.deliver(record())
    assert LabelText.model_validate_json(parts.results()[0].value or b"").attempt == 2
    assert parts.letters() == []
    assert any(seconds >= 5 for seconds in parts.clock.slept)


async def test_a_json_job_keeps_its_id_as_a_retry_and_as_a_dead_letter(parts: Parts) -> None:
    picture = base64.b64encode(PICTURE).decode()
    parts.backend.fail(FAILED)
    await parts.deliver(record(json.dumps({"job_id": "mine", "image_base64": picture}).encode(), JSON))
    (retried,) = parts.broker.records(RETRIES[0])
    await parts.deliver(record(b'{"job_id": "mine too", "image_uri": "s3://a/b"}', JSON, offset=1))
    await parts.deliver(record(b'{"job_id": "no job"', JSON, offset=2))
    letters = parts.letters()
    assert [one.header("labelwire.job-id") for one in (retried, *letters)] == ["mine", "mine too", f"{JOBS}/0/2"]


async def test_where_keys_are_in_order_a_job_is_tried_again_in_place(parts: Parts) -> None:
    parts.policy = replace(parts.policy, in_place=True)
    parts.backend.fail(FAILED, UNAVAILABLE, FAILED)
    await parts.deliver(record())
    result = LabelText.model_validate_json(parts.results()[0].value or b"")
    assert result.attempt == 3
    assert [round(seconds) for seconds in parts.clock.slept if seconds >= 5][:1] == [5]
    assert all(parts.broker.records(topic) == [] for topic in RETRIES)


async def test_over_the_dead_letter_limit_bad_jobs_wait_and_good_ones_go_on(parts: Parts) -> None:
    limited = Parts(parts.executor, clock=ManualClock(sleeps_pass=False), dead_letters_per_minute=2)
    delivery = limited.delivery()
    jobs = [in_hand(record(b"text", offset=offset)) for offset in range(4)]
    delivering = [asyncio.create_task(delivery.deliver(job)) for job in jobs]
    await until(lambda: sum(job.queued for job in jobs) == 2 and len(limited.letters()) == 2)
    assert "2 bad jobs wait" in limited.health.notice
    assert not any(job.working for job in jobs if job.queued), "whoever waits may be handed over"
    await delivery.deliver(in_hand(record(offset=4)))
    assert len(limited.results()) == 1
    for _ in range(61):
        limited.clock.advance(1)
        await asyncio.sleep(0.001)
    await asyncio.gather(*delivering)
    assert len(limited.letters()) == 4
    limited.clock.advance(61)


async def test_a_bad_job_that_finds_no_place_to_wait_goes_round_by_the_slowest_retry_topic(parts: Parts) -> None:
    limited = Parts(
        parts.executor,
        clock=ManualClock(sleeps_pass=False),
        dead_letters_per_minute=1,
        waiting_bounds=WaitingBounds(max_records_in_memory=0),
    )
    delivery = limited.delivery()
    await delivery.deliver(in_hand(record(b"text")))
    outcome = await delivery.deliver(in_hand(record(b"text", offset=1)))
    assert isinstance(outcome, Retried)
    (gone,) = limited.broker.records(RETRIES[2])
    assert gone.value == b"text"
    assert due_at_ms(gone, 1200) >= limited.clock.epoch_ms() + 600_000
    assert "1 bad jobs wait" in limited.health.notice
    assert len(limited.letters()) == 1
    limited.clock.advance(600)
    await delivery.deliver(in_hand(gone))
    assert len(limited.letters()) == 2
    assert dict(limited.letters()[1].headers)["labelwire.dlq.attempt"] == b"2"


async def test_poison_and_what_the_retry_topic_does_not_take_wait_all_the_same(parts: Parts) -> None:
    limited = Parts(
        parts.executor,
        clock=ManualClock(sleeps_pass=False),
        dead_letters_per_minute=1,
        waiting_bounds=WaitingBounds(max_records_in_memory=0),
    )
    limited.broker.create_topic(RETRIES[2], 1, 1000)
    delivery = limited.delivery()
    await delivery.deliver(in_hand(record(b"text")))
    limited.isolation.crash(3)
    poison, large = in_hand(record(offset=1), suspect=True), in_hand(record(b"t" * 2000, offset=2))
    delivering = [asyncio.create_task(delivery.deliver(job)) for job in (poison, large)]
    await until(lambda: poison.queued and large.queued)
    assert "No job is taken until fewer wait." in limited.health.reason
    for _ in range(2):
        limited.clock.advance(61)
        await asyncio.sleep(0.01)
    await asyncio.gather(*delivering)
    assert len(limited.letters()) == 3


async def test_a_job_that_waits_holds_no_pixels(parts: Parts) -> None:
    limited = Parts(parts.executor, clock=ManualClock(sleeps_pass=False), dead_letters_per_minute=1)
    delivery = limited.delivery()
    await delivery.deliver(in_hand(record(b"text")))
    refused = JobError(ErrorCode.INFERENCE_REJECTED, "Triton refuses the request.")
    limited.backend.fail(refused)
    job = in_hand(record(offset=1))
    delivering = asyncio.create_task(delivery.deliver(job))
    await until(lambda: job.queued)
    frames = [frame for frame, _ in traceback.walk_tb(refused.__traceback__)]
    held = [value for frame in frames for value in frame.f_locals.values()]
    assert "infer" in [frame.f_code.co_name for frame in frames]
    assert not any(isinstance(value, np.ndarray | PreparedJob) for value in held)
    limited.clock.advance(61)
    await delivering
    assert limited.events.of(JobDeadLettered)[-1].raised_at, "where it was raised stays known"


async def test_a_suspect_is_read_apart(parts: Parts) -> None:
    await parts.deliver(record(), suspect=True)
    assert parts.isolation.tried == [record().coordinate]
    assert len(parts.results()) == 1


async def test_a_record_that_ends_its_reader_three_times_is_poison(parts: Parts) -> None:
    parts.isolation.crash(3)
    await parts.deliver(record(), suspect=True)
    assert parts.letter()["error.code"] == "POISON"
    await parts.deliver(record(offset=1))
    assert len(parts.results()) == 1


async def test_attempts_go_on_from_those_of_the_record(parts: Parts) -> None:
    await parts.deliver(record(b"text", PNG, ("labelwire.attempt", b"4")))
    assert parts.letter()["attempt"] == "5"


async def test_a_request_that_triton_refuses_is_a_dead_letter_with_the_models(parts: Parts) -> None:
    await parts.reader.refresh()
    parts.backend.fail(REJECTED)
    await parts.deliver(record())
    letter = parts.letter()
    assert (letter["error.code"], letter["error.stage"]) == ("INFERENCE_REJECTED", "read")
    assert f"text_recognizer:{RECOGNIZER_VERSION}" in letter["model.version"]


async def test_an_attempt_that_takes_too_long_is_made_again(parts: Parts) -> None:
    class Slow(ManualClock):
        async def sleep(self, seconds: float) -> None:
            await (asyncio.sleep(5) if seconds == 77 else super().sleep(seconds))

    slow = Parts(parts.executor, clock=Slow(), attempt_seconds=0.15)
    slow.backend = type(parts.backend)(clock=slow.clock, latency_seconds=77)
    slow.reader = ModelClient(slow.backend, slow.pipeline_maker(), lambda picture: read_header(picture, ImageLimits()))
    delivering = asyncio.create_task(slow.deliver(record()))
    await until(lambda: bool(slow.events.of(JobRetried)))
    slow.backend.latency_seconds = 0
    await delivering
    assert slow.events.of(JobRetried)[0].error_code is ErrorCode.ATTEMPT_TIMED_OUT
    assert slow.letters() == []


async def test_a_defect_of_ours_is_one_dead_letter_and_leaks_nothing(parts: Parts) -> None:
    def surprise(_picture: bytes) -> None:
        raise ZeroDivisionError("SECRET TEXT")

    parts.reader = ModelClient(parts.backend, parts.pipeline_maker(), surprise)  # type: ignore[arg-type]
    await parts.deliver(record())
    letter = parts.letter()
    assert (letter["error.code"], letter["error.class"]) == ("INTERNAL", "ZeroDivisionError")
    assert "SECRET" not in " ".join(letter.values())
    (event,) = parts.events.of(JobDeadLettered)
    assert event.raised_at.startswith("test_delivery.py:")
    assert event.raised_at.endswith(" surprise")


@pytest.mark.parametrize("told", [True, False], ids=["the topic told its limit", "it did not"])
async def test_a_result_over_the_limit_is_a_dead_letter(parts: Parts, *, told: bool) -> None:
    parts.broker.create_topic(RESULTS, 1, 1200)
    parts.destination.max_result_bytes = 1200 if told else None
    parts.sink.shows_limits = told
    await parts.deliver(record())
    assert parts.results() == []
    letter = parts.letter()
    assert (letter["error.code"], letter["error.stage"]) == ("RESULT_TOO_LARGE", "publish")
    assert parts.sink.attempts == (1 if told else 2), "what is known to be too large is not sent"
    assert "max.message.bytes" in letter["error.message"]


@pytest.mark.parametrize("told", [True, False], ids=["the topic told its limit", "it did not"])
@pytest.mark.parametrize(
    ("value", "headers"),
    [(b"text" * 2000, (PNG,)), (b"text", (PNG, ("own", b"h" * 8000)))],
    ids=["value", "headers"],
)
async def test_a_dead_letter_over_the_limit_leaves_its_payload_where_it_stands(
    parts: Parts, value: bytes, headers: tuple[tuple[str, bytes], ...], *, told: bool
) -> None:
    for topic, partitions in ((JOBS, 2), (LETTERS, 1)):
        parts.broker.create_topic(topic, partitions, 5000)
    parts.sink.shows_limits = told
    parts.destination.max_dead_letter_bytes = 5000 if told else None
    await parts.deliver(record(value, *headers))
    letter = parts.letter()
    assert (letter["payload.mode"], letter["payload.size"]) == ("reference", str(len(value)))
    assert (letter["source.topic"], letter["source.offset"]) == ("label-images", "0")
    assert parts.letters()[0].value is None
    assert parts.letters()[0].key == (b"key" if len(headers) == 1 else None)


async def test_a_dead_letter_that_no_topic_takes_is_tried_until_one_does(parts: Parts) -> None:
    waiting = Parts(parts.executor, clock=ManualClock(sleeps_pass=False))
    for topic, partitions in ((JOBS, 2), (LETTERS, 1)):
        waiting.broker.create_topic(topic, partitions, 500)
    waiting.destination.max_dead_letter_bytes = 500
    delivering = asyncio.create_task(waiting.deliver(record(b"text")))
    for _ in range(3):
        await waiting.clock.until_sleeping()
        assert not delivering.done()
        waiting.clock.advance(60)
        await asyncio.sleep(0)
    waiting.broker.create_topic(LETTERS, 1, 1_000_000)
    waiting.clock.advance(60)
    await delivering
    assert waiting.letter()["error.code"] == "IMAGE_UNSUPPORTED"


async def test_a_result_over_a_limit_that_was_lowered_waits_until_the_topic_fits(parts: Parts) -> None:
    waiting = Parts(parts.executor, clock=ManualClock(sleeps_pass=False), min_result_bytes=100_000)
    waiting.destination.max_result_bytes = 1_000_000  # as it was
    waiting.broker.create_topic(RESULTS, 1, 500)
    job = in_hand(record())
    delivering = asyncio.create_task(waiting.delivery().deliver(job))
    for _ in range(3):
        await waiting.clock.until_sleeping()
        assert not waiting.health.is_met(TOPICS)
        assert f"{RESULTS} takes messages of 500 bytes" in waiting.health.reason
        waiting.clock.advance(60)
        await asyncio.sleep(0)
    waiting.broker.create_topic(RESULTS, 1, 1_000_000)
    while not delivering.done():
        waiting.clock.advance(60)
        await asyncio.wait([delivering], timeout=0.01)
    assert isinstance(delivering.result(), Completed)
    assert len(waiting.results()) == 1
    assert waiting.letters() == []
    assert waiting.health.ready


async def test_a_result_that_a_raised_limit_takes_is_sent_at_once(parts: Parts) -> None:
    parts.destination.max_result_bytes = 500  # as it was
    await parts.deliver(record())
    assert (len(parts.results()), parts.letters()) == (1, [])
    assert parts.events.of(JobRetried) == []


async def test_a_result_that_is_refused_for_its_size_though_it_fits_is_sent_again(parts: Parts) -> None:
    parts.sink.refuse(*[JobError(ErrorCode.RESULT_TOO_LARGE, "Another of its batch was too large.")] * 5)
    await parts.deliver(record())
    assert (len(parts.results()), parts.letters()) == (1, [])
    assert {event.error_code for event in parts.events.of(JobRetried)} == {ErrorCode.BROKER_UNAVAILABLE}


async def test_a_result_that_is_refused_for_its_size_for_ever_is_a_dead_letter(parts: Parts) -> None:
    parts.sink.refuse(*[JobError(ErrorCode.RESULT_TOO_LARGE, "The producer has a limit of its own.")] * 6)
    await parts.deliver(record())
    assert parts.results() == []
    assert parts.letter()["error.code"] == "RESULT_TOO_LARGE"


async def test_a_dead_letter_that_a_raised_limit_takes_keeps_its_payload(parts: Parts) -> None:
    parts.destination.max_dead_letter_bytes = 5000  # as it was
    await parts.deliver(record(b"text" * 2000))
    assert parts.letter()["payload.mode"] == "inline"


@pytest.mark.parametrize("value", [b"text" * 2000, b"text"], ids=["reference", "small"])
async def test_no_dead_letter_is_cut_for_a_topic_that_takes_less_than_jobs_have(parts: Parts, value: bytes) -> None:
    waiting = Parts(parts.executor, clock=ManualClock(sleeps_pass=False))
    waiting.destination.max_dead_letter_bytes = 1_000_000  # as it was
    waiting.broker.create_topic(LETTERS, 1, 500)
    delivering = asyncio.create_task(waiting.deliver(record(value)))
    await waiting.clock.until_sleeping()
    assert f"{LETTERS} takes messages of 500 bytes" in waiting.health.reason
    waiting.broker.create_topic(LETTERS, 1, 1_000_000)
    while not delivering.done():
        waiting.clock.advance(60)
        await asyncio.wait([delivering], timeout=0.01)
    assert waiting.letter()["payload.mode"] == "inline"


async def test_many_refusals_share_a_look(parts: Parts) -> None:
    waiting = Parts(parts.executor, clock=ManualClock(sleeps_pass=False))
    checks = [asyncio.create_task(waiting.topics.recheck()) for _ in range(20)]
    await waiting.clock.until_sleeping()
    assert (waiting.sink.descriptions, sum(look.done() for look in checks)) == (1, 1)
    checks += [asyncio.create_task(waiting.topics.recheck()) for _ in range(20)]
    await asyncio.sleep(0.01)
    waiting.clock.advance(1)
    assert await asyncio.wait_for(asyncio.gather(*checks), 30) == [""] * 40
    assert waiting.sink.descriptions == 2, "one look served all who asked before it began"


async def test_while_the_sink_is_away_nothing_is_done_and_then_everything_once(parts: Parts) -> None:
    waiting = Parts(parts.executor, clock=ManualClock(sleeps_pass=False))
    waiting.sink.broken = AWAY
    good = asyncio.create_task(waiting.deliver(record()))
    bad = asyncio.create_task(waiting.deliver(record(b"text")))
    for _ in range(20):
        await waiting.clock.until_sleeping(2)
        assert not good.done()
        assert not bad.done()
        waiting.clock.advance(60)
        await asyncio.sleep(0)
    waiting.sink.broken = None
    while not (good.done() and bad.done()):
        waiting.clock.advance(60)
        await asyncio.sleep(0)
    assert len(waiting.results()) == 1
    assert waiting.letter()["error.code"] == "IMAGE_UNSUPPORTED"
    reads = [call for call in waiting.backend.calls if call.model == "text_detector"]
    assert len(reads) == 1, "what was read is not read again because it could not be written"


async def test_a_job_is_done_only_when_its_result_is_acknowledged(parts: Parts) -> None:
    parts.sink.hold()
    delivering = asyncio.create_task(parts.deliver(record()))
    await until(lambda: parts.sink.waiting == 1)
    assert not delivering.done()
    assert parts.events.of(JobFinished) == []
    parts.sink.release()
    await delivering
    assert len(parts.results()) == 1


async def test_a_cancelled_job_has_no_outcome_and_holds_no_place(parts: Parts) -> None:
    parts.sink.hold()
    delivering = asyncio.create_task(parts.deliver(record()))
    await until(lambda: parts.sink.waiting == 1)
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    parts.sink.release()
    assert parts.results() == parts.letters() == []
    assert parts.events.of(JobFinished) == []
    assert (parts.admission.jobs, parts.admission.pixels) == (0, 0)


async def test_a_job_that_waits_for_its_next_attempt_is_not_working_and_holds_no_place(parts: Parts) -> None:
    waiting = Parts(parts.executor, clock=ManualClock(sleeps_pass=False))
    waiting.backend.broken = UNAVAILABLE
    job = in_hand(record())
    delivering = asyncio.create_task(waiting.delivery().deliver(job))
    await waiting.clock.until_sleeping()
    assert not job.working
    assert waiting.admission.jobs == 0
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering


async def test_what_finished_is_told_without_the_text_of_the_label(parts: Parts) -> None:
    await parts.deliver(record())
    (finished,) = parts.events.of(JobFinished)
    assert (finished.outcome, finished.error_code, finished.lane, finished.attempt) == ("completed", None, "small", 1)
    assert finished.age_seconds == pytest.approx(1.0)
    assert len(finished.confidences) == 1
    assert finished.recognizer_version == RECOGNIZER_VERSION
    assert "HELLO" not in repr(parts.events.all)


async def test_outcomes_of_all_kinds_are_one_each(parts: Parts) -> None:
    delivery = parts.delivery()
    values: list[bytes | None] = [PICTURE, None, BLANK, b"text"]
    jobs: list[Record] = [record(value, offset=number) for number, value in enumerate(values)]
    outcomes = await asyncio.gather(*(delivery.deliver(in_hand(job)) for job in jobs))
    assert [type(outcome) for outcome in outcomes] == [Completed, DeadLettered, Completed, DeadLettered]
    assert (len(parts.results()), len(parts.letters())) == (2, 2)
