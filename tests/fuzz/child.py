"""One process that reads mutants and says of each what became of it. What it does not survive, its parent sees.

Each file may take so much of the processor's time and so much memory; whoever takes more is ended by the kernel, or
gets no memory.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from tests.fuzz.mutate import mutant
from tests.pipeline.pictures import FILES
from worker.domain.errors import JobError
from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits
from worker.pipeline.pdf.pages import PROCESS

MEBIBYTE: Final = 1024 * 1024
LIMITS: Final = ImageLimits(max_pixels=2_000_000, max_decoded_bytes=32 * MEBIBYTE, max_pages=8)
BUDGET_BYTES: Final = 96 * MEBIBYTE  # the limits', the encoded bytes and what the decoders hold besides
SECONDS: Final = 2.0
_STRIP_ROWS: Final = 16
_DEFECT: Final = "Go wrong: "
_WORDS_OF_WANT: Final = ("memory", "alloc", "MemoryError")


def main(arguments: list[str]) -> None:
    """Read the mutants of seeds `first`, `last` and `step`, `files` that are named, or with a `defect`."""
    if arguments[0] == "files":
        files = _named(arguments)
    elif arguments[0] == "defect":
        files = iter([(f"{_DEFECT}{arguments[1]}", f"{_DEFECT}{arguments[1]}".encode())])
    else:
        files = _mutants(*(int(word) for word in arguments))
    _warm_up()
    resource.setrlimit(resource.RLIMIT_AS, (_virtual_bytes() + 4 * BUDGET_BYTES, resource.RLIM_INFINITY))
    for name, data in files:
        print(json.dumps({"begun": name}), flush=True)  # noqa: T201 - the parent reads it
        print(json.dumps({"name": name} | _judged(data)), flush=True)  # noqa: T201


def _mutants(first: int, last: int, step: int) -> Iterator[tuple[str, bytes]]:
    seeds = [FILES[name]() for name in FILES]
    return ((str(seed), mutant(seed, seeds)) for seed in range(first, last, step))


def _named(arguments: list[str]) -> Iterator[tuple[str, bytes]]:
    return ((path, Path(path).read_bytes()) for path in arguments[1:])


def _judged(data: bytes) -> dict[str, object]:
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest memory so far
    before = _status_bytes("VmRSS")
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process
    started = _seconds()
    end = _read(data)
    seconds = _seconds() - started
    signal.setitimer(signal.ITIMER_PROF, 0)
    taken = _status_bytes("VmHWM") - before
    fault = end.get("fault") or (f"took {taken / MEBIBYTE:.0f} MiB" if taken > BUDGET_BYTES else None)
    fault = fault or (f"took {seconds:.1f} seconds of the processor" if seconds > SECONDS else None)
    return end | {"fault": fault, "seconds": round(seconds, 3), "taken_bytes": taken}


def _seconds() -> float:
    """Return the processor's time of this process and of the one that draws PDF, which the kernel stops at its own."""
    own = time.process_time()
    try:
        other = psutil.Process(PROCESS.process_id).cpu_times() if PROCESS.process_id else None
    except psutil.NoSuchProcess:
        other = None
    return own + (other.user + other.system if other else 0.0)


def _read(data: bytes) -> dict[str, object]:
    try:
        _go_wrong(data)
        header = read_header(data, LIMITS)
        for number, page in enumerate(header.pages):
            if page.streams:
                rows = sum(len(strip) for strip in decode_strips(data, header, _STRIP_ROWS, number))
                if rows != page.height:
                    return {"end": "wrong", "fault": f"strips of {rows} rows, not {page.height}"}
            pixels = decode(data, header, number).pixels
            if pixels.shape[1::-1] != page.upright_size:
                return {"end": "wrong", "fault": f"a page of {pixels.shape}"}
    except JobError as error:
        if "PDFium" in error.message:
            return {"end": "refused for what it did to PDFium"}
        wanting = any(word in error.message for word in _WORDS_OF_WANT) and "ecurity limit" not in error.message
        return {"end": str(error.code), "fault": f"wants memory: {error.message}" if wanting else None}
    except BaseException as error:  # noqa: BLE001 - every one is a finding
        return {"end": "untyped", "fault": f"{type(error).__name__}: {error}"}
    return {"end": f"read as {header.format}"}


def _go_wrong(data: bytes) -> None:
    """Do what a decoder must not, where a file asks for it by name."""
    match data.removeprefix(_DEFECT.encode()) if data.startswith(_DEFECT.encode()) else b"":
        case b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"hang":
            while True:
                pass
        case b"greed":
            np.ones(BUDGET_BYTES + MEBIBYTE, np.uint8)
        case b"want":
            np.empty(100 * BUDGET_BYTES, np.uint8)
        case b"untyped":
            raise KeyError(data)


def _warm_up() -> None:
    """Load what decoders load on their first picture, so that it is not counted as a file's."""
    for make in FILES.values():
        _read(make())


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def _virtual_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(sys.argv[1:])
