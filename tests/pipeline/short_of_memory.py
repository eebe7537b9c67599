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
PICTURE = Image.effect_noise((1100, 900), 40).convert("RGB")
KINDS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: save(PICTURE, "JPEG"),
    "progressive": lambda: save(PICTURE, "JPEG", progressive=True),
    "lossless": lambda: save(PICTURE, "WEBP", lossless=True, quality=0, method=0),
    "tiff": lambda: save(PICTURE, "TIFF", compression="tiff_lzw"),
}


def decode_in(kind: str, data: bytes, more_bytes: int, *, in_strips: bool) -> NoReturn:
    held_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held_bytes + more_bytes, held_bytes + more_bytes))
    try:
        header = read_header(data, ImageLimits())
        if in_strips:
            for _ in decode_strips(data, header, 256):
                pass
        else:
            decode(data, header)
    except JobError as error:
        os.write(1, f"{kind} {error.code}\n".encode())
    except MemoryError:
        os.write(1, f"{kind} MemoryError\n".encode())
    else:
        os.write(1, f"{kind} read\n".encode())
    os._exit(0)


def main() -> None:
    files = {kind: make() for kind, make in KINDS.items()}
    for kind, data in files.items():
        for step in range(STEPS):
            child = os.fork()
            if child == 0:
                decode_in(kind, data, (step + 1) * STEP_BYTES, in_strips=kind in {"jpeg", "tiff"} and step % 2 == 1)
            os.waitpid(child, 0)


if __name__ == "__main__":
    main()
