"""`make setup` and `make install` with the pip that each supported Python brings, while newer releases are offered."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.setup.locks import PYTHONS, ROOT, read

pytestmark = [pytest.mark.setup, pytest.mark.timeout(1200)]

# What broke the set-up, or would: packages that others ask for by an extra, and those that build.
NEWER = ("coverage", "setuptools", "cffi", "hatchling", "numpy")
SHIPPED = ("worker.lock.txt", "source.lock.txt")
_KEPT = ("Makefile", "pyproject.toml", "README.md", "LICENSE", ".ci", "docker", "worker", "model_repository")


def interpreters() -> dict[str, str]:
    """Return the supported Pythons that are here: this one, and those on the PATH that start."""
    names = [f"python{major}.{minor}" for major, minor in PYTHONS]
    this = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = {this: str(Path(sys.base_prefix) / "bin" / this)}
    for name in names:
        started = shutil.which(name)
        if started and subprocess.run([started, "--version"], capture_output=True, check=False).returncode == 0:
            found.setdefault(name, started)
    return found


@pytest.fixture
def newer_releases(tmp_path: Path) -> Path:
    """Wheels of version 9999 that no lock knows: whoever resolves takes them."""
    folder = tmp_path / "newer"
    folder.mkdir()
    for name in NEWER:
        about = f"{name}-9999.dist-info"
        with zipfile.ZipFile(folder / f"{name}-9999-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 9999\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
    return folder


@pytest.mark.parametrize("name", [f"python{major}.{minor}" for major, minor in PYTHONS])
def test_an_empty_machine_gets_what_is_locked(name: str, newer_releases: Path, tmp_path: Path) -> None:
    here = interpreters()
    if name not in here:
        pytest.skip(f"{name} is not on the PATH")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for part in _KEPT:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, checkout / part)
    offered = f"{os.environ.get('PIP_FIND_LINKS', '')} {newer_releases}".strip()
    surroundings = {**os.environ, "HOME": str(tmp_path / "home"), "PIP_FIND_LINKS": offered}
    surroundings |= {"PIP_CACHE_DIR": str(tmp_path / "cache"), "MAKEFLAGS": ""}

    made = subprocess.run(
        ["make", "setup", f"PYTHON={here[name]}"],
        cwd=checkout, env=surroundings, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert made.returncode == 0, (made.stdout + made.stderr)[-3000:]
    assert "No broken requirements found." in made.stdout
    listed = subprocess.run(
        [checkout / ".venv" / "bin" / "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    assert "==9999" not in listed.stdout
    asked = subprocess.run(
        [checkout / ".venv" / "bin" / "labelwire", "--version"], capture_output=True, text=True, check=True
    )
    assert asked.stdout.startswith("labelwire ")

    worker = tmp_path / "worker"
    made = subprocess.run(
        ["make", "install", f"PYTHON={here[name]}", f"PREFIX={worker}"],
        cwd=checkout, env=surroundings, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert made.returncode == 0, (made.stdout + made.stderr)[-3000:]
    assert "No broken requirements found." in made.stdout
    installed = {canonicalize_name(path.name.partition("-")[0]) for path in worker.rglob("*.dist-info")}
    major, minor = map(int, name.removeprefix("python").split("."))
    lines = [line for lock in SHIPPED for line in read(ROOT / "docker" / lock)]
    locked = {line.name for line in lines if line.applies_to((major, minor))}
    assert installed == {*locked, "labelwire"}
    shown = subprocess.run([worker / "bin" / "labelwire", "check"], capture_output=True, text=True, check=True)
    assert "LABELWIRE_TRITON__URL" in shown.stdout
