"""Which part of the worker a stack belongs to: that of its innermost frame that is the worker's own code."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from worker.lab.bench.profile.sampler import SampledStack

OUTSIDE: Final = "Python and libraries"
# A stage of the pipeline, or an adapter, has a folder of its own; everything else counts by its first folder.
_PART: Final = re.compile(r"\((?:.*/)?worker/((?:pipeline|adapters)/[a-z_]+|[a-z_]+)")


def samples_by_part(stacks: Iterable[SampledStack]) -> dict[str, int]:
    """Return the samples of each part, the largest first."""
    counts: Counter[str] = Counter()
    for stack in stacks:
        counts[part_of(stack)] += stack.samples
    return dict(counts.most_common())


def samples_by_function(stacks: Iterable[SampledStack]) -> dict[str, int]:
    """Return the samples of each innermost function that is the worker's own, the largest first, lines put together."""
    counts: Counter[str] = Counter()
    for stack in stacks:
        own = next((frame for frame in reversed(stack.frames) if _PART.search(frame)), OUTSIDE)
        counts[re.sub(r":\d+\)$", ")", own)] += stack.samples
    return dict(counts.most_common())


def part_of(stack: SampledStack) -> str:
    """Return a stack's part as a path below `worker`, as `pipeline/decode`."""
    for frame in reversed(stack.frames):
        found = _PART.search(frame)
        if found:
            return found.group(1)
    return OUTSIDE
