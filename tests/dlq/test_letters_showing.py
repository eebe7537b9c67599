"""One letter told whole, and its picture."""

import base64
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from cv2.typing import MatLike

from tests.dlq.letters import JOBS, LETTERS, NOW_MS, job, standing, written
from worker.dlq.inspect.picture import LONG_SIDE_PIXELS, draw_picture
from worker.dlq.inspect.show import format_sections, letter_document
from worker.dlq.letter import DeadLetter
from worker.dlq.lookup import letter_at, newest_named, parse_coordinate
from worker.dlq.payload import original_job
from worker.domain.errors import ErrorCode, LabelwireError
from worker.domain.headers import DerivedHeaders
from worker.domain.records import CONTENT_TYPE_HEADER, Coordinate, OutgoingRecord, Record
from worker.pipeline.options import ImageLimits

HOSTILE = (("tenant", b"acme \x1b[31m"), ("raw", b"\xff\x00\x1b"), ("\x1b]0;name\x07", b"v"))


def letter_of(received: Record, *, code: ErrorCode = ErrorCode.IMAGE_CORRUPT) -> DeadLetter:
    return DeadLetter.of(standing(written(received, code=code), 5))


def text_of(letter: DeadLetter, *, with_values: bool) -> str:
    return "\n".join(
        f"{title}|{name}|{text}"
        for title, pairs in format_sections(letter, with_values=with_values)
        for name, text in pairs
    )


def png(width: int, height: int) -> bytes:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = (0, 0, 255)
    return cv2.imencode(".png", pixels)[1].tobytes()


def opened(encoded: bytes) -> MatLike:
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


def drawing(received: Record, *, code: ErrorCode = ErrorCode.IMAGE_CORRUPT) -> bytes:
    letter = letter_of(received, code=code)
    return draw_picture(letter, original_job(letter, lambda _: None), ImageLimits(max_pixels=10_000_000))


def test_a_letter_tells_what_how_and_where() -> None:
    derived = DerivedHeaders("parcel-1", 1, Coordinate(JOBS, 3, 1), NOW_MS - 60_000, 2, "run-7")
    replayed = replace(job(8), headers=derived.onto(job(8).headers))

    told = text_of(letter_of(replayed), with_values=False)

    assert "Error|message|The picture is damaged: send it again." in told
    assert "Error|code|IMAGE_CORRUPT (permanent), at decode" in told
    assert f"History|origin|{JOBS}/3/1, 2023-11-14 22:12:20Z" in told
    assert f"History|failed at|{JOBS}/0/8 on cluster cluster" in told
    assert "History|attempts|2, from 2023-11-14 22:13:15Z to 2023-11-14 22:13:20Z" in told
    assert "History|replays|2, the last by run run-7" in told
    assert f"History|dead letter|{LETTERS}/0/5" in told


def test_what_a_producer_wrote_is_told_on_request_only() -> None:
    received = job(1, b"picture", ("secret", b"Jane Doe"), key=b"Main Street 5")
    letter = letter_of(received)

    hushed = text_of(letter, with_values=False) + json.dumps(letter_document(letter, with_values=False))
    told = text_of(letter, with_values=True)

    assert "Jane" not in hushed
    assert "Main Street" not in hushed
    assert "Producer|secret|8 B" in hushed
    assert "Producer|secret|Jane Doe" in told
    assert "Producer|key|Main Street 5" in told


def test_nothing_that_a_terminal_obeys_is_told() -> None:
    letter = letter_of(job(1, b"picture", *HOSTILE, key=b"\x1b[2J"))

    told = text_of(letter, with_values=True)

    assert all(line.isprintable() for line in told.split("\n"))
    assert "Producer|tenant|acme \\x1b[31m" in told
    assert "Producer|raw|ff 00 1b (bytes)" in told


def test_the_document_keeps_every_byte_of_the_headers() -> None:
    letter = letter_of(job(1, b"picture", *HOSTILE))

    told = letter_document(letter, with_values=True)

    got = [
        (each["name"], each["text"].encode() if "text" in each else base64.b64decode(each["base64"]))
        for each in told["headers"]
    ]
    assert got == list(letter.record.headers)
    assert all(character.isprintable() for character in json.dumps(told))


