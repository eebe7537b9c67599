"""`labelwire doctor` on a real Triton: as it was built, and with faults planted in it."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from tritonclient import grpc as triton_grpc

from worker.adapters.triton.serving import read_serving
from worker.domain.manifest import dictionary_digest
from worker.local.triton import TritonServer
from worker.models.configs import ModelConfig, read_config, set_parameter, write_config
from worker.settings import TritonSettings

pytestmark = pytest.mark.real

GOLDEN_WIDTHS = {192, 320, 384, 416, 544, 704, 768}
DETECTOR, ORIENTATION, RECOGNIZER, READER = "text_detector", "line_orientation", "text_recognizer", "text_reader"
# An engine that is not warmed up for a size prepares itself when it first meets it.
PREPARES_EACH_SIZE = """
import time


class TritonPythonModel(TritonPythonModel):
    def execute(self, requests):
        self._seen = getattr(self, "_seen", {(960, 960, 3)})
        for request in requests:
            shape = pb_utils.get_input_tensor_by_name(request, "image").shape()[1:]
            if tuple(shape) not in self._seen:
                time.sleep(2.0)
                self._seen.add(tuple(shape))
        return super().execute(requests)
"""
FAILS = """
class TritonPythonModel(TritonPythonModel):
    def _infer(self, tensors):
        raise MemoryError("no room")
"""
NOT_AS_BUILT = "is not what its build wrote: its version does not fit its manifest"


def doctor(*arguments: str, **settings: str) -> tuple[int, str]:
    """Return the exit code, and what is printed, its lines not broken."""
    command = [sys.executable, "-m", "worker", "doctor", *arguments]
    environment = {**os.environ, "COLUMNS": "500", **settings}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


def findings(printed: str) -> list[str]:
    return [line.partition(". ")[2].rstrip() for line in printed.splitlines() if re.match(r"\d+\. ", line)]


def change_manifest(config: ModelConfig, **changes: object) -> None:
    parameter = config.parameters["manifest"]
    parameter.string_value = json.dumps(json.loads(parameter.string_value) | changes)


class FaultyRepository:
    """A copy of the sound models whose configurations and code can be changed."""

    def __init__(self, sound: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(sound, folder)
        for model in (ORIENTATION, RECOGNIZER):  # each width costs the start of a server some time
            with self.changed(model) as config:
                kept = [one for one in config.model_warmup if one.inputs["line"].dims[1] in GOLDEN_WIDTHS]
                del config.model_warmup[:]
                config.model_warmup.extend(kept)

    @contextlib.contextmanager
    def changed(self, model: str) -> Iterator[ModelConfig]:
        """Give a model's configuration, and write it back."""
        path = self.folder / model / "config.pbtxt"
        config = read_config(path)
        yield config
        write_config(config, path)

    def add_code(self, model: str, code: str) -> None:
        """Add code to that of a model."""
        (file,) = (self.folder / model).glob("*/model.py")
        file.write_text(file.read_text(encoding="utf-8") + code, encoding="utf-8")


@dataclass(frozen=True)
class Fault:
    """A fault, in which round it is planted with others, and what is said about it."""

    name: str
    round: str
    said: str


def serve_wrongly(models: FaultyRepository) -> None:
    with models.changed(DETECTOR) as config:
        config.max_batch_size = 2
        config.instance_group[0].count = 1
        former = config.parameters["inference_precision"].string_value
        set_parameter(config, "inference_precision", "bf16" if former == "f32" else "f32")
        change_manifest(config, passed_precisions=["int8"])
    with models.changed(ORIENTATION) as config:
        change_manifest(config, device="gpu")
    with models.changed(RECOGNIZER) as config:
        config.ClearField("dynamic_batching")
        del config.model_warmup[:]


def serve_slowly(models: FaultyRepository) -> None:
    models.add_code(DETECTOR, PREPARES_EACH_SIZE)
    with models.changed(RECOGNIZER) as config:
        config.dynamic_batching.max_queue_delay_microseconds = 5000  # without it nobody expects batches of a CPU
        for tensor in config.input:
            tensor.allow_ragged_batch = False
        dictionary = json.loads(config.parameters["dictionary"].string_value)
        turned = [dictionary[0], *dictionary[2:], dictionary[1]]
        set_parameter(config, "dictionary", json.dumps(turned))
        change_manifest(config, dictionary_sha256=dictionary_digest(turned))


