"""Logging where nobody reads: on real pipes, in processes of their own where it is about the process.

Each end of a pipe is closed by the object that owns it: threads of other tests may have taken a number that is free.
"""

import fcntl
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import pytest

from worker.adapters.telemetry.standard_error import NonBlockingStream

LOG = """
import logging, sys, time
from worker.adapters.telemetry.logs import configure

configure("info", "json")
begun = time.monotonic()
for number in range({lines}):
    logging.getLogger("labelwire").info("line %d %s", number, "x" * 1000)
print(time.monotonic() - begun, flush=True)
{end}
"""
PIPE_BYTES = 4096


@contextmanager
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """Give a pipe that holds little; its writing end blocks."""
    outlet, inlet = os.pipe()
    with FileIO(outlet) as reading, FileIO(inlet, "w") as writing:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        yield reading, writing


def started(stderr: FileIO, lines: int, end: str = "") -> "subprocess.Popen[str]":
    script = LOG.format(lines=lines, end=end)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=stderr, text=True)


def seconds_of(process: "subprocess.Popen[str]") -> float:
    assert process.stdout is not None
    return float(process.stdout.readline())


@pytest.mark.parametrize("end", ["", "raise ValueError"])
def test_a_pipe_that_nobody_reads_holds_up_neither_work_nor_the_end(end: str) -> None:
    with pipe() as (_, writing), started(writing, 10_000, end) as process:
        assert seconds_of(process) < 10
        begun = time.monotonic()
        assert process.wait(20) == bool(end)
        assert time.monotonic() - begun < 10


def test_when_it_is_read_again_the_dropped_lines_are_counted() -> None:
    end = "time.sleep(1); logging.getLogger('labelwire').info('the last'); time.sleep(1)"
    with pipe() as (reading, writing), started(writing, 10_000, end) as process:
        seconds_of(process)
        writing.close()
        said = reading.readall()
        assert process.wait(20) == 0
    lines = [json.loads(line) for line in said.splitlines()]
    numbered = [line for line in lines if line["event"].startswith("line ")]
    (notice,) = [line for line in lines if "were dropped" in line["event"]]
    assert int(notice["event"].split()[0]) + len(numbered) == 10_000
    assert [line["event"].split()[1] for line in numbered] == [str(number) for number in range(len(numbered))]
    assert [line["event"] for line in lines if line["event"] == "the last"] == ["the last"]


def test_a_reader_that_is_there_gets_everything_also_the_traceback_of_the_end() -> None:
    script = LOG.format(lines=1000, end="raise ValueError('at the end')")
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    lines = ended.stderr.splitlines()
    assert [json.loads(line)["event"].split()[1] for line in lines[:1000]] == [str(number) for number in range(1000)]
    assert lines[-1] == "ValueError: at the end"


def test_a_pipe_that_others_have_made_unblocking_loses_nothing() -> None:
    with pipe() as (reading, writing):
        os.set_blocking(writing.fileno(), False)
        stream = NonBlockingStream(writing.fileno())
        for number in range(100):
            stream.write(f"{number} {'x' * 1000}\n")
        said = b""
        while said.count(b"\n") < 100:
            said += reading.read(1 << 16)
        assert stream.drain(5)
    assert [line.split()[0] for line in said.decode().splitlines()] == [str(number) for number in range(100)]


def test_a_reader_that_is_gone_costs_lines_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    with pipe() as (reading, writing), Path(os.devnull).open("wb") as nowhere, caplog.at_level(logging.WARNING):
        reading.close()
        stream = NonBlockingStream(writing.fileno())
        stream.write("a line\n")
        assert stream.drain(5)
        os.dup2(nowhere.fileno(), writing.fileno())  # it is read again
        stream.write("another\n")
        assert stream.drain(5)
        deadline = time.monotonic() + 5
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [record.getMessage() for record in caplog.records] == [
        "1 log lines were dropped, because standard error was not read in time"
    ]


def test_what_has_no_utf8_is_escaped() -> None:
    with pipe() as (reading, writing):
        stream = NonBlockingStream(writing.fileno())
        assert stream.write("gr\u00fcn \udcff\n") == 7
        assert stream.drain(5)
        assert reading.read(100) == "grün \\udcff\n".encode()
