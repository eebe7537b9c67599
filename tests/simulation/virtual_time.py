"""An event loop whose time is its own: it passes when nothing is left to do, and never otherwise.

Invariant: callbacks run in the order in which they became due, one after the other, so that the same beginning always
gives the same run. Nothing here waits for a socket, a thread or the machine's clock.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

_EPOCH_MS = 1_700_000_000_000
_process: "contextvars.ContextVar[VirtualProcess | None]" = contextvars.ContextVar("process", default=None)
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class StandstillError(RuntimeError):
    """Nothing is due now or later, or things are due without end at the same time."""


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """An event loop that jumps from one due time to the next.

    It raises StandstillError where nothing will ever be due again, and after `max_callbacks`.
    """

    _ready: deque[Any]
    _scheduled: list[Any]

    def __init__(self, *, max_callbacks: int = 10_000_000) -> None:
        super().__init__()
        self.callbacks = 0
        self._max_callbacks = max_callbacks
        self._now = 0.0
        self._tasks_made = 0
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._now

    def _make_task(self, _loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:  # noqa: ANN401
        self._tasks_made += 1
        task: asyncio.Task[Any] = _NumberedTask(coroutine, loop=self, **options)
        return task

    @property
    def tasks_made(self) -> int:
        """How many tasks there have been."""
        return self._tasks_made

    def _run_once(self) -> None:
        self._pass_time()
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            process = handle._context.get(_process)  # noqa: SLF001 - a loop is a friend of its handles
            if not handle.cancelled() and (process is None or process.takes(handle)):
                handle._run()  # noqa: SLF001
            self.callbacks += 1
        if self.callbacks > self._max_callbacks:
            raise StandstillError(f"{self.callbacks} callbacks have run, and still something is due.")

    def _pass_time(self) -> None:
        due = self._scheduled
        if not self._ready:
            while due and due[0].cancelled():
                self._take_timer()
            if not due:
                if self._stopping:  # type: ignore[attr-defined]
                    return
                raise StandstillError("Everything waits, and nothing is due any more.")
            self._now = max(self._now, due[0].when())
        while due and due[0].when() <= self._now:
            self._ready.append(self._take_timer())

    def _take_timer(self) -> asyncio.TimerHandle:
        timer: Any = heapq.heappop(self._scheduled)
        timer._scheduled = False  # noqa: SLF001
        return timer  # type: ignore[no-any-return]

    def requeue(self, handles: "deque[Any]") -> None:
        """Let these handles run in their order."""
        self._ready.extend(handles)

    def _process_events(self, _events: object) -> None:
        """There are no selectors."""

    def _write_to_self(self) -> None:
        """There are no other threads."""


class _NumberedTask(asyncio.Task[Any]):
    """A task whose place in a set does not hang on its address in memory."""

    def __init__(self, coroutine: Any, *, loop: VirtualTimeLoop, **options: Any) -> None:  # noqa: ANN401
        self._number = loop.tasks_made
        super().__init__(coroutine, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualProcess:
    """What would be a process of its own: its callbacks can be held up (SIGSTOP) and dropped (SIGKILL).

    All that a task of the process begins belongs to it as well, whoever wakes it.
    """

    def __init__(self, loop: VirtualTimeLoop, name: str) -> None:
        self.name = name
        self.alive = True
        self._loop = loop
        self._held_up: deque[Any] | None = None
        self._context = contextvars.copy_context()
        self._context.run(_process.set, self)

    def create_task(self, coroutine: Coroutine[Any, Any, _Result]) -> "asyncio.Task[_Result]":
        """Begin a task of this process."""
        return self._loop.create_task(coroutine, context=self._context.copy())

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self._held_up is not None

    def freeze(self) -> None:
        """Let nothing of it run until `thaw`; what becomes due meanwhile waits."""
        if self._held_up is None:
            self._held_up = deque()

    def thaw(self) -> None:
        """Let what has become due run, in order."""
        if not self.alive:
            return
        held_up, self._held_up = self._held_up, None
        if held_up:
            self._loop.requeue(held_up)

    def kill(self) -> None:
        """Let nothing of it run any more: no exception, no `finally`, no word."""
        self.alive = False
        self.freeze()

    def release(self) -> None:
        """Let what was killed or frozen run, so that what it still holds can be closed."""
        self.alive = True
        self.thaw()

    def takes(self, handle: object) -> bool:
        """Say whether a callback may run now, and keep it where it may not."""
        if self._held_up is None:
            return True
        self._held_up.append(handle)
        return False


class VirtualClock:
    """A `Clock` that shows the time of a virtual loop."""

    def __init__(self, loop: VirtualTimeLoop, *, epoch_ms: int = _EPOCH_MS) -> None:
        self._loop = loop
        self._epoch_ms = epoch_ms

    def epoch_ms(self) -> int:
        """Return the time of day in epoch milliseconds."""
        return self._epoch_ms + round(self._loop.time() * 1000)

    def monotonic(self) -> float:
        """Return the loop's seconds."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(seconds)


class VirtualExecutor(Executor):
    """An executor without threads: each piece of work is done on the loop, `seconds()` of virtual time later."""

    def __init__(self, loop: VirtualTimeLoop, seconds: Callable[[], float]) -> None:
        self._loop = loop
        self._seconds = seconds

    def submit(
        self, work: Callable[_Arguments, _Result], /, *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> "Future[_Result]":
        """Do the work later, and return what becomes of it."""
        future: Future[_Result] = Future()
        self._loop.call_later(self._seconds(), _do, future, partial(work, *args, **kwargs))
        return future


def _do(future: "Future[_Result]", work: Callable[[], _Result]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - whoever waits for the result gets it
        future.set_exception(error)
    else:
        future.set_result(result)
