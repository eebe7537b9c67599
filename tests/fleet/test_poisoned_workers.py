"""Pictures that kill their reader end as dead letters; who is killed from outside takes nobody along."""

import contextlib
from collections.abc import Callable, Collection
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fleet.workers import Fleet, WorkerProcess, read_until, wait_until
from worker.domain.records import OutgoingRecord, Record
from worker.domain.result import LabelText
from worker.lab.chaos.poison import POISON_PATH, PoisonKind, poisonous
from worker.local.triton import TritonServer

GOOD = 40
MIN_MEMORY_BYTES = str(256 * 2**20)  # good pictures have room in it
POISON = {5: (PoisonKind.SEGV, "signal SIGSEGV"), 23: (PoisonKind.OOM, "signal SIGKILL")}


def picture(number: int) -> bytes:
    page = np.full((160, 320, 3), 255, np.uint8)
    cv2.putText(page, f"PARCEL {number:04d}", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    encoded = bytes(cv2.imencode(".png", page)[1].tobytes())
    return poisonous(encoded, POISON[number][0]) if number in POISON else encoded


def job(fleet: Fleet, number: int) -> OutgoingRecord:
    name = f"job-{number}".encode()
    headers = (("content-type", b"image/png"), ("job-id", name))
    return OutgoingRecord(fleet.jobs_topic, name, picture(number), headers)


def numbers(records: Collection[Record], topic: str) -> set[int]:
    """Return which jobs have a record on a topic."""
    names = (record.header("labelwire.job-id") or "" for record in records if record.coordinate.topic == topic)
    return {int(name.removeprefix("job-")) for name in names}


def restarting(worker: WorkerProcess, done: Callable[[list[Record]], bool]) -> Callable[[list[Record]], bool]:
    """Start the worker again whenever it has ended, until `done`."""

    def check(records: list[Record]) -> bool:
        if worker.process.poll() is not None:
            worker.start()
        return done(records)

    return check


def processes_of(fleet: Fleet) -> list[str]:
    """Return the command lines of what runs for a fleet, children included."""
    mark = f"LABELWIRE_KAFKA__GROUP_ID={fleet.prefix}\0".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or belongs to somebody else
            if mark in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text())
    return found


@pytest.mark.real
@pytest.mark.timeout(400)
def test_poisonous_pictures_are_dead_letters_and_their_neighbours_are_read(
    make_fleet: Callable[[str], Fleet], triton: TritonServer
) -> None:
    fleet = make_fleet(triton.grpc_url)
    fleet.create_topics()
    everything = set(range(GOOD + len(POISON)))
    with fleet.reader(fleet.results_topic, fleet.dead_letters_topic) as reader:
        fleet.submit(*(job(fleet, number) for number in everything))
        worker = fleet.add_worker(PYTHONPATH=str(POISON_PATH), LABELWIRE_LIMITS__ISOLATED_MEMORY_BYTES=MIN_MEMORY_BYTES)

        def done(seen: list[Record]) -> bool:
            return numbers(seen, fleet.results_topic) | numbers(seen, fleet.dead_letters_topic) == everything

        records = read_until(reader, restarting(worker, done), 300)
        assert worker.terminate() == 0
    assert numbers(records, fleet.results_topic) == everything - set(POISON)
    letters = [record for record in records if record.coordinate.topic == fleet.dead_letters_topic]
    assert len(letters) == len(POISON)
    for letter in letters:
        (number,) = numbers([letter], fleet.dead_letters_topic)
        assert letter.value == picture(number)
        assert letter.header("labelwire.dlq.error.code") == "POISON"
        assert f"three times ({POISON[number][1]})" in (letter.header("labelwire.dlq.error.message") or "")
    assert processes_of(fleet) == []


@pytest.mark.real
@pytest.mark.timeout(400)
def test_a_worker_that_is_killed_from_outside_convicts_nobody(
    make_fleet: Callable[[str], Fleet], triton: TritonServer
) -> None:
    fleet = make_fleet(triton.grpc_url)
    fleet.create_topics()
    everything = set(range(GOOD + len(POISON)))
    with fleet.reader(fleet.results_topic, fleet.dead_letters_topic) as reader:
        fleet.submit(*(job(fleet, number) for number in everything))
        worker = fleet.add_worker()  # no defect is planted: the poisonous ones are good pictures here
        records: list[Record] = []
        for _ in range(3):
            records += read_until(reader, restarting(worker, lambda seen: len(seen) >= 2))
            worker.kill()
            wait_until(lambda: processes_of(fleet) == [], 5)

        def done(seen: list[Record]) -> bool:
            return numbers([*records, *seen], fleet.results_topic) == everything

        records += read_until(reader, restarting(worker, done), 300)
        assert worker.terminate() == 0
        # What a killed worker had under way may come a second time, also behind the last new result.
        records += iter(lambda: reader.poll(0.5), None)
    assert numbers(records, fleet.dead_letters_topic) == set()
    texts = {
        result.result_id: (result.job_id, tuple(line.text for line in result.pages[0].lines))
        for result in (LabelText.model_validate_json(record.value or b"") for record in records)
    }
    assert len(texts) == len(everything)
