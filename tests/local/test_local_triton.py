import http.client
import json
import os
import shutil
import signal
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.local.surroundings import write_echo_model
from worker.domain.errors import LocalStackError
from worker.local.python_backend import with_patient_health_checks
from worker.local.triton import TritonServer, answers_ready

pytestmark = pytest.mark.real


def _echo(server: TritonServer, values: list[int]) -> list[int]:
    tensor = {"name": "x", "datatype": "UINT8", "shape": [1, len(values)], "data": values}
    request = urllib.request.Request(  # noqa: S310  (a loopback address)
        f"{server.http_url}/v2/models/echo/infer", json.dumps({"inputs": [tensor]}).encode()
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        data: list[int] = json.load(answer)["outputs"][0]["data"]
    return data


def test_it_answers_and_comes_back_at_the_same_address(
    echo_repository: Path, shared_memory: Callable[[], set[str]]
) -> None:
    with TritonServer(echo_repository) as server:
        addresses = (server.http_url, server.grpc_url, server.metrics_url)
        assert _echo(server, [1, 2, 3]) == [1, 2, 3]
        server.kill()
        assert not server.is_ready()
        assert not shared_memory()
        server.restart()
        assert addresses == (server.http_url, server.grpc_url, server.metrics_url)
        assert _echo(server, [4]) == [4]
        run_dir = server.log_path.parent
    assert not run_dir.exists()
    assert not shared_memory()
    assert not answers_ready(addresses[0])


def test_every_request_gets_its_own_answer_though_the_models_stood_still(echo_repository: Path, tmp_path: Path) -> None:
    values = [[number, number + 1] for number in range(40)]
    with TritonServer(echo_repository, run_dir=tmp_path / "run") as server, ThreadPoolExecutor(8) as clients:
        children = Path(f"/proc/{server.pid}/task").glob("*/children")
        stubs = [int(pid) for listing in children for pid in listing.read_text().split()]
        assert stubs
        for pid in stubs:
            os.kill(pid, signal.SIGSTOP)
        asked = [clients.submit(_echo, server, value) for value in values]
        time.sleep(2.5)
        for pid in stubs:
            os.kill(pid, signal.SIGCONT)
        assert [answer.result() for answer in asked] == values
        assert [_echo(server, value) for value in values] == values


def test_a_library_with_other_waits_than_those_that_are_known_is_refused() -> None:
    waits = b"\x48\x05\x40\x42\x0f\x00" * 8 + bytes.fromhex("40c2667cc2d912fd") * 2
    patient = with_patient_health_checks(waits)
    assert len(patient) == len(waits)
    assert with_patient_health_checks(b"\x90" + waits) == b"\x90" + patient
    with pytest.raises(LocalStackError, match="8 and 1 waits of a second where 8 and 2 are known"):
        with_patient_health_checks(waits[:-8])
    with pytest.raises(LocalStackError, match="9 and 1 waits"):
        with_patient_health_checks(waits[:6] + waits[:-8])


def test_metrics_are_served(triton: TritonServer) -> None:
    with urllib.request.urlopen(triton.metrics_url, timeout=10) as answer:  # noqa: S310
        assert answer.status == http.HTTPStatus.OK
        assert b"nv_inference_request_success" in answer.read()


def test_a_model_that_does_not_load_is_named_and_nothing_runs_on(tmp_path: Path) -> None:
    repository = write_echo_model(tmp_path / "models", "bad", "raise RuntimeError('this model is broken')\n")
    server = TritonServer(repository, run_dir=tmp_path / "run")
    with pytest.raises(LocalStackError, match="this model is broken"):
        server.start()
    with pytest.raises(LocalStackError, match="not running"):
        _ = server.pid


@pytest.mark.parametrize("spaced", ["repository", "run folder"])
def test_a_space_in_its_path_is_refused_where_its_python_backend_would_wait_in_vain(
    echo_repository: Path, tmp_path: Path, spaced: str
) -> None:
    repository, run_dir = echo_repository, tmp_path / "run"
    if spaced == "repository":
        repository = shutil.copytree(echo_repository, tmp_path / "my models")
    else:
        run_dir = tmp_path / "my run"
    server = TritonServer(repository, run_dir=run_dir)
    with pytest.raises(LocalStackError, match=f"{tmp_path}/my .* has a space in its path.*folder without one"):
        server.start()
    with pytest.raises(LocalStackError, match="not running"):
        _ = server.pid


def test_the_profile_chooses_the_config(echo_repository: Path, tmp_path: Path) -> None:
    folder = echo_repository / "echo" / "configs"
    folder.mkdir()
    text = (echo_repository / "echo" / "config.pbtxt").read_text()
    (folder / "small.pbtxt").write_text(text.replace("max_batch_size: 8", "max_batch_size: 3"))
    with TritonServer(echo_repository, run_dir=tmp_path / "run", profile="small") as server:
        url = f"{server.http_url}/v2/models/echo/config"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
            assert json.load(answer)["max_batch_size"] == 3


def test_a_repository_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="nowhere"):
        TritonServer(tmp_path / "nowhere").start()
