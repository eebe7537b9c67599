import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.local.surroundings import eventually
from worker.local.cache import CACHE_VARIABLE, cache_root, content_key, provide

_BUILD_AND_HANG = """\
import sys, time
from worker.local.cache import provide
def build(folder):
    (folder / "half").touch()
    time.sleep(300)
provide("thing", "k", build)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def _write_pid(folder: Path) -> None:
    time.sleep(0.3)
    (folder / "builder").write_text(str(os.getpid()))


def _provide(_number: int) -> str:
    return (provide("thing", "k", _write_pid) / "builder").read_text()


def test_the_variable_says_where(cache: Path) -> None:
    assert cache_root() == cache


def test_one_of_many_builds(cache: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        builders = pool.map(_provide, range(3), chunksize=1)
    assert len(set(builders)) == 1
    assert (cache / "thing-k" / "builder").read_text() == builders[0]


def test_a_killed_build_is_done_again(cache: Path) -> None:
    builder = subprocess.Popen([sys.executable, "-c", _BUILD_AND_HANG])
    assert eventually(lambda: any(cache.glob(".*/half")))
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    assert not (cache / "thing-k").exists()
    assert [path.name for path in provide("thing", "k", _write_pid).iterdir()] == ["builder"]


def test_a_failed_build_leaves_no_entry(cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        provide("thing", "k", fail)
    assert not (cache / "thing-k").exists()


def test_the_key_tells_parts_apart() -> None:
    assert content_key("ab", "c") != content_key("a", "bc")
    assert content_key("a") == content_key("a")
