"""Which precision the embedded models compute in.

Invariant: the manifest names what is really used; `auto` is decided here, at build, on the machine that will serve.
"""

from pathlib import Path
from typing import Literal

from worker.models.profiles import Precision

_NATIVE_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def resolve_precision(precision: Precision, cpu_info: Path = Path("/proc/cpuinfo")) -> Literal["fp32", "bf16"]:
    """Return bf16 for `auto` where the CPU has instructions for it, else fp32; any other value as it is."""
    if precision != "auto":
        return precision
    return "bf16" if _NATIVE_BF16_FLAGS & _cpu_flags(cpu_info) else "fp32"


def _cpu_flags(cpu_info: Path) -> frozenset[str]:
    if not cpu_info.is_file():
        return frozenset()
    for line in cpu_info.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
