"""A process that decodes pictures again and again, each time with a little more memory."""

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from PIL import Image

from tests.pipeline.pictures import save
from worker.domain.errors import JobError
from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

STEP_BYTES = 1 << 20
STEPS = 16
ENDED = "ended by the C library"
PICTURE = Image.effect_noise((1100, 900), 40).convert("RGB")
TINY = PICTURE.crop((0, 0, 16, 16))
KINDS: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg": lambda picture: save(picture, "JPEG"),
    "progressive": lambda picture: save(picture, "JPEG", progressive=True),
    "lossless": lambda picture: save(picture, "WEBP", lossless=True, quality=0, method=0),
    "tiff": lambda picture: save(picture, "TIFF", compression="tiff_lzw"),
}


def decode_once(data: bytes, *, in_strips: bool) -> None:
    header = read_header(data, ImageLimits())
    if in_strips:
        for _ in decode_strips(data, header, 256):
            pass
    else:
        decode(data, header)


def decode_in(kind: str, data: bytes, more_bytes: int, *, in_strips: bool) -> NoReturn:
    # What libraries keep for a thread they ask for when they are first called: before memory is short.
    decode_once(KINDS[kind](TINY), in_strips=in_strips)
    held_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held_bytes + more_bytes, held_bytes + more_bytes))
    try:
        decode_once(data, in_strips=in_strips)
    except JobError as error:
        os.write(1, f"{kind} {error.code}\n".encode())
    except MemoryError:
        os.write(1, f"{kind} MemoryError\n".encode())
    else:
        os.write(1, f"{kind} read\n".encode())
    os._exit(0)


def main() -> None:
    files = {kind: make(PICTURE) for kind, make in KINDS.items()}
    for kind, data in files.items():
        for step in range(STEPS):
            child = os.fork()
            if child == 0:
                decode_in(kind, data, (step + 1) * STEP_BYTES, in_strips=kind in {"jpeg", "tiff"} and step % 2 == 1)
            _, status = os.waitpid(child, 0)
            if status:  # the C library ends a process that has no memory left for what a library keeps for a new thread
                print(f"{kind} {ENDED}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
