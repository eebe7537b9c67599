"""A child as `worker.cli.isolated` is one, over a backend without models and a store in memory; run as a script."""

import argparse
import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.runtime.parts import FOLDER, PICTURE
from worker.adapters.clock import SystemClock
from worker.adapters.isolation.child import attach, serve
from worker.adapters.isolation.memory import limit_memory
from worker.domain.records import Record
from worker.domain.result import LabelText
from worker.domain.uri import AllowedPrefixes
from worker.lab.chaos.poison import POISON_PATH, PoisonKind, poisonous
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import ModelSet
from worker.pipeline.options import ImageLimits
from worker.pipeline.pipeline import Pipeline
from worker.runtime.budget import AttemptBudget
from worker.runtime.fetch_memory import FetchMemory
from worker.runtime.job_processor import JobProcessor
from worker.runtime.model_client import ModelClient
from worker.testing.backend import FakeBackend
from worker.testing.blob import MemoryBlobStore

ROOT = Path(__file__).parents[2]
GOOD, DEADLY = f"{FOLDER}good.png", f"{FOLDER}deadly.png"


def child_command(
    *, attempt_seconds: float = 30, latency_seconds: float = 0, memory_bytes: int = 0, diary: Path | None = None
) -> tuple[str, ...]:
    """Return the command that starts this child; it notes its process id in `diary` each time it begins to read."""
    given = {
        "attempt-seconds": attempt_seconds,
        "latency-seconds": latency_seconds,
        "memory-bytes": memory_bytes,
        "diary": diary or os.devnull,
    }
    return sys.executable, __file__, *(f"--{name}={value}" for name, value in given.items())


def child_environment() -> dict[str, str]:
    """Return an environment in which poisonous pictures end their reader."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(POISON_PATH), str(ROOT)])}


async def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--attempt-seconds", type=float)
    options.add_argument("--latency-seconds", type=float)
    options.add_argument("--memory-bytes", type=int)
    options.add_argument("--diary", type=Path)
    given = options.parse_args()
    answers = attach()
    clock = SystemClock()
    backend = FakeBackend(clock=clock, latency_seconds=given.latency_seconds)
    with ThreadPoolExecutor(1) as executor:

        def pipeline(models: ModelSet) -> Pipeline:
            return Pipeline(backend, models, executor, clock)

        reader = ModelClient(backend, pipeline, partial(read_header, limits=ImageLimits(max_pixels=10**9)))
        reading = JobProcessor(
            reader, executor, clock, AttemptBudget(given.attempt_seconds), blobs(), FetchMemory(1, 1)
        )

        async def read(record: Record, attempt: int, _model_set: str) -> LabelText:
            note(given.diary)
            return await reading.read(record, attempt)

        limit_memory(given.memory_bytes or None)
        await serve(read, answers)


def blobs() -> MemoryBlobStore:
    """Return a store that holds a picture, and one that ends its reader."""
    store = MemoryBlobStore(AllowedPrefixes.of([FOLDER]))
    store.put(GOOD, PICTURE)
    store.put(DEADLY, poisonous(PICTURE, PoisonKind.SEGV))
    return store


def note(diary: Path) -> None:
    with diary.open("a") as notes:
        notes.write(f"{os.getpid()}\n")


if __name__ == "__main__":
    asyncio.run(main())
