"""Recognizes from a failure what this process or its machine has run out of.

Such a failure is not the job's fault, whatever its error says: a decoder that cannot open a file says that the picture
is damaged, and a DNS resolver that the host does not exist.

Invariant: a job's content cannot make its own failure look like a shortage. So messages are compared only for libraries
that put no text of the picture or the job into them.
"""

import errno
import os
from collections.abc import Iterator
from typing import Final

from worker.domain.errors import Disposition, ErrorCode, JobError
from worker.pipeline.decode.refusals import is_out_of_memory

_FILES = "it cannot open more files or connections; raise its limit (ulimit -n), or find what keeps them open"
_SYSTEM_FILES = "the machine cannot open more files or connections; raise fs.file-max, or find what keeps them open"
_SPACE = "the disk is full; free some space"
_MEMORY = "the system gives it no memory; raise its limit, or find what uses it"
_THREADS = "it cannot start more threads or processes; raise the limit (ulimit -u, pids.max), or find what runs"
_BY_NUMBER: Final = {
    errno.EMFILE: _FILES,
    errno.ENFILE: _SYSTEM_FILES,
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.ENOMEM: _MEMORY,
    errno.ENOBUFS: _MEMORY,
}
# Their errors carry the system's message, but no errno.
_LIBRARIES: Final = ("cv2", "pyvips")
_BY_TEXT: Final = {os.strerror(number): what for number, what in _BY_NUMBER.items()}
_NO_THREAD: Final = "can't start new thread"


def with_shortage_named(error: Exception) -> Exception:
    """Return a job's failure, or the shortage that caused it.

    A shortage is a JobError RESOURCES_EXHAUSTED, or a MemoryError where a library had no memory for the picture.
    """
    if isinstance(error, JobError) and error.disposition is Disposition.SYSTEMIC:
        return error
    causes = list(_causes(error))
    if any(map(is_out_of_memory, causes)):
        return MemoryError("a library had no memory for the picture")
    shortage = _start_shortage(error) or next(filter(None, map(_shortage_of, causes)), None) or _descriptor_shortage()
    if shortage is None:
        return error
    return JobError(ErrorCode.RESOURCES_EXHAUSTED, f"The worker cannot read the job now: {shortage}. The job waits.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it, also where it was raised `from None`."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _start_shortage(error: BaseException) -> str | None:
    """Recognize a thread or process that could not be started. Causes are not asked: sockets raise EAGAIN as well."""
    no_process = isinstance(error, OSError) and error.errno == errno.EAGAIN
    no_thread = isinstance(error, RuntimeError) and str(error).startswith(_NO_THREAD)
    return _THREADS if no_process or no_thread else None


def _shortage_of(error: BaseException) -> str | None:
    if isinstance(error, OSError):
        return _BY_NUMBER.get(error.errno or 0)
    if type(error).__module__.partition(".")[0] in _LIBRARIES:
        return next((shortage for text, shortage in _BY_TEXT.items() if text in str(error)), None)
    return None


def _descriptor_shortage() -> str | None:
    """Try to open a file: many libraries do not say why they fail, and without descriptors any of them may."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return _BY_NUMBER.get(error.errno or 0)
    return None
