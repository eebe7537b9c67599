"""How much memory a child may take, so that it runs out before its container does.

On Kubernetes all processes of a container end together when its memory runs out (the kubelet sets cgroup v2's
`memory.oom.group` since 1.28). The worker would die with its child and never learn which record it was; so the
child's own limit has to be met first.
"""

import contextlib
import resource
from pathlib import Path
from typing import Final

import numpy as np

_CGROUP: Final = Path("/sys/fs/cgroup")
_OWN_CGROUP: Final = Path("/proc/self/cgroup")
_STATUS: Final = Path("/proc/self/status")
_KIBIBYTE: Final = 1024
# Of the free memory: the worker's own jobs need the rest.
_SHARE: Final = 0.75
# Enough for a good picture, even if less is free: gRPC's threads alone reserve 100 MB.
_MIN_BYTES: Final = 256 * _KIBIBYTE**2


def choose_first_when_memory_runs_out() -> None:
    """Let the kernel end this process before its parent."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def limit_memory(beyond_now_bytes: int | None) -> None:
    """Let this process take so many bytes more than now; with None, a share of what the container has free.

    Outside of a container with a limit None changes nothing.
    """
    # Let OpenBLAS allocate its buffers now: if that failed later, it would end the process.
    square = np.eye(64)
    square @ square
    more = free_share_bytes() if beyond_now_bytes is None else beyond_now_bytes
    taken = _data_bytes()
    if more is not None and taken is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (taken + more, taken + more))


def free_share_bytes(root: Path = _CGROUP, own: Path = _OWN_CGROUP) -> int | None:
    """Return a share of what the cgroup (version 2) has left, 256 MiB at least; None where it has no limit."""
    with contextlib.suppress(OSError, ValueError):
        path = next((line[3:] for line in own.read_text().splitlines() if line.startswith("0::")), "")
        folder = root / path.strip("/")
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        reclaimable = int(statistics["inactive_file"])
        return max(_MIN_BYTES, int((limit - used + reclaimable) * _SHARE))
    return None


def _data_bytes() -> int | None:
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * _KIBIBYTE
    return None
