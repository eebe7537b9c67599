"""What is no picture becomes one dead letter with a code and a sentence; the worker goes on."""

import json
import signal
import struct
import zlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from tests.adapters.kafka.raw_client import produce_raw
from tests.fleet.workers import Fleet, read_until, wait_until
from worker.domain.records import OutgoingRecord, Record
from worker.domain.result import LabelText
from worker.local.triton import TritonServer

JPEG = "image/jpeg"


def encoded(extension: str, page: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    return bytes(cv2.imencode(extension, page)[1].tobytes())


def png_that_claims(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


NOISE = np.random.default_rng(7).integers(0, 255, (200, 300, 3), dtype=np.uint8)
WHITE = np.full((300, 200, 3), 255, np.uint8)

BAD: dict[str, tuple[str, bytes | None, str]] = {
    "empty": (JPEG, b"", "JOB_INVALID"),
    "null": (JPEG, None, "JOB_INVALID"),
    "text": (JPEG, b"this is no picture, this is a text", "IMAGE_UNSUPPORTED"),
    "truncated": (JPEG, encoded(".jpg", NOISE)[:20_000], "IMAGE_CORRUPT"),
    "huge": ("image/png", png_that_claims(60_000, 60_000), "IMAGE_TOO_LARGE"),
    "type": ("video/mp4", encoded(".jpg", NOISE), "JOB_INVALID"),
    "json": ("application/json", b'{"image_base64": ', "JOB_INVALID"),
    "both": ("application/json", json.dumps({"image_uri": "s3://a/b", "image_base64": "AA=="}).encode(), "JOB_INVALID"),
    "uri": ("application/json", json.dumps({"image_uri": "https://example.org/a.jpg"}).encode(), "URI_FORBIDDEN"),
    "late": (
        "application/json",
        json.dumps({"image_base64": "AA==", "deadline": "2001-01-01T00:00:00Z"}).encode(),
        "DEADLINE_EXCEEDED",
    ),
}
BLANK = {
    "blank": (JPEG, encoded(".jpg", WHITE)),
    "dot": ("image/png", encoded(".png", WHITE[:1, :1])),
}


@pytest.mark.real
def test_each_bad_job_is_one_dead_letter_and_blank_ones_are_results(
    make_fleet: Callable[[str], Fleet], triton: TritonServer
) -> None:
    fleet = make_fleet(triton.grpc_url)
    fleet.create_topics()
    worker = fleet.add_worker()
    sent = {name: (kind, value) for name, (kind, value, _) in BAD.items()} | BLANK
    unreadable = ((b"content-type", JPEG.encode()), (b"caf\xe9", b"\xff"), (b"job-id", b"names"))
    with fleet.reader(fleet.results_topic, fleet.dead_letters_topic) as reader:
        produce_raw(fleet.bootstrap_servers, fleet.jobs_topic, [unreadable], key=b"\xff\0", value=BLANK["blank"][1])
        fleet.submit(*(job(fleet, name, kind, value) for name, (kind, value) in sent.items()))
        records = read_until(reader, lambda seen: len(seen) >= len(sent) + 1)
        wait_until(lambda: worker.probe("/readyz")[0] == 200)
        assert worker.terminate() == 0
        assert reader.poll(0.5) is None
    letters = {record.header("labelwire.job-id"): record for record in records if in_topic(record, "dlq")}
    names = letters.pop("names")
    assert (names.key, names.value) == (b"\xff\0", BLANK["blank"][1])
    assert names.headers[:3] == (("content-type", JPEG.encode()), ("caf\\xe9", b"\xff"), ("job-id", b"names"))
    assert names.header("labelwire.dlq.error.code") == "JOB_INVALID"
    assert "not UTF-8" in (names.header("labelwire.dlq.error.message") or "")
    assert {name: letter.header("labelwire.dlq.error.code") for name, letter in letters.items()} == {
        name: code for name, (_, _, code) in BAD.items()
    }
    assert all(letter.value == sent[name or ""][1] for name, letter in letters.items())
    assert all((letter.header("labelwire.dlq.error.message") or "").endswith(".") for letter in letters.values())
    results = [LabelText.model_validate_json(record.value or b"") for record in records if in_topic(record, "text")]
    assert {result.job_id: result.pages[0].lines for result in results} == dict.fromkeys(BLANK, ())


def job(fleet: Fleet, name: str, kind: str, value: bytes | None) -> OutgoingRecord:
    return OutgoingRecord(
        fleet.jobs_topic, name.encode(), value, (("content-type", kind.encode()), ("job-id", name.encode()))
    )


def in_topic(record: Record, ending: str) -> bool:
    return record.coordinate.topic.endswith(ending)


@pytest.fixture
def _hangup_counts() -> Iterator[None]:
    """Let a worker get SIGHUP also where this suite runs under nohup, which a worker would respect."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.real
@pytest.mark.usefixtures("_hangup_counts")
def test_a_worker_waits_for_its_servers_and_says_for_what(
    make_fleet: Callable[[str], Fleet], triton: TritonServer
) -> None:
    fleet = make_fleet(triton.grpc_url)
    worker = fleet.add_worker()
    wait_until(lambda: fleet.jobs_topic in worker.probe("/readyz")[1])
    assert worker.probe("/readyz")[0] == 503
    assert worker.probe("/livez")[0] == 200
    fleet.create_topics()
    wait_until(lambda: worker.probe("/readyz")[0] == 200)
    triton.stop()
    wait_until(lambda: "triton" in worker.probe("/readyz")[1])
    with fleet.reader(fleet.results_topic, fleet.dead_letters_topic) as reader:
        fleet.submit(job(fleet, "waiting", *BLANK["blank"]))
        assert reader.poll(2.0) is None
        assert worker.probe("/livez")[0] == 200
        triton.start()
        (record,) = read_until(reader, lambda seen: len(seen) == 1)
    assert record.coordinate.topic == fleet.results_topic
    # As where its terminal closes.
    assert worker.terminate(signal.SIGHUP) == 0
    assert '"kind": "revoked"' in worker.log_path.read_text()
