"""The child process that draws PDF documents, as its parent sees it.

Invariant: one request at a time; a child that did not answer one to its end is never asked again, and a document that
ends it is refused, while the next one gets a new child.
"""

import io
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final, cast

from worker.domain.errors import ErrorCode, JobError, Stage
from worker.pipeline.pdf.child import ANSWER, READY, REQUEST, PdfAnswer, PdfRequest

_PROGRAM: Final = Path(__file__).with_name("child.py")
_START_SECONDS: Final = 60.0
_SILENT_SECONDS: Final = 120.0  # of the clock, over the processor's time, which has a limit of its own
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "LANG")  # no credentials: what draws hostile documents gets none


class _GoneError(Exception):
    """The child ended."""


class _SilentError(Exception):
    """The child says nothing, though it has not used up its time."""


class PdfProcess:
    """Asks a child, which is started by the first request."""

    def __init__(self, silent_seconds: float = _SILENT_SECONDS, program: Path = _PROGRAM) -> None:
        self._silent_seconds = silent_seconds
        self._program = program
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int | None:
        """The child's, while there is one."""
        return self._process.pid if self._process else None

    def ask(
        self, kind: PdfRequest, number: int, size: tuple[int, int], seconds: float, data: bytes
    ) -> tuple[PdfAnswer, bytearray]:
        """Return the child's answer and what it found.

        Raises JobError IMAGE_UNSUPPORTED for a document that takes longer than `seconds` of the processor, more
        memory than the child has, or that PDFium does not survive, ATTEMPT_TIMED_OUT where the machine gave the child
        too little of the processor; MemoryError where the system ended the child. Where no child can be had the
        document is innocent: JobError RESOURCES_EXHAUSTED, OSError.
        """
        with self._turn:
            process = self._running()
            try:
                head = REQUEST.pack(kind, number, *size, seconds, len(data))
                return _exchange(process, head, data, seconds + self._silent_seconds)
            except (_GoneError, OSError) as error:
                process.kill()
                raise _refusal(process.wait(), seconds) from error
            except _SilentError as error:
                process.kill()
                process.wait()
                message = "The process that draws PDF got too little of the processor; the document is drawn again."
                raise JobError(ErrorCode.ATTEMPT_TIMED_OUT, message, stage=Stage.DECODE) from error
            except BaseException:
                process.kill()
                process.wait()  # or the next one would find it alive and ask it
                raise

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._close_pipes()
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", str(self._program)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                process_group=0,  # Ctrl-C is the worker's
            )
            self._await_ready(self._process)
        return self._process

    def _await_ready(self, process: "subprocess.Popen[bytes]") -> None:
        try:
            _received(process, len(READY), _START_SECONDS)
        except BaseException as error:
            process.kill()
            status = process.wait()
            self._close_pipes()
            self._process = None
            if not isinstance(error, _GoneError | _SilentError):
                raise
            message = f"The process that draws PDF did not become ready (exit status {status}); it is started again."
            raise JobError(ErrorCode.RESOURCES_EXHAUSTED, message, stage=Stage.DECODE) from error

    def close(self) -> None:
        """End the child, if there is one."""
        with self._turn:
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                self._close_pipes()
                self._process = None

    def _close_pipes(self) -> None:
        if self._process is not None and self._process.stdin and self._process.stdout:
            self._process.stdin.close()
            self._process.stdout.close()


def _exchange(
    process: "subprocess.Popen[bytes]", head: bytes, data: bytes, silent_seconds: float
) -> tuple[PdfAnswer, bytearray]:
    requests = cast("io.FileIO", process.stdin)
    for part in (memoryview(head), memoryview(data)):
        written = 0
        while written < len(part):
            written += requests.write(part[written:]) or 0
    kind, size_bytes = ANSWER.unpack(_received(process, ANSWER.size, silent_seconds))
    return PdfAnswer(kind), _received(process, size_bytes, silent_seconds)


def _received(process: "subprocess.Popen[bytes]", size_bytes: int, silent_seconds: float) -> bytearray:
    answers = cast("io.FileIO", process.stdout)
    received = bytearray(size_bytes)
    at = 0
    while at < size_bytes:
        if not select.select([answers], [], [], silent_seconds)[0]:
            raise _SilentError
        count = answers.readinto(memoryview(received)[at:])
        if not count:
            raise _GoneError
        at += count
    return received


def _refusal(code: int, seconds: float) -> Exception:
    """Return what the child's end means for the document that it was at."""
    if code == -signal.SIGKILL:
        return MemoryError("the system ended the process that draws PDF")
    what = (
        f"takes over {seconds:.1f} seconds"
        if code == -signal.SIGPROF
        else "takes too much memory or breaks the process"
    )
    return JobError(
        ErrorCode.IMAGE_UNSUPPORTED, f"The PDF document {what} where PDFium draws it: send its pages as PNG or JPEG."
    )
