"""A picture that there is no memory for is not called damaged, whatever its decoder says."""

import subprocess
import sys
from collections import Counter

import cv2
import pytest
import pyvips

from tests.pipeline.short_of_memory import ENDED, KINDS, STEPS
from worker.domain.errors import ErrorCode, JobError
from worker.pipeline.decode.refusals import is_out_of_memory, telling_lack_of_memory

MAX_ENDED = 3  # where what is left is a few kilobytes from enough


def test_a_picture_without_memory_is_not_damaged() -> None:
    """A real limit: OpenCV says nothing of a progressive JPEG and of a WebP that libjpeg and libwebp had none for."""
    command = [sys.executable, "-m", "tests.pipeline.short_of_memory"]
    told = Counter(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())
    ended = sum(told.pop(f"{kind} {ENDED}", 0) for kind in KINDS)
    assert set(told) == {f"{kind} {end}" for kind in KINDS for end in ("MemoryError", "read")}
    # A process may be ended before it has told what came, or just after.
    assert told.total() <= STEPS * len(KINDS) <= told.total() + ended
    assert ended <= MAX_ENDED


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        pyvips.Error("unable to fetch from region", "VipsJpeg: Insufficient memory (case 4)"),
        pyvips.Error("unable to fetch from region", "vips_tracked: out of memory -- size == 0MB"),
        cv2.error("OpenCV(5) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 1 bytes"),
    ],
)
def test_decoders_say_so_in_their_words(error: Exception) -> None:
    assert is_out_of_memory(error)
    with pytest.raises(MemoryError), telling_lack_of_memory(1):
        raise corrupt() from error


def corrupt() -> JobError:
    return JobError(ErrorCode.IMAGE_CORRUPT, "The picture is damaged.")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory -- size"),  # whose words may be the picture's
        pyvips.Error("unable to call jpegload", "VipsJpeg: premature end of JPEG image"),
        pyvips.Error("unable to call tiffload", "tiff2vips: requested memory size is greater than the limit"),
    ],
)
def test_damage_stays_damage_where_there_is_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)
    with pytest.raises(JobError), telling_lack_of_memory(1 << 20):
        raise corrupt() from error


def test_damage_is_not_told_where_there_is_no_memory_to_tell_it() -> None:
    with pytest.raises(MemoryError, match="to decode the picture in"), telling_lack_of_memory(1 << 60):
        raise corrupt()
