"""Jobs whose pictures lie elsewhere, from their record to their outcome, over a store in memory."""

import asyncio
import hashlib

import pytest

from tests.runtime.parts import FOLDER, LIMITS, PICTURE, RETRIES, URI, Parts, by_uri, in_hand, record
from worker.domain import events
from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.result import LabelText
from worker.runtime.fetch_memory import FetchMemory

OUTAGE = JobError(ErrorCode.URI_UNAVAILABLE, "The store is away.")


def result(parts: Parts) -> LabelText:
    (only,) = parts.results()
    return LabelText.model_validate_json(only.value or b"")


async def test_a_picture_is_fetched_read_and_described(parts: Parts) -> None:
    parts.blobs.put(URI, PICTURE)
    await parts.deliver(by_uri())
    came = result(parts)
    assert [line.text for line in came.pages[0].lines] == ["HELLO"]
    assert came.image.sha256 == hashlib.sha256(PICTURE).hexdigest()
    assert (came.image.size_bytes, came.image.format) == (len(PICTURE), "png")
    assert "fetch" in came.timing_ms
    assert Stage.FETCH in {event.stage for event in parts.events.of(events.StageFinished)}
    assert parts.room.held_bytes == 0


async def test_the_result_id_is_the_same_for_each_attempt_whatever_lies_there(parts: Parts) -> None:
    parts.blobs.put(URI, PICTURE)
    await parts.deliver(by_uri())
    parts.blobs.put(URI, PICTURE + b"\0")
    await parts.deliver(by_uri())
    first, second = (LabelText.model_validate_json(one.value or b"") for one in parts.results())
    assert first.result_id == second.result_id
    assert first.image.sha256 != second.image.sha256


@pytest.mark.parametrize(
    ("uri", "picture", "code", "stage"),
    [
        ("s3://labels/out/a.png", PICTURE, ErrorCode.URI_FORBIDDEN, "consume"),
        (f"{FOLDER}b.png", PICTURE, ErrorCode.URI_NOT_FOUND, "fetch"),
        (URI, bytes(2 * 1024 * 1024), ErrorCode.IMAGE_TOO_LARGE, "fetch"),
        (URI, b"", ErrorCode.IMAGE_CORRUPT, "fetch"),
        (URI, b"no picture", ErrorCode.IMAGE_UNSUPPORTED, "decode"),
        ("http://labels/a.png", PICTURE, ErrorCode.URI_FORBIDDEN, "consume"),
    ],
)
async def test_what_cannot_be_had_is_one_dead_letter(
    parts: Parts, uri: str, picture: bytes, code: ErrorCode, stage: str
) -> None:
    parts.blobs.put(URI, picture)
    await parts.deliver(by_uri(uri))
    letter = parts.letter()
    assert (letter["error.code"], letter["error.stage"], letter["disposition"]) == (str(code), stage, "permanent")
    assert parts.results() == []
    assert parts.room.held_bytes == 0


async def test_an_outage_of_the_store_sends_jobs_to_the_retry_topic_and_convicts_nobody(parts: Parts) -> None:
    parts.blobs.put(URI, PICTURE)
    parts.blobs.fail(*[OUTAGE] * 3)
    jobs = [await parts.deliver(by_uri(offset=offset)) for offset in range(3)]
    again = parts.broker.records(RETRIES[0])
    assert [one.header("labelwire.attempt") for one in again] == ["1"] * 3
    assert parts.letters() == []
    assert not any(job.suspect for job in jobs)
    await parts.deliver(again[0])
    assert result(parts).attempt == 2


async def test_a_suspect_is_fetched_and_read_apart(parts: Parts) -> None:
    parts.blobs.put(URI, PICTURE)
    job = await parts.deliver(by_uri(), suspect=True)
    assert parts.isolation.tried == [by_uri().coordinate]
    assert [line.text for line in result(parts).pages[0].lines] == ["HELLO"]
    assert [str(uri) for uri in parts.blobs.fetched] == [URI]
    assert (parts.room.held_bytes, job.fetched_bytes) == (0, 0)