ROUNDS: Mapping[str, Callable[[FaultyRepository], None]] = {"wrong": serve_wrongly, "slow": serve_slowly}
COST = r"\d+% of the server's time: "
FAULTS = [
    Fault("a manifest changed by hand", "wrong", rf"broken promise: text_detector \(and 1 other\) {NOT_AS_BUILT}"),
    Fault("a GPU promised", "wrong", "broken promise: line_orientation runs on the CPU though its manifest says GPU"),
    Fault("another largest batch", "wrong", "broken promise: text_detector computes 2 tiles together at most, though"),
    Fault(
        "another precision", "wrong", "broken promise: text_detector computes in .* though it was built and tested in"
    ),
    Fault("a smaller precision passed", "wrong", COST + "text_detector computes in .* although it .* in INT8, which"),
    Fault("no batches", "wrong", COST + "text_recognizer computes each request alone, however many lines wait"),
    Fault("one instance", "wrong", COST + "text_detector does one thing at a time on the CPU, and requests wait"),
    Fault("no warm-up", "wrong", "only the first requests: text_recognizer is not warmed up: after a start"),
    Fault("a dictionary changed by hand", "slow", f"broken promise: text_recognizer {NOT_AS_BUILT}"),
    Fault("another dictionary", "slow", "broken promise: the golden page was not read: .* did not come back"),
    Fault("batches of one", "slow", COST + r"text_recognizer computes 1\.\d lines at a time although .* in \d widths"),
    Fault("a size not warmed up", "slow", r"only the first requests: text_detector took 2\d+ ms for .* 608 x 1056"),
]


@pytest.fixture(scope="module")
def found(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[int, list[str]]]:
    """Return what the doctor says in a round: one server after another."""

    @cache
    def of_round(name: str) -> tuple[int, list[str]]:
        models = FaultyRepository(model_repository, tmp_path_factory.mktemp(name) / "models")
        ROUNDS[name](models)
        with TritonServer(models.folder, run_dir=tmp_path_factory.mktemp(f"{name}-triton")) as server:
            code, printed = doctor("--url", server.grpc_url)
        return code, findings(printed)

    return of_round


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(fault: Fault, found: Callable[[str], tuple[int, list[str]]]) -> None:
    code, said = found(fault.round)
    assert code == 1
    assert [line for line in said if re.match(fault.said, line)], said


@pytest.mark.parametrize("name", ROUNDS)
def test_nothing_is_found_but_what_was_planted(name: str, found: Callable[[str], tuple[int, list[str]]]) -> None:
    _, said = found(name)
    assert len(said) == sum(fault.round == name for fault in FAULTS), said
    broken = [line.startswith("broken promise") for line in said]
    assert broken == sorted(broken, reverse=True)


def test_a_model_that_fails_and_one_that_is_gone_are_found(
    model_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    models = FaultyRepository(model_repository, tmp_path_factory.mktemp("failing") / "models")
    models.add_code(DETECTOR, FAILS)
    with models.changed(DETECTOR) as config:
        del config.model_warmup[:]
    run_dir = tmp_path_factory.mktemp("failing-triton")
    arguments = ("--model-control-mode=explicit", "--load-model=*")
    with TritonServer(models.folder, run_dir=run_dir, arguments=arguments) as server:
        code, printed = doctor("--url", server.grpc_url)
        with triton_grpc.InferenceServerClient(server.grpc_url) as client:
            client.unload_model(ORIENTATION, unload_dependents=True)
        code_without, printed_without = doctor("--url", server.grpc_url)
    assert (code, code_without) == (1, 1)
    first, *others = findings(printed)
    assert re.fullmatch(r"broken promise: 21 of 21 golden pages failed, the first because .*no room.*\.", first)
    assert len(others) == 1
    assert others[0].startswith("only the first requests: text_detector is not warmed up")
    (missing,) = findings(printed_without)
    assert missing.startswith(
        f"broken promise: Triton at {server.grpc_url} gave no answer for line_orientation: NOT_FOUND"
    )


def test_a_model_that_is_not_there_is_served_in_no_way(triton: TritonServer) -> None:
    assert read_serving(TritonSettings(url=triton.grpc_url), "no_such_model") is None


def test_a_server_that_no_worker_can_use_is_one_finding(triton: TritonServer) -> None:
    code, printed = doctor("--url", triton.grpc_url, LABELWIRE_TRITON__DEVICE="gpu")
    assert code == 1
    assert printed.startswith(
        "1. broken promise: The server's models were built for a cpu, but LABELWIRE_TRITON__DEVICE"
    )
    assert "→ serve a repository of `labelwire models build --profile onnx --device gpu`." in printed


def test_nothing_is_found_on_what_was_built_and_beside_itself_it_is_equal(triton: TritonServer) -> None:
    code, printed = doctor("--compare", triton.grpc_url, triton.grpc_url)
    assert code == 0, printed
    assert printed.count("Nothing was found.") == 2, printed
    assert all(printed.count(f"\n{model}") >= 4 for model in (DETECTOR, ORIENTATION, RECOGNIZER))
    shares = re.search(r"worker (\d+)%, transfer (\d+)%, in queue (\d+)%, copying (\d+)%, computing (\d+)%", printed)
    assert shares is not None
    assert sum(map(int, shares.groups())) == pytest.approx(100, abs=2)
    compared = printed.partition("A beside B")[2]
    assert "Device, precision and input size are the same." in compared
    assert "The text is the same on 1 of 1 pages." in compared
    for what in ("ms computing a tile", "ms computing a line", "ms in all"):
        assert re.search(rf"{what} +[1-9]\d*\.\d \([\d.]+ to [\d.]+\) +[1-9]\d*\.\d \(", compared), compared
