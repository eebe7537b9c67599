"""Which of several built repositories this host can serve: the first that fits its GPU and its TensorRT.

Invariant: the standard library of Python 3.10 alone and nothing of this package, so that Triton's image can run this
file by its path, in front of the server:

    python3 choice.py /models/tensorrt /models/onnx -- tritonserver --model-repository={}

A repository that is passed over is named with the reason; files are never changed.
"""

import argparse
import ctypes
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

STAMP_FILE: Final = "labelwire.json"
_QUERY: Final = ("nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader")
_QUERY_SECONDS: Final = 60
# Newest first. What Triton's tensorrt backend links to.
_LIBRARIES: Final = ("libnvinfer.so.11", "libnvinfer.so.10")


class GpuError(Exception):
    """A host has no GPU that can be used, or GPUs that need different plans."""


class ChoiceError(Exception):
    """None of the repositories can be served by this host."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU: its name, its compute capability such as "9.0", and the version of its driver."""

    name: str
    compute_capability: str
    driver: str


@dataclass(frozen=True, slots=True)
class Host:
    """What a host offers to plans: its GPU, or why it has none, and the TensorRT (major.minor.patch) of its Triton."""

    gpu: Gpu | None
    no_gpu_reason: str
    tensorrt: str | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The repository to serve, and why those before it are not served, one sentence each."""

    repository: Path
    passed_over: tuple[str, ...]


def find_gpu() -> Gpu:
    """Return the GPU of this host, as `nvidia-smi` reports it. Raises GpuError without one, or with different ones."""
    try:
        done = subprocess.run(  # noqa: S603  our own words only
            _QUERY, capture_output=True, text=True, check=False, timeout=_QUERY_SECONDS
        )
    except FileNotFoundError as error:
        raise GpuError("nvidia-smi is not on the PATH, so this host has no NVIDIA GPU that can be used") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GpuError(f"nvidia-smi does not answer ({error}), so no GPU of this host can be used") from error
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        said = (done.stderr.strip() or done.stdout.strip() or "it names none").splitlines()[-1]
        raise GpuError(f"nvidia-smi finds no GPU on this host ({said})")
    gpus = [_gpu(line) for line in lines]
    capabilities = sorted({gpu.compute_capability for gpu in gpus})
    if len(capabilities) > 1:
        raise GpuError(f"this host has GPUs of the compute capabilities {', '.join(capabilities)}: let Triton see one")
    return gpus[0]


def tensorrt_version(libraries: Sequence[str] = _LIBRARIES) -> str | None:
    """Return major.minor.patch of the first library that loads, None if none does."""
    for name in libraries:
        try:
            number = int(ctypes.CDLL(name).getInferLibVersion())
        except (OSError, AttributeError):  # not here, or not TensorRT
            continue
        return f"{number // 10000}.{number // 100 % 100}.{number % 100}"
    return None


def this_host() -> Host:
    """Return what this host offers."""
    try:
        return Host(find_gpu(), "", tensorrt_version())
    except GpuError as error:
        return Host(None, str(error), tensorrt_version())


def choose(repositories: Sequence[Path], host: Host) -> Choice:
    """Return the first repository that the host can serve. Raises ChoiceError, with all reasons, if there is none."""
    passed_over: list[str] = []
    for repository in repositories:
        reason = unfit_reason(repository, host)
        if reason is None:
            return Choice(repository, tuple(passed_over))
        passed_over.append(f"{repository} is not served, because {reason}")
    raise ChoiceError("; ".join(passed_over) or "no repository was given: name at least one")


def unfit_reason(repository: Path, host: Host) -> str | None:
    """Return why a host cannot serve a repository, None if it can."""
    stamp = _stamp(repository)
    if stamp is None:
        return "no `labelwire models build` wrote it"
    if stamp.get("device") != "gpu":
        return None
    if host.gpu is None:
        return host.no_gpu_reason
    plans = stamp.get("plans")
    return None if plans is None else _unfit_plans(repository, plans, host.gpu, host.tensorrt)


def _unfit_plans(repository: Path, plans: dict[str, Any], gpu: Gpu, tensorrt: str | None) -> str | None:
    target = plans["target"]
    if target["compute_capability"] != gpu.compute_capability:
        return (
            f"its plans are for compute capability {target['compute_capability']} ({target['gpu']}) and this host has "
            f"{gpu.compute_capability} ({gpu.name})"
        )
    if tensorrt is None:
        return f"its plans need TensorRT {target['tensorrt']} and this host has no {' or '.join(_LIBRARIES)}"
    # A plan loads in the very version that built it; the fourth number is not known to the library.
    if target["tensorrt"].split(".")[:3] != tensorrt.split("."):
        return f"its plans are of TensorRT {target['tensorrt']} and this host has {tensorrt}"
    for name, sha256 in plans["files"].items():
        path = repository / name
        if not path.is_file():
            return f"the plan {name} is missing"
        if _sha256(path) != sha256:
            return f"the plan {name} is not the one that was built"
    return None


def _sha256(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            state.update(part)
    return state.hexdigest()


def _stamp(repository: Path) -> dict[str, Any] | None:
    """Return what a build wrote of its repository, None where no build did."""
    try:
        stamp = json.loads((repository / STAMP_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent, unreadable, no JSON: in each case no build's repository
        return None
    return stamp if isinstance(stamp, dict) else None


def _gpu(line: str) -> Gpu:
    parts = [part.strip() for part in line.rsplit(",", 2)]
    if len(parts) != 3 or not parts[1].replace(".", "", 1).isdigit():  # noqa: PLR2004  the three that were asked for
        raise GpuError(f"nvidia-smi names no compute capability ({line.strip()}): update the driver")
    return Gpu(*parts)


def serve_choice(repositories: Sequence[Path], command: Sequence[str] = ()) -> int:
    """Become `command` with the repository that this host is to serve in the place of {}, or print it without one.

    What is not served, and why, goes to standard error. Return the exit status: 0, or 1 if none can be served.
    """
    try:
        choice = choose(repositories, this_host())
    except ChoiceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for sentence in choice.passed_over:
        sys.stderr.write(f"{sentence}; {choice.repository} is served instead\n")
    sys.stderr.flush()
    if command:
        filled = [argument.replace("{}", str(choice.repository)) for argument in command]
        # The process becomes the command, so that signals reach the server.
        os.execvp(filled[0], filled)  # noqa: S606  a shell would stand between
    sys.stdout.write(f"{choice.repository}\n")
    return 0


def main() -> int:
    """Choose among the repositories of the command line, for the command after `--` if there is one."""
    parser = argparse.ArgumentParser(
        description="Print the first model repository that this host can serve, or serve it by the command after --.",
        usage="%(prog)s REPOSITORY [REPOSITORY ...] [-- COMMAND [ARGUMENT ...]], with {} where the repository belongs",
    )
    parser.add_argument("repositories", nargs="+", type=Path)
    arguments = sys.argv[1:]
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return serve_choice(parser.parse_args(arguments[:at]).repositories, arguments[at + 1 :])


if __name__ == "__main__":
    sys.exit(main())
