"""Candidates with planted defects beside the models in use, in one real Triton, with real workers and a real Kafka."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import pytest
from confluent_kafka import Producer

from tests.embedded_few import few_static_shapes
from tests.fleet.workers import Fleet, WorkerProcess, read_until, wait_until
from worker.adapters.clock import SystemClock
from worker.domain.job import job_id_in_headers
from worker.local.triton import TritonServer
from worker.models.build import build_repository
from worker.rollouts.control import RolloutControl
from worker.settings import KafkaSettings, TopicSettings

# What a defective build would do, by a file that the test writes: so one server shows all of them.
_PLANTED = """

import time


class _Planted(TritonPythonModel):
    def initialize(self, args):
        super().initialize(args)
        self._defect = Path(args["model_repository"]).parent / "defect.txt"
        parameters = json.loads(args["model_config"])["parameters"]
        self._classes = len(json.loads(parameters.get("dictionary", {}).get("string_value", "[]")))

    def execute(self, requests):
        defect, begun = self._defect.read_text(), time.perf_counter()
        responses = super().execute(requests)
        if defect == "slow":
            time.sleep(2 * (time.perf_counter() - begun))
        return [self._planted(defect, response) for response in responses]

    def _is_due(self, every):
        # Counted over all instances of the model.
        with self._defect.with_name("count.bin").open("ab", buffering=0) as count:
            count.write(b"x")
            return count.tell() % every == 0

    def _planted(self, defect, response):
        outputs = {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
        if self._outputs == ["probability"]:
            if defect == "errors" and self._is_due(20):
                return pb_utils.InferenceResponse(error=pb_utils.TritonError("planted"))
            if defect == "blank" and self._is_due(10):
                outputs["probability"] = np.zeros_like(outputs["probability"])
        if defect == "dictionary" and "token" in outputs:
            token = outputs["token"]
            outputs["token"] = np.where(token > 0, token % (self._classes - 1) + 1, 0).astype(token.dtype)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])


