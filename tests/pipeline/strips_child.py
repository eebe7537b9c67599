"""A process that decodes one large file in strips and prints how many rows came and how many bytes that took."""

import sys
from pathlib import Path

from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

_STRIP_ROWS = 256


def status_bytes(name: str) -> int:
    """Return a figure of this process's memory, VmRSS or VmHWM."""
    # Not getrusage: its peak outlives exec, and so would be the parent's.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


if __name__ == "__main__":
    data = Path(sys.argv[1]).read_bytes()
    before = status_bytes("VmRSS")
    header = read_header(data, ImageLimits())
    rows = sum(len(strip) for strip in decode_strips(data, header, _STRIP_ROWS))
    print(rows, status_bytes("VmHWM") - before)  # noqa: T201
