"""Renders the chart by the real Helm, and finds things in what it renders."""

import json
import subprocess
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "helm" / "labelwire"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
MINIMAL, PRODUCTION, EXTERNAL, CO_LOCATED, CPU_ONLY, TENSORRT, LOCKED_DOWN, OPENSHIFT = (
    CHART / "ci" / f"{name}-values.yaml"
    for name in (
        "minimal",
        "production",
        "external-triton",
        "co-located",
        "cpu-only",
        "gpu-tensorrt",
        "locked-down",
        "openshift",
    )
)
OLDEST_KUBERNETES = "1.27.0"
# Sidecars.
OLDEST_OF = {CO_LOCATED: "1.29.0"}

Manifest = dict[str, Any]


class _StrictLoader(yaml.CSafeLoader):
    """Refuses a key that stands twice; YAML's readers keep the last one silently, and Kubernetes' API warns."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice:{node.start_mark}"
        return super().construct_mapping(node, deep=deep)


def containers_of(pod: Manifest) -> list[Manifest]:
    """Return all containers of a pod, those that run before the others first."""
    return [*pod.get("initContainers", ()), *pod["containers"]]


@dataclass(frozen=True, slots=True)
class Rendered:
    """All objects of one rendering."""

    manifests: Sequence[Manifest]

    def one(self, kind: str, component: str) -> Manifest:
        """Return the only object of this kind that belongs to this component."""
        (found,) = self.all(kind, component)
        return found

    def all(self, kind: str, component: str) -> list[Manifest]:
        """Return all objects of this kind that belong to this component."""
        return [
            manifest
            for manifest in self.manifests
            if manifest["kind"] == kind
            and manifest["metadata"].get("labels", {}).get("app.kubernetes.io/component") == component
        ]

    def pod(self, component: str) -> Manifest:
        """Return the pod's spec of this component's Deployment."""
        spec: Manifest = self.one("Deployment", self.home(component))["spec"]["template"]["spec"]
        return spec

    def pods(self) -> dict[str, Manifest]:
        """Return the specs of all pods that there may be, by kind and name of what makes them."""
        found = {}
        for manifest in self.manifests:
            spec = manifest.get("spec", {})
            spec = spec.get("jobTemplate", {}).get("spec", spec)
            spec = spec.get("template", {}).get("spec", spec)
            if "containers" in spec:
                found[f"{manifest['kind']} {manifest['metadata']['name']}"] = spec
        return found

    def home(self, component: str) -> str:
        """Return the component in whose pods this one runs: Triton may stand beside the workers."""
        return component if self.all("Deployment", component) else "worker"

    def container(self, component: str) -> Manifest:
        """Return the container of this name in this component's pod."""
        pod = self.pod(component)
        (found,) = (found for found in containers_of(pod) if found["name"] == component)
        return found

    def environment(self) -> dict[str, str]:
        """Return the worker's environment as far as it stands in the manifest."""
        return {entry["name"]: entry["value"] for entry in self.container("worker")["env"] if "value" in entry}

    def references(self, component: str) -> dict[str, Manifest]:
        """Return the variables of a component that come from elsewhere, with where from."""
        return {entry["name"]: entry["valueFrom"] for entry in self.container(component)["env"] if "value" not in entry}


@dataclass(frozen=True, slots=True)
class Chart:
    """The chart in `folder`, read by the Helm at `helm`."""

    helm: Path
    folder: Path

    def lint(self, values: Path) -> subprocess.CompletedProcess[str]:
        """Lint strictly with these values."""
        version = OLDEST_OF.get(values, OLDEST_KUBERNETES)
        return self._run("lint", "--strict", f"--kube-version={version}", str(self.folder), f"--values={values}")

    def render(
        self,
        values: Path,
        changes: Mapping[str, object] | None = None,
        *,
        release: str = "demo",
        kubernetes: str = "",
    ) -> Rendered:
        """Render; `changes` are values by their dotted path. AssertionError with Helm's words if it refuses."""
        result = self._template(values, changes or {}, release, kubernetes)
        assert result.returncode == 0, result.stderr
        # A safe loader by inheritance.
        return Rendered([manifest for manifest in yaml.load_all(result.stdout, Loader=_StrictLoader) if manifest])

    def refusal(
        self, values: Path, changes: Mapping[str, object], *, release: str = "demo", kubernetes: str = ""
    ) -> str:
        """Return what Helm says when it refuses these values; AssertionError if it renders them."""
        result = self._template(values, changes, release, kubernetes)
        assert result.returncode != 0, f"rendered in spite of {dict(changes)}"
        return result.stderr

    def _template(
        self, values: Path, changes: Mapping[str, object], release: str, kubernetes: str
    ) -> subprocess.CompletedProcess[str]:
        settings = [f"--set-json={path}={json.dumps(value)}" for path, value in changes.items()]
        return self._run(
            "template",
            release,
            str(self.folder),
            "--namespace=labels",
            f"--kube-version={kubernetes or OLDEST_OF.get(values, OLDEST_KUBERNETES)}",
            f"--values={values}",
            *settings,
        )

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.helm, *arguments], capture_output=True, text=True, check=False, timeout=60)
