import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.local.surroundings import Marked, eventually, write_echo_model
from worker.adapters.kafka.admin import describe_topics
from worker.local.detached import Status, read_status
from worker.local.kafka import MAX_RECORD_BYTES
from worker.local.stack import DEFAULT_TOPICS, LocalStack

pytestmark = pytest.mark.real

_CLI = "from worker.cli.local import app; app()"
_STACK = """\
import signal, sys
from pathlib import Path
from worker.local.stack import LocalStack
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
repository, run_dir = map(Path, sys.argv[1:])
with LocalStack(repository, run_dir=run_dir):
    (run_dir / "ready").touch()
    signal.pause()
"""


def _served(url: str) -> dict[str, str]:
    """Return the state of each model of a Triton."""
    request = urllib.request.Request(f"{url}/v2/repository/index", method="POST")  # noqa: S310  (a loopback address)
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return {model["name"]: model["state"] for model in json.load(answer)}


class Cli:
    """`labelwire local` in a folder of its own."""

    def __init__(self, folder: Path, repository: Path, marked: Marked) -> None:
        self.folder = folder
        self._repository = repository
        self._marked = marked

    def run(self, command: str, *options: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._argv(command, *options), env=self._marked.environment, capture_output=True, text=True, check=False
        )

    def start_up(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._up(), env=self._marked.environment, stderr=subprocess.DEVNULL)

    def up(self) -> "subprocess.CompletedProcess[str]":
        return self.run(*self._up()[3:])

    def status(self) -> Status:
        return read_status(self.folder)

    def _up(self) -> list[str]:
        return self._argv("up", "--model-repository", str(self._repository))

    def _argv(self, command: str, *options: str) -> list[str]:
        return [sys.executable, "-c", _CLI, command, "--folder", str(self.folder), *options]


@pytest.fixture
def cli(tmp_path: Path, echo_repository: Path, marked: Marked) -> Cli:
    return Cli(tmp_path / "local", echo_repository, marked)


@pytest.mark.usefixtures("kafka")
def test_up_status_up_down(cli: Cli, marked: Marked) -> None:
    first = cli.up()
    assert first.returncode == 0, first.stderr
    status = cli.status()
    assert status.addresses is not None
    assert status.addresses.kafka_kind == "kafka"
    assert f"export LABELWIRE_TRITON__URL={status.addresses.triton_grpc_url}" in first.stdout
    topics = describe_topics(status.addresses.bootstrap_servers, [topic.name for topic in DEFAULT_TOPICS])
    assert {name: topic.partitions for name, topic in topics.items()} == {
        topic.name: topic.partitions for topic in DEFAULT_TOPICS
    }
    assert topics["label-images"].max_message_bytes == MAX_RECORD_BYTES
    again = cli.up()
    assert "up already" in again.stdout
    assert "run `labelwire local down` first" in again.stderr
    told = cli.run("status", "--json")
    assert (told.returncode, json.loads(told.stdout)["pid"]) == (0, status.pid)
    assert cli.run("down").returncode == 0
    assert not marked.pids()
    assert cli.run("status").returncode == 1
    assert "no local stack" in cli.run("down").stdout


def test_up_serves_the_models_of_two_repositories(tmp_path: Path, echo_repository: Path, marked: Marked) -> None:
    candidate = write_echo_model(tmp_path / "candidate", "echo.v2")
    cli = Cli(tmp_path / "local", echo_repository, marked)
    started = cli.run("up", *("--model-repository", str(echo_repository)), *("--model-repository", str(candidate)))
    assert started.returncode == 0, started.stderr
    addresses = cli.status().addresses
    assert addresses is not None
    assert _served(addresses.triton_http_url) == {"echo": "READY", "echo.v2": "READY"}
    assert cli.run("down").returncode == 0


def test_down_after_the_starter_was_killed(cli: Cli, marked: Marked) -> None:
    starter = cli.start_up()
    assert eventually(lambda: cli.status().phase == "starting")
    starter.kill()
    starter.wait()
    assert eventually(lambda: cli.status().phase == "up")
    assert "is down" in cli.run("down").stdout
    assert not marked.pids()


def test_a_killed_background_process_takes_the_stack_along(cli: Cli, marked: Marked) -> None:
    assert cli.up().returncode == 0
    pid = cli.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not marked.pids())
    assert cli.status().phase == "down"


def test_down_spares_a_stranger_with_the_same_pid(cli: Cli) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    cli.folder.mkdir()
    state = {"phase": "starting", "pid": stranger.pid, "start_time_ticks": 1}
    (cli.folder / "state.json").write_text(json.dumps(state))
    assert "no local stack" in cli.run("down").stdout
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_up_says_why_triton_does_not_start(cli: Cli, echo_repository: Path, marked: Marked) -> None:
    (echo_repository / "echo" / "1" / "model.py").write_text("raise RuntimeError('this model is broken')\n")
    failed = cli.up()
    assert failed.returncode != 0
    assert "this model is broken" in failed.stderr
    assert eventually(lambda: not marked.pids())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_process_of_a_stack(
    echo_repository: Path, tmp_path: Path, marked: Marked, number: signal.Signals
) -> None:
    run_dir = tmp_path / "run"
    argv = [sys.executable, "-c", _STACK, str(echo_repository), str(run_dir)]
    owner = subprocess.Popen(argv, env=marked.environment, start_new_session=True, stderr=subprocess.DEVNULL)
    assert eventually((run_dir / "ready").exists)
    os.killpg(owner.pid, number)
    owner.wait()
    assert eventually(lambda: not marked.pids())


def test_the_mock_cluster_takes_kafkas_place(echo_repository: Path) -> None:
    with LocalStack(echo_repository, real_kafka=False) as stack:
        stack.ensure_topics()
        assert stack.kafka_kind == "mock"
        assert set(describe_topics(stack.bootstrap_servers, ["label-text"])) == {"label-text"}
        assert stack.triton.is_ready()