def test_a_picture_is_drawn_whole_and_a_large_one_smaller() -> None:
    small = opened(drawing(job(1, png(60, 40))))
    large = opened(drawing(job(1, png(2 * LONG_SIDE_PIXELS, 300))))

    assert small.shape == (40, 60, 3)
    assert small[0, 0].tolist() == [0, 0, 255]
    assert large.shape == (150, LONG_SIDE_PIXELS, 3)


def test_the_picture_of_a_json_job_is_drawn() -> None:
    body = json.dumps({"image_base64": base64.b64encode(png(30, 20)).decode()}).encode()
    received = replace(job(1, body), headers=((CONTENT_TYPE_HEADER, b"application/json"),))

    assert opened(drawing(received)).shape == (20, 30, 3)


def test_a_picture_that_no_header_announces_is_drawn_all_the_same() -> None:
    received = replace(job(1, png(30, 20)), headers=())

    assert opened(drawing(received, code=ErrorCode.JOB_INVALID)).shape == (20, 30, 3)


@pytest.mark.parametrize("value", [b"no picture", b"", None, png(60, 40)[:60]])
def test_what_cannot_be_decoded_is_said(value: bytes | None) -> None:
    with pytest.raises(LabelwireError, match=r"picture of label-images.dlq/0/5 cannot be drawn: The "):
        drawing(job(1, value))


def test_the_limits_come_before_any_pixel() -> None:
    header = png(60, 40)
    bomb = header[:16] + (60_000).to_bytes(4, "big") * 2 + header[24:]

    with pytest.raises(LabelwireError, match="60000 x 60000 pixels, more than the limit"):
        drawing(job(1, bomb))


def test_what_killed_workers_is_not_decoded() -> None:
    with pytest.raises(LabelwireError, match="not decoded here"):
        drawing(job(1, png(60, 40)), code=ErrorCode.POISON)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("label-images.dlq/1/22", Coordinate("label-images.dlq", 1, 22)),
        ("1/22", Coordinate(LETTERS, 1, 22)),
        ("other/1/22", Coordinate("other", 1, 22)),
        ("a/b/1/22", None),
        ("1/-2", None),
        ("0f" * 16, None),
    ],
)
def test_places(name: str, place: Coordinate | None) -> None:
    assert parse_coordinate(name, LETTERS) == place


def test_a_letter_is_found_by_any_of_its_names() -> None:
    derived = DerivedHeaders("parcel-1", 1, Coordinate(JOBS, 3, 1), NOW_MS, 2, "run-7")
    replayed = replace(job(8), headers=derived.onto(job(8).headers))
    topic = [
        standing(written(job(1)), 0),
        standing(written(replayed), 1, at_ms=NOW_MS + 9),
        standing(written(job(2)), 2),
    ]

    names = [DeadLetter.of(topic[1]).id, "parcel-8", f"{JOBS}/3/1", f"{JOBS}/0/8"]

    assert [newest_named(name, LETTERS, topic).record.coordinate.offset for name in names] == [1, 1, 1, 1]
    assert letter_at(topic[2].coordinate, {each.coordinate: each for each in topic}.get).record is topic[2]


def test_of_a_jobs_letters_the_newest_is_meant() -> None:
    topic = [
        standing(written(job(1)), offset, partition=offset, at_ms=NOW_MS + at)
        for offset, at in ((0, 1), (1, 5), (2, 3))
    ]

    assert newest_named("parcel-1", LETTERS, topic).record.coordinate.offset == 1


def test_a_letter_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(LabelwireError, match=r"no dead letter at label-images.dlq/0/3; `labelwire dlq ls`"):
        letter_at(Coordinate(LETTERS, 0, 3), lambda _: None)
    with pytest.raises(LabelwireError, match=r"coordinate \\x1b\[2Jx; `labelwire dlq ls`"):
        newest_named("\x1b[2Jx", LETTERS, [standing(OutgoingRecord(LETTERS, None, b"", ()), 1)])
