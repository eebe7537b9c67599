"""The command `labelwire dlq replay` on a real broker, as a process that is interrupted and killed.

`REPLAY_LETTERS=10000 REPLAY_RATE=500 pytest tests/dlq/test_replay_real.py -s` is the long form, which prints its rates.
"""

import os
import signal
import subprocess
import time
from itertools import pairwise

import pytest

from tests.dlq.replays import Ward, assert_each_once_in_order, jobs
from worker.adapters.kafka.offline.bounded_reader import watermarks
from worker.domain.records import Record

pytestmark = pytest.mark.real
LETTERS = int(os.environ.get("REPLAY_LETTERS", "600"))
RATE = float(os.environ.get("REPLAY_RATE", "300"))
IS_LONG = LETTERS >= 5000
# A process takes longer than this to start, and a transaction never.
_BETWEEN_PROCESSES_MS = 900


def _when_written(ward: Ward, at_least: int, process: "subprocess.Popen[str]", number: int) -> None:
    """Send a signal as soon as so many letters are replayed."""
    deadline = time.monotonic() + 120
    while sum(high for _, high in watermarks(ward.bootstrap_servers, [ward.target]).values()) < at_least:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)


def _rates(replayed: list[Record]) -> list[float]:
    """Return the letters a second of each process, from the first batch's end on."""
    times = sorted(record.timestamp_ms for record in replayed)
    begins = [0, *(n for n, (a, b) in enumerate(pairwise(times), 1) if b - a > _BETWEEN_PROCESSES_MS), len(times)]
    rates = []
    for first, end in pairwise(begins):
        later = [at for at in times[first:end] if at - times[first] > 100]
        rates.append(len(later) / (times[end - 1] - times[first]) * 1000 if later else 0.0)
    return rates


def test_a_replay_that_is_interrupted_and_killed_takes_each_letter_once(ward: Ward) -> None:
    expected = jobs(ward.jobs, LETTERS, keys=LETTERS // 15)
    ward.write(ward.letters(expected))
    how = ("--yes", "--no-canary", "--rate", f"{RATE}")

    first = ward.start(*how, "--run-id", "r1")
    _when_written(ward, LETTERS // 5, first, signal.SIGINT)
    _, problem = first.communicate(timeout=30)
    assert first.returncode == 1
    assert "labelwire dlq replay --resume r1" in problem

    second = ward.start(*how, "--resume", "r1")
    _when_written(ward, LETTERS // 2, second, signal.SIGKILL)
    second.communicate(timeout=30)
    assert second.returncode == -signal.SIGKILL

    third = ward.replay(*how, "--resume", "r1", "--json")

    assert third.code == 0, third.problem
    replayed = ward.read(ward.target)
    assert_each_once_in_order(replayed, expected, "r1")
    assert third.document["outcome"]["counts"]["replayed"] == {"IMAGE_CORRUPT": LETTERS}
    assert 0 < third.document["outcome"]["written"] < LETTERS
    assert [state for _, state in ward.run_states()] == ["begun", "interrupted", "begun", "begun", "finished"]
    rates = _rates(replayed)
    if IS_LONG:
        print(f"{LETTERS} letters at {RATE:g}/s; by process {rates}")  # noqa: T201 - the long form is run for it
        assert rates == pytest.approx([RATE] * 3, rel=0.05)
