"""Who makes a repository's plans: TensorRT and the GPU of this host, behind an interface that tests need no GPU for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worker.domain.manifest import PlanTarget
from worker.models.choice import GpuError, find_gpu
from worker.models.plan_gate import Tensors
from worker.models.plan_runner import run_plan
from worker.models.shape_ranges import OptimizationProfile
from worker.models.source import cache_directory
from worker.models.tensorrt_builder import Plan, PlanError, build_plan, import_tensorrt


class PlanMaker(Protocol):
    """Builds plans for one GPU and one TensorRT, and runs them there."""

    @property
    def target(self) -> PlanTarget:
        """What the plans are for."""

    def build(self, graph: Path, profile: OptimizationProfile) -> Plan:
        """Build the plan of an ONNX file for one profile. Raises PlanError."""

    def run(self, plan: Plan, inputs: Tensors) -> Tensors:
        """Run a plan once. Raises PlanError."""


@dataclass(frozen=True, slots=True)
class HostPlanMaker:
    """Makes plans with the `tensorrt` of this interpreter for the GPU of this host."""

    target: PlanTarget
    timing_cache: Path

    def build(self, graph: Path, profile: OptimizationProfile) -> Plan:
        """Build the plan of an ONNX file for one profile. Raises PlanError."""
        return build_plan(graph, [profile], timing_cache=self.timing_cache)

    def run(self, plan: Plan, inputs: Tensors) -> Tensors:
        """Run a plan once on the GPU. Raises PlanError."""
        return run_plan(plan.content, inputs)


def host_plan_maker() -> HostPlanMaker:
    """Return the plan maker of this host. Raises PlanError without `tensorrt` or without a GPU."""
    version = str(import_tensorrt().__version__)
    try:
        gpu = find_gpu()
    except GpuError as error:
        raise PlanError(f"no plan can be built, because {error}: build on the GPU host that serves") from error
    target = PlanTarget(gpu=gpu.name, compute_capability=gpu.compute_capability, driver=gpu.driver, tensorrt=version)
    # What was measured holds for one GPU and one TensorRT.
    name = f"{version}-{gpu.name.replace(' ', '_')}-{gpu.compute_capability}.timing"
    return HostPlanMaker(target, cache_directory() / "tensorrt" / name)
