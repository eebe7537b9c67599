"""A delivery in a process that may open no more files, until some are closed: `python -m tests.runtime.starved FOLDER`.

It prints what the jobs met meanwhile, how many outcomes there were then, and those in the end.
"""

import asyncio
import json
import os
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tests.pipeline.pictures import pdf, save, scene, tiled_avif
from tests.runtime.parts import DELAYS_SECONDS, LETTERS, RESULTS, RETRIES, Parts, by_uri, record
from worker.adapters.blob.store import UriStore
from worker.adapters.clock import SystemClock
from worker.domain import events
from worker.domain.records import CONTENT_TYPE_HEADER, Record
from worker.domain.retry import RetryPolicy
from worker.picture_settings import BlobSettings

MAX_FILES = 64
STARVED_SECONDS = 0.5


def jobs(folder: Path) -> list[Record]:
    pictures = [
        ("image/pdf", pdf()),
        ("image/avif", tiled_avif()),
        ("image/heic", save(scene(), "HEIF")),
        ("image/tiff", save(scene(), "TIFF")),
        ("image/jpeg", save(scene(), "JPEG")),
        ("image/png", b"no picture"),
    ]
    (folder / "a.jpg").write_bytes(pictures[4][1])
    inline = [
        record(value, (CONTENT_TYPE_HEADER, kind.encode()), offset=offset)
        for offset, (kind, value) in enumerate(pictures)
    ]
    return [*inline, by_uri(f"file://{folder}/a.jpg", offset=6), by_uri("https://localhost:1/a.jpg", offset=7)]


async def main(folder: Path) -> None:
    settings = BlobSettings(
        allowed_prefixes=(f"file://{folder}/", "https://localhost:1/"),
        private_networks=TypeAdapter(Any).validate_python(["127.0.0.0/8", "::1/128"]),
        retries=1,
        retry_initial_seconds=0.01,
    )
    records = jobs(folder)
    with ThreadPoolExecutor(2) as executor:
        async with UriStore(settings) as store:
            parts = Parts(
                executor,
                clock=SystemClock(),  # type: ignore[arg-type]  # this process lives in real time
                blobs=store,  # type: ignore[arg-type]
                policy=RetryPolicy(0.05, 0.1, DELAYS_SECONDS),
            )
            resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
            held = starve()
            deliveries = [asyncio.create_task(parts.deliver(each)) for each in records]
            await asyncio.sleep(STARVED_SECONDS)
            met = sorted({(event.job_id, str(event.error_code)) for event in parts.events.of(events.JobRetried)})
            early = sum(len(parts.broker.records(topic)) for topic in (RESULTS, LETTERS, *RETRIES))
            for descriptor in held:
                os.close(descriptor)
            await asyncio.gather(*deliveries)
    sys.stdout.write(
        json.dumps(
            {
                "met": met,
                "early": early,
                "results": len(parts.results()),
                "letters": [letter.header("labelwire.dlq.error.code") for letter in parts.letters()],
                "retries": [each.coordinate.offset for each in parts.broker.records(RETRIES[0])],
            }
        )
    )


def starve() -> list[int]:
    """Open files until there may be no more."""
    held = []
    while True:
        try:
            held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return held


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
