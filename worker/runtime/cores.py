"""How many CPU cores this process may use: its affinity, and its cgroup's quota."""

import os
from math import ceil
from pathlib import Path

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def usable_cores() -> int:
    """Return the cores of the process's affinity, or fewer where the cgroup's CPU quota is lower; at least 1."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, ceil(cgroup_cores(_CGROUP_V2, _CGROUP_V1_QUOTA, _CGROUP_V1_PERIOD) or available)))


def cgroup_cores(v2: Path, v1_quota: Path, v1_period: Path) -> float | None:
    """Return the cgroup's quota in cores, None where there is none."""
    try:
        if v2.exists():
            quota, period = v2.read_text().split()
        elif v1_quota.exists():
            quota, period = v1_quota.read_text().strip(), v1_period.read_text().strip()
        else:
            return None
    except OSError:
        return None
    # v2 says `max` and v1 says -1 for no limit.
    return int(quota) / int(period) if quota.isdigit() and int(quota) > 0 else None
