"""The child's side: reads one record at a time and answers with its text or its error.

Invariant: the child never outlives its worker: it ends with its standard input, and if it hangs the kernel kills it. A
signal that is meant for the worker does not end it; the worker ends it.
"""

import asyncio
import ctypes
import errno
import faulthandler
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import BinaryIO, Final

from worker.adapters.isolation import child_messages
from worker.domain.errors import JobError
from worker.domain.records import Record
from worker.domain.result import LabelText

# The exit status that says so; the kernel's own way is SIGKILL.
OUT_OF_MEMORY: Final = errno.ENOMEM
_PR_SET_PDEATHSIG: Final = 1

Read = Callable[[Record, int, str], Awaitable[LabelText]]
"""Reads a record: the record, the number of the attempt, and the model set."""


def attach() -> BinaryIO:
    """Let this process end with its worker, and return the stream for answers; prints go to standard error instead."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    faulthandler.enable()  # so that a crash's traceback names the codec
    if os.getppid() != parent:
        os._exit(0)
    return answers


async def serve(read: Read, answers: BinaryIO) -> None:
    """Read records until the worker closes its end, which ends the process at once."""
    requests: asyncio.Queue[child_messages.Frame] = asyncio.Queue(1)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_receive(requests))
        _send(answers, child_messages.pack(child_messages.READY))
        while True:
            record, attempt, model_set = child_messages.unpack_record(await requests.get())
            _send(answers, child_messages.pack(child_messages.TAKEN))
            _send(answers, child_messages.pack_answer(await _outcome(read, record, attempt, model_set)))


async def _receive(requests: "asyncio.Queue[child_messages.Frame]") -> None:
    """Pass on the worker's frames, and notice its end even while a record is read."""
    stream = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), sys.stdin.buffer)
    while True:
        try:
            frame = await child_messages.unpack(stream.readexactly)
        except asyncio.IncompleteReadError:
            os._exit(0)
        await requests.put(frame)


async def _outcome(read: Read, record: Record, attempt: int, model_set: str) -> LabelText | JobError:
    try:
        return await read(record, attempt, model_set)
    except JobError as error:
        return error
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _send(answers: BinaryIO, frame: bytes) -> None:
    answers.write(frame)
    answers.flush()
