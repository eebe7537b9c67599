"""Triton comes back with other models, or gets them while it runs: no text is published that mixes two of them.

Judged by a plain consumer: what was drawn must stand in each result.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from confluent_kafka import Consumer
from tritonclient import grpc as triton_grpc

from tests.fleet.workers import Fleet, wait_until
from worker.domain.records import OutgoingRecord
from worker.local.triton import TritonServer
from worker.models.build import build_repository

JOBS = 50
# What differs between two alphabets; the others are the same to the last bit, and so is their version.
MODELS = ("text_recognizer", "text_reader")


@pytest.fixture
def alphabets(model_repository: Path, tmp_path: Path) -> dict[str, Path]:
    """The same models with two alphabets."""
    folders = {"full": tmp_path / "full", "latin": tmp_path / "latin"}
    shutil.copytree(model_repository, folders["full"])
    build_repository("embedded", folders["latin"], alphabet="latin")
    return folders


@pytest.fixture
def served(alphabets: dict[str, Path], tmp_path: Path) -> Iterator[tuple[TritonServer, Callable[[str], None]]]:
    """A Triton that loads models when it is told to, and what puts an alphabet before it."""
    repository = tmp_path / "served"

    def put(alphabet: str) -> None:
        repository.unlink(missing_ok=True)
        repository.symlink_to(alphabets[alphabet])
        for path in repository.rglob("*"):  # Triton loads again only what is newer than what it has
            path.touch()

    put("full")
    flags = ["--model-control-mode=explicit", "--load-model=*"]
    with TritonServer(repository, run_dir=tmp_path / "triton", arguments=flags) as server:
        yield server, put


def submit(fleet: Fleet, numbers: range) -> None:
    records = []
    for number in numbers:
        page = np.full((120, 320, 3), 255, np.uint8)
        cv2.putText(page, f"PARCEL {number:04d}", (20, 70), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
        headers = (("content-type", b"image/png"), ("job-id", b"job-%d" % number))
        records.append(
            OutgoingRecord(fleet.jobs_topic, b"%d" % number, cv2.imencode(".png", page)[1].tobytes(), headers)
        )
    fleet.submit(*records)


def wrong_texts(results: list[bytes]) -> list[str]:
    told = [json.loads(value) for value in results]
    texts = {one["job_id"]: " ".join(line["text"] for line in one["pages"][0]["lines"]) for one in told}
    return [text for job, text in texts.items() if text != f"PARCEL {int(job.removeprefix('job-')):04d}"]


def read_more(consumer: Consumer, results: list[bytes], count: int) -> None:
    deadline = time.monotonic() + 120
    while len(results) < count:
        assert time.monotonic() < deadline, f"only {len(results)} of {count} results came"
        message = consumer.poll(0.2)
        if message is not None:
            assert message.error() is None
            results.append(message.value() or b"")


@pytest.mark.real
@pytest.mark.timeout(300)
def test_other_models_behind_the_same_address_never_give_a_wrong_text(
    make_fleet: Callable[[str], Fleet], served: tuple[TritonServer, Callable[[str], None]]
) -> None:
    triton, put = served
    fleet = make_fleet(triton.grpc_url)
    fleet.create_topics()
    worker = fleet.add_worker(LABELWIRE_LIMITS__MAX_JOBS=str(JOBS))
    wait_until(lambda: worker.probe("/readyz")[0] == 200)
    consumer = Consumer(
        {"bootstrap.servers": fleet.bootstrap_servers, "group.id": "plain", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([fleet.results_topic, fleet.dead_letters_topic])
    results: list[bytes] = []
    try:
        submit(fleet, range(JOBS))
        read_more(consumer, results, 5)
        triton.stop()
        put("latin")
        triton.start()
        read_more(consumer, results, JOBS)
        assert wrong_texts(results) == []
        # Now without any break in the service.
        submit(fleet, range(JOBS, 2 * JOBS))
        read_more(consumer, results, JOBS + 5)
        put("full")
        with triton_grpc.InferenceServerClient(triton.grpc_url) as client:
            for model in MODELS:
                client.load_model(model)
            config = client.get_model_config("text_recognizer").config
        submit(fleet, range(2 * JOBS, 2 * JOBS + 5))
        read_more(consumer, results, 2 * JOBS + 5)
    finally:
        consumer.close()
    assert wrong_texts(results) == []
    last = json.loads(results[-1])["models"]["text_recognizer"]
    assert [int(last["version"])] == config.version_policy.specific.versions
    assert worker.terminate() == 0
