"""Which precision the models of a build compute in.

Invariant: the manifest names what is really used; `auto` is decided here, at build, on the machine that will serve.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from worker.domain.manifest import ModelRole
from worker.models.precision.recipe import LowPrecision, PrecisionRecipe, RecipeError
from worker.models.profiles import Profile

_INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


@dataclass(frozen=True, slots=True)
class Precisions:
    """`recipe` lowers some graphs, None none; `floating` is what everything else computes in.

    `others` are recipes that passed the gate too and that the same server could use.
    """

    recipe: PrecisionRecipe | None = None
    floating: Literal["fp32", "bf16"] = "fp32"
    others: tuple[PrecisionRecipe, ...] = ()

    def of(self, role: ModelRole) -> Literal["fp32", "bf16", "fp16", "int8"]:
        """Return what a model computes in."""
        if self.recipe is not None and role in self.recipe.graphs:
            return self.recipe.precision
        return self.floating

    def passed(self, role: ModelRole) -> tuple[LowPrecision, ...]:
        """Return the other precisions in which a model passed the gate."""
        return tuple(recipe.precision for recipe in self.others if role in recipe.graphs)

    def accuracy(self, role: ModelRole) -> dict[str, float] | None:
        """Return what was measured on real pictures, None for a model that is not lowered."""
        if self.recipe is None or self.recipe.verdict is None or role not in self.recipe.graphs:
            return None
        return self.recipe.verdict.accuracy


def resolve_precision(
    profile: Profile, recipes: Mapping[LowPrecision, PrecisionRecipe], cpu_info: Path = Path("/proc/cpuinfo")
) -> Precisions:
    """Return the precisions for a profile, the recipes of the models, and a CPU.

    `auto` is `int8` if the CPU has instructions for it and a recipe passed, with bf16 for all else if the CPU computes
    in it; otherwise `fp32`. Raises RecipeError if `fp16` or `int8` is asked for and no recipe passed.
    """
    wanted, flags = profile.precision, _cpu_flags(cpu_info)
    usable = {precision: recipe for precision, recipe in recipes.items() if precision in profile.precisions}
    if profile.engine == "openvino" and not _INT8_FLAGS & flags and wanted != "int8":
        usable.pop("int8", None)
    if wanted == "auto":
        wanted = "int8" if "int8" in usable else "fp32"
    others = tuple(recipe for precision, recipe in usable.items() if precision != wanted)
    if wanted in {"fp32", "bf16"}:
        return Precisions(None, "bf16" if wanted == "bf16" else "fp32", others)
    if wanted not in usable:
        judge = f"--profile {'embedded' if profile.engine == 'openvino' else 'onnx'} --precision {wanted}"
        raise RecipeError(
            f"no {wanted} recipe of this detector and this recognizer together has passed the gate: judge one on your "
            f"own pictures with `labelwire models quantize {judge}`, or build with --precision fp32"
        )
    return Precisions(usable[wanted], floating_precision(profile, cpu_info), others)


def floating_precision(profile: Profile, cpu_info: Path = Path("/proc/cpuinfo")) -> Literal["fp32", "bf16"]:
    """Return what is computed in beside a recipe: bf16 if OpenVINO computes it on a CPU that can, otherwise fp32."""
    return "bf16" if profile.engine == "openvino" and _BF16_FLAGS & _cpu_flags(cpu_info) else "fp32"


def _cpu_flags(cpu_info: Path) -> frozenset[str]:
    if not cpu_info.is_file():
        return frozenset()
    for line in cpu_info.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
