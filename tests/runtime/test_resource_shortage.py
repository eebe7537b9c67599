"""What a job meets because the process or its machine has run out of something convicts no job."""

import errno
import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import pyvips

from worker.domain.errors import ErrorCode, JobError
from worker.runtime.resource_shortage import with_shortage_named


def corrupt() -> JobError:
    return JobError(ErrorCode.IMAGE_CORRUPT, "The picture is damaged.")


def caused_by(cause: BaseException, *, hidden: bool = False) -> JobError:
    """Return a JobError as an adapter raises it."""
    try:
        try:
            raise cause
        except type(cause) as error:
            raise corrupt() from (None if hidden else error)
    except JobError as raised:
        return raised


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM, errno.EDQUOT])
@pytest.mark.parametrize("hidden", [False, True])
def test_the_systems_refusals_are_seen_through_every_translation(number: int, *, hidden: bool) -> None:
    refusal = OSError(number, os.strerror(number))
    for failure in (refusal, caused_by(refusal, hidden=hidden)):
        found = with_shortage_named(failure)
        assert isinstance(found, JobError)
        assert found.code is ErrorCode.RESOURCES_EXHAUSTED


@pytest.mark.parametrize(
    "failure",
    [
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        RuntimeError("can't start new thread"),
        pyvips.Error("unable to write", "temporary file: No space left on device"),
    ],
)
def test_no_thread_no_process_and_no_disk_are_shortages(failure: Exception) -> None:
    found = with_shortage_named(failure)
    assert isinstance(found, JobError)
    assert found.code is ErrorCode.RESOURCES_EXHAUSTED


@pytest.mark.parametrize(
    "failure",
    [
        caused_by(pyvips.Error("unable to call jpegload", "vips_tracked: out of memory -- size == 120MB")),
        caused_by(MemoryError()),
        cv2.error("OpenCV(5) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 1 bytes"),
    ],
)
def test_a_library_without_memory_sends_the_picture_apart(failure: Exception) -> None:
    assert isinstance(with_shortage_named(failure), MemoryError)


@pytest.mark.parametrize(
    "failure",
    [
        corrupt(),
        ZeroDivisionError(),
        caused_by(OSError("cannot identify image file")),
        caused_by(FileNotFoundError(errno.ENOENT, "No such file")),
        caused_by(socket.gaierror(-2, "Name or service not known")),
        caused_by(pyvips.Error("unable to call jpegload", "VipsJpeg: premature end of JPEG image")),
        # In the words of a job, which may say anything.
        caused_by(ValueError("https://example.org/Too many open files")),
        JobError(ErrorCode.JOB_INVALID, os.strerror(errno.ENOSPC)),
        # A socket that has nothing yet says so on its way to another failure.
        caused_by(BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), hidden=True),
        JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton is away."),
    ],
)
def test_anything_else_stays_what_it_is(failure: Exception) -> None:
    assert with_shortage_named(failure) is failure


def test_a_failure_while_there_is_no_descriptor_proves_nothing() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        found = with_shortage_named(corrupt())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert isinstance(found, JobError)
    assert found.code is ErrorCode.RESOURCES_EXHAUSTED


def test_jobs_wait_while_the_process_may_open_no_files(tmp_path: Path) -> None:
    """A real limit, in a process of its own: every kind of picture, by value, by file and by https."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.runtime.starved", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    told = json.loads(process.stdout)
    assert {code for _, code in told["met"]} == {"RESOURCES_EXHAUSTED"}
    assert len(told["met"]) >= 4
    assert told["early"] == 0
    assert told["results"] == 6
    assert told["letters"] == ["IMAGE_UNSUPPORTED"]
    assert len(told["retries"]) == 1, "nothing listens there, which is another matter"
