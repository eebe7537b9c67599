"""Which precision the models compute in.

Invariant: the manifest names what is really used; `auto` is decided here, at build, on the machine that will serve.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from worker.models.profiles import Precision

_INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})

Resolved = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True, slots=True)
class Precisions:
    """`floating` is what detector, classifier, and what is not quantized of the recognizer compute in."""

    recognizer: Resolved
    floating: Literal["fp32", "bf16"]


def resolve_precision(precision: Precision, cpu_info: Path = Path("/proc/cpuinfo")) -> Precisions:
    """Return the precisions for a wish and a CPU.

    `auto` is `int8` where the CPU has instructions for it, else `fp32`. With `int8` all else is bf16 where the CPU
    computes in it, else fp32. Of `fp32` and `bf16` everything is.
    """
    flags = _cpu_flags(cpu_info)
    if precision == "auto":
        precision = "int8" if _INT8_FLAGS & flags else "fp32"
    if precision == "int8":
        return Precisions("int8", "bf16" if _BF16_FLAGS & flags else "fp32")
    return Precisions(precision, precision)


def _cpu_flags(cpu_info: Path) -> frozenset[str]:
    if not cpu_info.is_file():
        return frozenset()
    for line in cpu_info.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
