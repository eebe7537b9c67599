"""One child process, as the worker sees it: started, asked, ended.

Invariant: `ask` ends in an answer, or with the child gone; a child that was left in the middle of a record is never
asked again.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Final

from worker.adapters.isolation import child_messages
from worker.adapters.isolation.child import OUT_OF_MEMORY
from worker.domain.errors import ErrorCode, JobError
from worker.domain.records import Record
from worker.domain.result import LabelText

_START_SECONDS: Final = 60.0


class CrashError(Exception):
    """The child ended while it read a record; the text says how."""


class LostError(Exception):
    """The child ended before it had the record, which has nothing to do with it; the text says how."""


class Child:
    """A running child; `start` makes one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._idle = True

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str] | None) -> "Child":
        """Start a child and wait until it is ready. Raises JobError INFERENCE_UNAVAILABLE if that fails."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=environment,
                process_group=0,  # Ctrl-C is the worker's
            )
        except (OSError, RuntimeError) as error:  # Python raises RuntimeError if no thread can be started
            raise unavailable(f"could not be started ({error})") from error
        child = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await child._frame()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            raise unavailable(f"did not become ready ({await child.end()})") from error
        except BaseException:
            await child.end()
            raise
        return child

    @property
    def idle(self) -> bool:
        """Whether it can read a record now."""
        return self._idle and self._process.returncode is None

    async def ask(self, record: Record, attempt: int, model_set: str, timeout_seconds: float) -> LabelText:
        """Have a record read with the models of a set.

        Raises JobError as the child did, and ATTEMPT_TIMED_OUT where it did not answer in time; LostError where it
        ended before it had the record, CrashError where it ended while it read the record.
        """
        self._idle = False
        try:
            await self._send_record(record, attempt, model_set)
            answer = await self._answer(timeout_seconds)
        except BaseException:
            await self.end()
            raise
        self._idle = True
        return child_messages.unpack_answer(answer)

    async def end(self) -> str:
        """End the child at once, and say how it ended."""
        self._idle = False
        if self._process.returncode is None:
            # Not `self._process.kill()`: if the child has ended by itself, asyncio would lose its exit status.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        return _describe_end(await self._exited())

    async def _send_record(self, record: Record, attempt: int, model_set: str) -> None:
        if self._process.stdin is None:
            raise TypeError
        try:
            self._process.stdin.write(child_messages.pack_record(record, attempt, model_set))
            await self._process.stdin.drain()
            await self._frame()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise LostError(_describe_end(await self._exited())) from error

    async def _answer(self, timeout_seconds: float) -> child_messages.Frame:
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._frame()
        except TimeoutError as error:
            message = f"The child process gave no answer within {timeout_seconds:g} seconds; the attempt is made again."
            raise JobError(ErrorCode.ATTEMPT_TIMED_OUT, message) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise CrashError(_describe_end(await self._exited())) from error

    async def _frame(self) -> child_messages.Frame:
        if self._process.stdout is None:
            raise TypeError
        return await child_messages.unpack(self._process.stdout.readexactly)

    async def _exited(self) -> int:
        """Close the child's input, wait for its end, and return its status."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        return await self._process.wait()


def _describe_end(status: int) -> str:
    if status < 0:
        return f"signal {signal.Signals(-status).name}"
    return "out of memory" if status == OUT_OF_MEMORY else f"exit status {status}"


def unavailable(what: str) -> JobError:
    """Return the error of a worker whose child cannot be used."""
    return JobError(
        ErrorCode.INFERENCE_UNAVAILABLE,
        f"The child process that reads suspect records {what}; it is started again, and the worker's log may say why.",
    )
