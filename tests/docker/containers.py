"""Images without a daemon or a registry: a base by debootstrap, builds by buildah, containers by chroot."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOOLS = ("buildah", "debootstrap", "unshare", "chroot")
_BUILD_SECONDS = 1200
# Settings by which pip reaches its index; they hold inside a build as well.
_CLIENT_SETTINGS = {"cert", "extra-index-url", "index-url", "proxy", "timeout", "trusted-host"}


def missing() -> str | None:
    """Return why no image can be built here, None if one can."""
    if os.geteuid() != 0:
        return "building images takes root"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def debian_with_python(folder: Path) -> Path:
    """Fill a folder with a Debian that has python and pip, as the official Python images have; return it.

    Debian 12 brings Python 3.11 and pip 23.0.
    """
    _call("debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", "bookworm", folder)
    (folder / "usr/bin/python").symlink_to("python3")
    # Debian keeps its own Python from pip's hands; a Python of its own, as in the official images, has no such file.
    for file in folder.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        file.unlink()
    (wheel,) = folder.glob("usr/share/python-wheels/pip-*.whl")
    inside = Path("/") / wheel.relative_to(folder)
    install = ["install", "--quiet", "--root-user-action=ignore", "--no-deps", "--no-index"]
    _call("chroot", folder, "python3", inside / "pip", *install, inside)
    return folder


@dataclass(frozen=True, slots=True)
class Store:
    """Images in a folder."""

    folder: Path

    def _buildah(self, *words: str | Path) -> str:
        place = ("--root", self.folder / "images", "--runroot", self.folder / "run", "--storage-driver", "vfs")
        return _call("buildah", *place, *words)

    def image_of(self, root: Path, name: str) -> None:
        """Make a folder an image."""
        container = self._buildah("from", "scratch")
        self._buildah("copy", "--quiet", container, root, "/")
        self._buildah("commit", "--quiet", container, name)
        self._buildah("rm", container)

    def build(self, dockerfile: Path, name: str, target: str, **arguments: str) -> None:
        """Build a target of a recipe as it says, out of the checkout, with this machine's way to a package index."""
        options: list[str | Path] = [
            "--isolation",
            "chroot",
            "--pull-never",
            "--file",
            dockerfile,
            "--tag",
            name,
            "--target",
            target,
        ]
        options += ["--ignorefile", dockerfile.with_name(f"{dockerfile.name}.dockerignore")]
        for volume in _client_files(self.folder):
            options += ["--volume", f"{volume}:ro"]
        for key, value in arguments.items():
            options += ["--build-arg", f"{key}={value}"]
        self._buildah("build", *options, ROOT)

    def mounted(self, name: str) -> "Image":
        """Mount a container of an image."""
        container = self._buildah("from", "--pull-never", name)
        inspected = json.loads(self._buildah("inspect", container))
        return Image(Path(self._buildah("mount", container)), inspected["OCIv1"]["config"])


@dataclass(frozen=True, slots=True)
class Image:
    """An image whose files lie in `root`, and what it says about how it runs."""

    root: Path
    config: Mapping[str, Any]

    def argv(self, *words: str, entrypoint: Sequence[str] | None = None, **environment: str) -> list[str]:
        """Return the command that runs it: its user, a root that cannot be written, /tmp in memory, the host's network.

        Without words it runs its own command.
        """
        own = list(self.config["Entrypoint"] if entrypoint is None else entrypoint)
        command = [*own, *(words or self.config["Cmd"])]
        variables = [*self.config["Env"], *(f"{name}={value}" for name, value in environment.items())]
        prepare = (
            'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && mount -t tmpfs tmpfs "$0/tmp" '
            '&& mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec "$@"'
        )
        inside = ["chroot", f"--userspec={self.config['User']}", str(self.root), "/usr/bin/env", "-i"]
        inside += [f"--chdir={self.config['WorkingDir']}", *variables, *command]
        # The first process of the namespace is the worker itself, as in a container.
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", prepare, str(self.root), *inside]

    def run(self, *words: str, entrypoint: Sequence[str] | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        argv = self.argv(*words, entrypoint=entrypoint)
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)


def _client_files(folder: Path) -> list[str]:
    """Return what to mount so that pip inside reaches the index that pip here does, as `here:inside`."""
    listed = _call(sys.executable, "-m", "pip", "config", "list").splitlines()
    pairs = (line.partition("=") for line in listed)
    settings = {name.rpartition(".")[2]: value.strip("'") for name, _, value in pairs}
    settings = {name: value for name, value in settings.items() if name in _CLIENT_SETTINGS}
    file = folder / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    certificates = [f"{settings['cert']}:{settings['cert']}"] if "cert" in settings else []
    return [f"{file}:/etc/pip.conf", *certificates]


def _call(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS)
    assert done.returncode == 0, f"{argv[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}"
    return done.stdout.strip()
