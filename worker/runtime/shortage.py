"""What this process or its machine has run out of, told from a failure.

A job that met such a failure is innocent, whatever code the failure was given on its way: a decoder that may not open a
file says that the picture is damaged, and a resolver of names that the host is not there.

Invariant: what a job holds or names cannot make its own failure look like a shortage. So texts are read of libraries
alone whose words are their own.
"""

import errno
import os
from collections.abc import Iterator
from typing import Final

from worker.domain.errors import Disposition, ErrorCode, JobError
from worker.pipeline.decode.memory import is_out_of_memory

_FILES = "it may open no more files or connections; raise its limit (ulimit -n), or find what holds them"
_SYSTEM_FILES = "the machine may open no more files or connections; raise fs.file-max, or find what holds them"
_SPACE = "the disk is full; make room"
_MEMORY = "the system gives it no memory; raise its limit, or find what takes it"
_THREADS = "it may start no more threads or processes; raise the limit (ulimit -u, pids.max), or find what runs"
_BY_NUMBER: Final = {
    errno.EMFILE: _FILES,
    errno.ENFILE: _SYSTEM_FILES,
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.ENOMEM: _MEMORY,
    errno.ENOBUFS: _MEMORY,
}
# Their errors carry the system's words, and no number.
_LIBRARIES: Final = ("cv2", "pyvips")
_BY_TEXT: Final = {os.strerror(number): what for number, what in _BY_NUMBER.items()}
_NO_THREAD: Final = "can't start new thread"


def judged(error: Exception) -> Exception:
    """Return what a failure of a job is: itself, or the shortage that it comes from.

    That is a JobError RESOURCES_EXHAUSTED, or a MemoryError where a library had no memory for the picture.
    """
    if isinstance(error, JobError) and error.disposition is Disposition.SYSTEMIC:
        return error
    causes = list(_causes(error))
    if any(map(is_out_of_memory, causes)):
        return MemoryError("a library had no memory for the picture")
    what = _of_a_start(error) or next(filter(None, map(_told, causes)), None) or _missing_now()
    if what is None:
        return error
    return JobError(ErrorCode.RESOURCES_EXHAUSTED, f"The worker cannot go on with the job: {what}. The job waits.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it, also where it was raised `from None`."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _of_a_start(error: BaseException) -> str | None:
    """Tell a thread or process that could not be started; sockets say EAGAIN as well, on their way to other errors."""
    no_process = isinstance(error, OSError) and error.errno == errno.EAGAIN
    no_thread = isinstance(error, RuntimeError) and str(error).startswith(_NO_THREAD)
    return _THREADS if no_process or no_thread else None


def _told(error: BaseException) -> str | None:
    if isinstance(error, OSError):
        return _BY_NUMBER.get(error.errno or 0)
    if _is_of_a_library(error):
        return next((what for text, what in _BY_TEXT.items() if text in str(error)), None)
    return None


def _is_of_a_library(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _LIBRARIES


def _missing_now() -> str | None:
    """Try for a descriptor: a failure while there is none proves nothing, and many libraries do not say why."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return _BY_NUMBER.get(error.errno or 0)
    return None