TritonPythonModel = _Planted
"""


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model set v2 that is like the models in use but for what its file defect.txt says."""
    folder = build_repository(few_static_shapes(), tmp_path_factory.mktemp("models") / "v2", model_set="v2")
    for code in folder.glob("*/*/model.py"):
        code.write_text(code.read_text(encoding="utf-8") + _PLANTED, encoding="utf-8")
    (folder / "defect.txt").write_text("none", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def triton(model_repository: Path, candidate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    with TritonServer([model_repository, candidate], run_dir=tmp_path_factory.mktemp("triton")) as server:
        yield server


@dataclass
class Stream:
    """Labels that are submitted at a steady rate until the block ends, and what the workers say meanwhile."""

    fleet: Fleet
    per_second: float
    submitted: int = 0
    differed_seconds: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._submit), threading.Thread(target=self._watch)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _submit(self) -> None:
        producer = Producer({"bootstrap.servers": self.fleet.bootstrap_servers})
        while not self._ended.wait(1 / self.per_second):
            number = self.submitted
            page = np.full((120, 320, 3), 255, np.uint8)
            cv2.putText(page, f"PARCEL {number:05d}", (15, 70), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
            headers: list[tuple[str, str | bytes | None]] = [
                ("content-type", b"image/png"),
                ("job-id", b"job-%d" % number),
            ]
            picture = cv2.imencode(".png", page)[1].tobytes()
            producer.produce(self.fleet.jobs_topic, picture, b"%d" % number, headers=headers)
            self.submitted += 1
        assert producer.flush(30) == 0

    def _watch(self) -> None:
        differ_since: float | None = None
        while not self._ended.wait(0.05):
            ready = [worker for worker in list(self.fleet.workers) if is_ready(worker)]
            shares = {share_of(worker) for worker in ready} - {""}
            if len(shares) <= 1:
                differ_since = None
            elif differ_since is None:
                differ_since = time.monotonic()
            else:
                self.differed_seconds = max(self.differed_seconds, time.monotonic() - differ_since)


def is_ready(worker: WorkerProcess) -> bool:
    with contextlib.suppress(OSError):
        return worker.probe("/readyz")[0] == 200
    return False


def share_of(worker: WorkerProcess) -> str:
    """Return the line of a worker's metrics that tells the candidate's share; empty where it does not answer."""
    with contextlib.suppress(OSError):
        for line in worker.probe("/metrics")[1].splitlines():
            if line.startswith("labelwire_rollout_share "):
                return line
    return ""


def canary(fleet: Fleet, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **fleet.workers[0].environment}
    command = [str(Path(sys.executable).with_name("labelwire")), "canary", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def status(fleet: Fleet) -> dict[str, object]:
    shown = canary(fleet, "status", "--json")
    assert shown.returncode == 0, shown.stderr
    told: dict[str, object] = json.loads(shown.stdout)
    return told


def until_ended(fleet: Fleet, at_each_step: Callable[[], None] | None = None) -> dict[str, object]:
    """Wait for the end of the rollout, and return the status."""
    step = -1
    kafka = KafkaSettings(bootstrap_servers=fleet.bootstrap_servers)
    control = RolloutControl(kafka, TopicSettings(jobs=fleet.jobs_topic).rollouts_topic, "", SystemClock())
    deadline = time.monotonic() + 480
    while (running := control.read().state.running) is not None:
        if at_each_step is not None and running.step != step:
            step = running.step
            at_each_step()
        assert time.monotonic() < deadline, json.dumps(status(fleet), indent=1)
        time.sleep(1)
    return status(fleet)


@pytest.mark.real
@pytest.mark.timeout(1200)
def test_bad_candidates_are_rolled_back_and_an_equal_one_is_promoted(
    make_fleet: Callable[[str], Fleet], triton: TritonServer, candidate: Path
) -> None:
    fleet = make_fleet(triton.grpc_url)
    fleet.create_topics()
    for _ in range(2):
        fleet.add_worker(LABELWIRE_RUNTIME__THREADS="1")
    wait_until(lambda: all(map(is_ready, fleet.workers)))
    killed = 0

    def kill_one() -> None:
        nonlocal killed
        fleet.workers.pop(0).kill()
        killed += 1
        added = fleet.add_worker(LABELWIRE_RUNTIME__THREADS="1")
        wait_until(lambda: is_ready(added))
        wait_until(lambda: share_of(added) == share_of(fleet.workers[0]) != "", timeout_seconds=1)

    reader = fleet.reader(fleet.results_topic, fleet.dead_letters_topic)
    start = ("start", "v2", "--steps", "30,50,100", "--min-jobs", "40", "--min-pairs", "20")
    expected = {
        "dictionary": "characters",
        "slow": "time of a reading",
        "errors": "fail with the candidate alone",
        "blank": "nothing",
    }
    told: dict[str, tuple[int, str]] = {}
    with Stream(fleet, per_second=6) as stream:
        for defect in expected:
            (candidate / "defect.txt").write_text(defect, encoding="utf-8")
            begun = canary(fleet, *start)
            assert begun.returncode == 0, begun.stderr
            ended = until_ended(fleet)
            rollout: dict[str, object] = ended["rollout"]  # type: ignore[assignment]
            jobs = sum(step["jobs"] for step in ended["steps"].values())  # type: ignore[attr-defined]
            told[defect] = (jobs, str(rollout["reason"]))
            assert (rollout["phase"], ended["in_use"]) == ("rolled_back", ""), json.dumps((defect, ended))
        (candidate / "defect.txt").write_text("none", encoding="utf-8")
        assert canary(fleet, *start).returncode == 0
        again = canary(fleet, *start)
        assert (again.returncode, again.stdout) == (1, "")
        assert "A rollout of 'v2' runs" in again.stderr
        ended = until_ended(fleet, kill_one)
    count = stream.submitted
    # What a killed worker had under way is read again, so a job may have two results.
    records = read_until(reader, lambda read: len(set(map(job_id_in_headers, read))) >= count, timeout_seconds=120)

    print(told, f"workers differed for {stream.differed_seconds:.2f} s at most, {count} jobs")  # noqa: T201
    assert {record.coordinate.topic for record in records} == {fleet.results_topic}
    results = [json.loads(record.value or b"") for record in records]
    assert {result["job_id"] for result in results} == {f"job-{number}" for number in range(count)}
    assert (ended["rollout"]["phase"], ended["in_use"]) == ("promoted", "v2"), json.dumps(ended)  # type: ignore[index]
    assert stream.differed_seconds < 1.0
    assert killed == 3
    for defect, words in expected.items():
        jobs, reason = told[defect]
        assert words in reason, (defect, reason)
        assert jobs <= 200, (defect, jobs)
    wrong = [result for result in results if not says_its_number(result)]
    # Only a candidate with another dictionary, or that reads nothing, publishes what is wrong; and not for long.
    assert all(result["model_set"] == "v2" for result in wrong), wrong[:3]
    assert len(wrong) <= told["dictionary"][0] + told["blank"][0]


def says_its_number(result: dict[str, object]) -> bool:
    text = " ".join(line["text"] for line in result["pages"][0]["lines"])  # type: ignore[index]
    return text == f"PARCEL {int(str(result['job_id']).removeprefix('job-')):05d}"
