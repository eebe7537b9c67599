"""Which part of the worker took a thread's CPU time: that of the innermost frame that is the worker's own code.

Invariant: what is spread over the parts is the CPU time that Linux counts for the threads, no more and no less.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from worker.lab.bench.profile.sampler import SampledStack
from worker.lab.bench.profile.threads import ThreadTimes

OUTSIDE: Final = "Python and libraries"
# A stage of the pipeline, or an adapter, has a folder of its own; everything else counts by its first folder.
_PART: Final = re.compile(r"\((?:.*/)?worker/((?:pipeline|adapters)/[a-z_]+|[a-z_]+)")
# Where Python waits for work. A sample that met such a frame as the thread fell asleep says nothing of its work.
_WAITS: Final = ("_worker (concurrent/futures/thread.py", "select (selectors.py", "wait (threading.py")


def seconds_by(
    name: Callable[[SampledStack], str], stacks: Iterable[SampledStack], threads: Mapping[int, ThreadTimes]
) -> dict[str, float]:
    """Return the CPU seconds of each name, the most first: each thread's, in the shares of its samples that worked."""
    by_thread: dict[int, list[SampledStack]] = {}
    for stack in stacks:
        by_thread.setdefault(stack.thread, []).append(stack)
    seconds: dict[str, float] = {}
    for thread, times in threads.items():
        sampled = by_thread.get(thread, [])
        working = [stack for stack in sampled if not stack.frames[-1].startswith(_WAITS)]
        shares = [(name(stack), stack.samples) for stack in working] or [(OUTSIDE, 1)]
        total = sum(samples for _, samples in shares)
        for named, samples in shares:
            seconds[named] = seconds.get(named, 0.0) + times.cpu_seconds * samples / total
    return dict(sorted(seconds.items(), key=lambda one: -one[1]))


def part_of(stack: SampledStack) -> str:
    """Return a stack's part as a path below `worker`, as `pipeline/decode`."""
    frame = _own_frame(stack)
    found = _PART.search(frame) if frame else None
    return found.group(1) if found else OUTSIDE


def function_of(stack: SampledStack) -> str:
    """Return a stack's innermost function of the worker's own, with its file and without its line."""
    frame = _own_frame(stack)
    return re.sub(r":\d+\)$", ")", frame) if frame else OUTSIDE


def _own_frame(stack: SampledStack) -> str | None:
    return next((frame for frame in reversed(stack.frames) if _PART.search(frame)), None)