async def test_a_suspect_that_crashes_thrice_is_poison_and_keeps_its_record(parts: Parts) -> None:
    parts.blobs.put(URI, PICTURE)
    parts.isolation.crash(3)
    await parts.deliver(by_uri(), suspect=True)
    assert (parts.letter()["error.code"], parts.blobs.fetched) == ("POISON", [])
    assert parts.letters()[0].value == by_uri().value


async def test_an_outage_of_the_store_convicts_no_suspect(parts: Parts) -> None:
    parts.blobs.put(URI, PICTURE)
    parts.blobs.fail(OUTAGE)
    await parts.deliver(by_uri(), suspect=True)
    (again,) = parts.broker.records(RETRIES[0])
    assert (again.header("labelwire.attempt"), parts.letters()) == ("1", [])
    await parts.deliver(again, suspect=True)
    assert result(parts).attempt == 2


async def test_a_deadline_ends_the_fetch(parts: Parts) -> None:
    parts.blobs.put(URI, PICTURE)
    parts.room = FetchMemory(1, 1)
    soon = "2023-11-14T22:13:20.050000Z"
    with parts.room.lease() as other:
        await other.grow(1)
        await parts.deliver(by_uri(deadline=soon))
        assert parts.letter()["error.code"] == "DEADLINE_EXCEEDED"
        assert parts.room.held_bytes == 1


async def test_a_job_whose_picture_is_fetched_is_not_ahead_any_more(parts: Parts) -> None:
    parts.blobs.put(URI, PICTURE)
    parts.room = FetchMemory(1, 1)
    job = in_hand(by_uri())
    with parts.room.lease() as other:
        await other.grow(1)
        delivered = asyncio.ensure_future(parts.delivery().deliver(job))
        await asyncio.sleep(0.05)
        assert not delivered.done(), "it waits for room"
        assert not job.ahead
    await delivered


async def test_room_is_held_while_the_picture_is_in_hand_and_others_wait_for_it(parts: Parts) -> None:
    parts.blobs.put(URI, PICTURE)
    parts.room = FetchMemory(len(PICTURE), 4)
    reading = parts.reading()
    with await reading.prepare(by_uri()) as prepared:
        assert (prepared.fetched_bytes, parts.room.held_bytes) == (len(PICTURE), len(PICTURE))
        assert prepared.pixels <= LIMITS.max_pixels
        second = asyncio.ensure_future(reading.prepare(by_uri(offset=1)))
        await asyncio.sleep(0.05)
        assert not second.done()
    with await second:
        assert parts.room.held_bytes == len(PICTURE)
    assert parts.room.held_bytes == 0


async def test_no_more_are_fetched_at_once_than_there_are_turns(parts: Parts) -> None:
    parts.blobs.put(URI, PICTURE)
    parts.room = FetchMemory(len(PICTURE), 2)
    reading = parts.reading()
    begun = [asyncio.ensure_future(reading.prepare(by_uri(offset=offset))) for offset in range(5)]
    await asyncio.sleep(0.1)
    assert len(parts.blobs.fetched) == 3  # one has come, two wait for room
    while begun:
        done, _ = await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            begun.remove(one)
            with one.result() as prepared:
                assert parts.room.held_bytes == prepared.fetched_bytes
    assert parts.room.held_bytes == 0


async def test_a_picture_that_comes_with_its_job_takes_no_room_and_asks_no_store(parts: Parts) -> None:
    with await parts.reading().prepare(record()) as prepared:
        assert (prepared.fetched_bytes, prepared.fetch_seconds) == (0, None)
    assert parts.blobs.fetched == []


def test_fetched_bytes_count_as_held_while_the_job_is_in_hand() -> None:
    job = in_hand(by_uri())
    before = job.size_bytes
    with job.with_fetched(1000):
        assert job.size_bytes == before + 1000
    assert job.size_bytes == before
