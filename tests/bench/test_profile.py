"""A profile counts stacks by the worker's own code on them, and threads as Linux counts them."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from worker.lab.bench.profile.report import ProfileRun, write_report
from worker.lab.bench.profile.sampler import SampledStack, Sampler, parse_stacks
from worker.lab.bench.profile.stages import OUTSIDE, function_of, part_of, seconds_by
from worker.lab.bench.profile.threads import ThreadTimes, since, thread_times
from worker.lab.evaluation.errors import MeasurementError
from worker.local.provision import python_environment

COLLAPSED = """\
thread (1): pixels;x;run (a.py:5);on_cpu (worker/pipeline/stages.py:4);decode (worker/pipeline/decode/jpeg.py:9) 6
thread (1): pixels;x;decode (worker/pipeline/decode/jpeg.py:12);asarray (numpy/core.py:1) 2
thread (1): pixels;x;run (a.py:5);_worker (concurrent/futures/thread.py:81) 12
thread (2): kafka;_poll_once (/opt/app/worker/adapters/kafka/source.py:20) 3
thread (2): kafka;deliver (worker/runtime/delivery.py:9) 1
thread (5): idle;run (worker/cli/run.py:5);select (selectors.py:468) 7
"""
BUSY = """
import threading, time
def worker_spins():
    while True:
        sum(range(1000))
threading.Thread(target=worker_spins, name="spinner", daemon=True).start()
print("ready", flush=True)
time.sleep(60)
"""


def spin(seconds: float) -> None:
    begun = time.thread_time()
    while time.thread_time() - begun < seconds:
        pass


THREADS = {
    1: ThreadTimes("python", 6.0),
    2: ThreadTimes("python", 2.0),
    3: ThreadTimes("rdk:broker1", 1.0),
    4: ThreadTimes("rdk:broker1", 0.5),
    5: ThreadTimes("python", 0.5),
}


def test_the_time_of_threads_is_spread_as_their_samples_that_worked() -> None:
    stacks = list(parse_stacks(COLLAPSED))

    assert seconds_by(part_of, stacks, THREADS) == {
        "pipeline/decode": 6,
        OUTSIDE: 2,
        "adapters/kafka": 1.5,
        "runtime": 0.5,
    }
    assert seconds_by(function_of, stacks, THREADS)["decode (worker/pipeline/decode/jpeg.py)"] == 6
    assert part_of(SampledStack(1, ("f (co_worker/pipeline/decode.py:1)",), 1)) == OUTSIDE
    (begun,) = parse_stacks("thread (6) 1")
    assert part_of(begun) == OUTSIDE
    with pytest.raises(MeasurementError, match="names no thread: 'run"):
        list(parse_stacks("run (a.py:5) 3"))


def test_the_time_of_a_thread_is_its_own() -> None:
    before = thread_times(os.getpid())
    thread = threading.Thread(target=spin, args=(0.3,))
    thread.start()
    number = thread.native_id
    spin(0.1)
    while time.thread_time() < 0.1 or thread.is_alive():
        used = since(thread_times(os.getpid()), before)
        if number in used and used[number].cpu_seconds >= 0.2:
            break
    thread.join()

    assert number is not None
    assert 0.2 <= used[number].cpu_seconds <= 0.35


def test_the_report_adds_up(tmp_path: Path) -> None:
    names = {1: "pixels", 2: "kafka", 5: "idle"}
    run = ProfileRun(100, THREADS, names, list(parse_stacks(COLLAPSED)), "<svg/>", {})

    page = write_report(run, tmp_path)

    measured = json.loads((tmp_path / "profile.json").read_text())
    assert (measured["cpu_ms"], measured["samples"]) == (100, 31)
    assert [(one["name"], one["cpu_ms"]) for one in measured["threads"]] == [
        ("pixels", 60),
        ("kafka", 20),
        ("rdk:broker1 (library)", 15),
        ("idle", 5),
    ]
    assert measured["parts"][0] == {"name": "pipeline/decode", "cpu_seconds": 6, "cpu_ms": 60, "share": 0.6}
    assert sum(one["cpu_ms"] for one in measured["parts"]) == 100
    assert (tmp_path / "flame.svg").read_text() == "<svg/>"
    assert 'href="flame.svg"' in page.read_text()


@pytest.mark.real
def test_a_running_process_is_sampled(tmp_path: Path) -> None:
    program = python_environment("profile").folder / "bin" / "py-spy"
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as busy:
        try:
            assert busy.stdout is not None
            assert busy.stdout.readline() == "ready\n"
            sampler = Sampler(program, busy.pid)
            stacks = sampler.stacks(1, tmp_path / "stacks.txt")
            flame_graph = sampler.flame_graph(1, tmp_path / "flame.svg")
            assert "spinner" in sampler.thread_names().values()
        finally:
            busy.kill()
    assert any("worker_spins" in frame for stack in stacks for frame in stack.frames)
    assert "worker_spins" in flame_graph
    assert "<svg" in flame_graph
    with pytest.raises(MeasurementError, match=f"could not sample process {busy.pid}: "):
        sampler.stacks(1, tmp_path / "stacks.txt")
