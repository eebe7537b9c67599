"""Hosts with a GPU, as far as a bench sees them: what their commands print."""

import os
from pathlib import Path

from worker.local.provision import python_environment, python_library_folders
from worker.local.python_backend import link_python_backend
from worker.models.choice import Gpu

H200 = Gpu("NVIDIA H200", "9.0", "580.159.03")


def write_nvidia_smi(
    folder: Path, printed: str = "37, 4512, 143771", *, exit_status: int = 0, asked: Path | None = None
) -> None:
    """Write an `nvidia-smi` that names an H200, and prints utilization, used and total memory if it is asked for them.

    Its arguments are added to the file `asked`.
    """
    path = folder / "nvidia-smi"
    path.write_text(
        "#!/bin/sh\n"
        + (f'echo "$@" >> {asked}\n' if asked else "")
        + f"[ {exit_status} = 0 ] || exit {exit_status}\n"
        + 'case "$*" in\n'
        + f"*utilization.gpu,memory.used,memory.total*) echo '{printed}' ;;\n"
        + f"*) echo '{H200.name}, {H200.compute_capability}, {H200.driver}' ;;\n"
        + "esac\n",
        encoding="utf-8",
    )
    path.chmod(0o755)


def write_tritonserver(folder: Path) -> None:
    """Write a `tritonserver` that is the embedded one, with its own backends, as a container has its own."""
    environment = python_environment("triton")
    installed = environment.site_packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    libraries = [environment.site_packages / "nvidia_pytriton.libs", *python_library_folders()]
    folder.mkdir(parents=True)
    path = folder / "tritonserver"
    path.write_text(
        "#!/bin/sh\n"
        f"export LD_LIBRARY_PATH={os.pathsep.join(map(str, libraries))}\n"
        f"export PATH={environment.python.parent}:$PATH\n"
        f'exec {installed} --backend-directory={link_python_backend(environment, folder / "backends")} "$@"\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
