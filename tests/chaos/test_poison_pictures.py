"""What the poisonous pictures do, in processes of their own."""

import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from worker.lab.chaos.poison import POISON_PATH, PoisonKind, poisonous

WHITE = np.full((40, 60, 3), 255, np.uint8)
DECODE = "import sys, cv2, numpy as np; print(cv2.imdecode(np.frombuffer(sys.stdin.buffer.read(), np.uint8), 1).shape)"
SIGNALS = {PoisonKind.SEGV: signal.SIGSEGV, PoisonKind.OOM: signal.SIGKILL, PoisonKind.ABORT: signal.SIGABRT}


def picture(extension: str) -> bytes:
    return bytes(cv2.imencode(extension, WHITE)[1].tobytes())


def decoded_elsewhere(encoded: bytes, python_path: str) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "PYTHONPATH": python_path}
    return subprocess.run(
        [sys.executable, "-c", DECODE], input=encoded, env=environment, capture_output=True, check=False
    )


@pytest.mark.parametrize("extension", [".jpg", ".png"])
@pytest.mark.parametrize("kind", list(PoisonKind))
def test_it_ends_a_process_with_the_planted_defect_by_its_signal(kind: PoisonKind, extension: str) -> None:
    ended = decoded_elsewhere(poisonous(picture(extension), kind), str(POISON_PATH))
    assert ended.returncode == -SIGNALS[kind]


def test_the_planted_defect_harms_no_other_picture() -> None:
    ended = decoded_elsewhere(picture(".png"), str(POISON_PATH))
    assert (ended.returncode, ended.stdout) == (0, b"(40, 60, 3)\n")


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_elsewhere_it_is_the_picture_that_it_was_made_of(extension: str) -> None:
    encoded = poisonous(picture(extension), PoisonKind.SEGV)
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == WHITE.shape
