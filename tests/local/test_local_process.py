import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import psutil
import pytest

from tests.local.surroundings import Marked, eventually
from worker.domain.errors import LocalStackError
from worker.local.process import (
    Command,
    SupervisedProcess,
    free_ports,
    last_lines,
    start,
    start_time_ticks,
)
from worker.local.supervisor import SHARED_MEMORY

# A command with a child in its group, one in a session of its own, and a shared memory region.
_FAMILY = "sleep 300 & setsid sleep 300 & touch /dev/shm/$REGION-1; touch $READY; wait"
_PARENT = """\
import os, signal, sys
from pathlib import Path
from worker.local.process import Command, start
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
log, scratch, region = sys.argv[1:]
process = start(Command(["sh", "-c", os.environ["FAMILY"]], Path(log), grace_seconds=2,
                        shared_memory_prefix=region, scratch=Path(scratch)))
try:
    signal.pause()
finally:
    process.stop()
"""


class Family:
    """A parent that has started `_FAMILY`, and all that it can leave behind."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.region = f"labelwire-test-{uuid.uuid4().hex}"
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self._ready = folder / "ready"
        variables = {"FAMILY": _FAMILY, "REGION": self.region, "READY": str(self._ready)}
        self.parent = subprocess.Popen(
            [sys.executable, "-c", _PARENT, str(folder / "log"), str(self.scratch), self.region],
            env={**environment, **variables},
            start_new_session=True,
        )

    def is_ready(self) -> bool:
        return self._ready.exists()

    def has_region(self) -> bool:
        return any(SHARED_MEMORY.glob(f"{self.region}*"))


@pytest.fixture
def family(tmp_path: Path, marked: Marked) -> Family:
    family = Family(tmp_path, marked.environment)
    assert eventually(family.is_ready)
    assert len(marked.pids()) >= 5
    return family


def test_a_killed_parent_leaves_nothing(family: Family, marked: Marked) -> None:
    family.parent.kill()
    family.parent.wait()
    assert eventually(lambda: not marked.pids())
    assert eventually(lambda: not family.scratch.exists())
    assert not family.has_region()


def test_ctrl_c_leaves_nothing(family: Family, marked: Marked) -> None:
    os.killpg(family.parent.pid, signal.SIGINT)
    family.parent.wait()
    assert not marked.pids()
    assert not family.has_region()


def test_a_killed_supervisor_takes_its_command_along(tmp_path: Path, marked: Marked) -> None:
    process = start(Command(["sleep", "300"], tmp_path / "log", marked.environment))
    os.kill(psutil.Process(process.pid).ppid(), signal.SIGKILL)
    process.wait(5)
    assert eventually(lambda: not marked.pids())


def test_a_crashed_command_is_cleared_up_after(tmp_path: Path, marked: Marked) -> None:
    process = start(Command(["sh", "-c", "setsid sleep 300 & wait"], tmp_path / "log", marked.environment))
    assert process.kill() == 128 + signal.SIGKILL
    assert not marked.pids()


def test_stop_kills_what_ignores_the_signal(tmp_path: Path, marked: Marked) -> None:
    ready = tmp_path / "ready"
    script = f"trap '' TERM; touch {ready}; while :; do sleep 1; done"
    process = start(Command(["sh", "-c", script], tmp_path / "log", marked.environment, grace_seconds=0.3))
    assert eventually(ready.exists)
    assert process.stop() == 128 + signal.SIGKILL
    assert not marked.pids()


def test_a_command_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[SupervisedProcess] = []
    thread = threading.Thread(target=lambda: started.append(start(Command(["sleep", "300"], tmp_path / "log"))))
    thread.start()
    thread.join()
    with pytest.raises(subprocess.TimeoutExpired):
        started[0].wait(0.5)
    assert started[0].stop() == 128 + signal.SIGTERM


def test_the_exit_status_and_the_words_are_kept(tmp_path: Path) -> None:
    process = start(Command(["sh", "-c", "echo one; echo two >&2; exit 7"], tmp_path / "log"))
    assert process.wait(10) == 7
    assert process.stop() == 7
    assert last_lines(tmp_path / "log", 2) == "one\ntwo"


def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="no-such-command"):
        start(Command(["no-such-command"], tmp_path / "log"))


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


def test_a_process_that_is_gone_has_no_start_time() -> None:
    child = subprocess.Popen(["true"])
    assert start_time_ticks(os.getpid()) == start_time_ticks(os.getpid()) is not None
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, nobody has asked how
    assert start_time_ticks(child.pid) is None
    child.wait()
    assert start_time_ticks(child.pid) is None
