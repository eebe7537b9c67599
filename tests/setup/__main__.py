"""Writes `.ci/lock-files.txt`: `python -m tests.setup` (part of `make lock`, needs uv).

A lock holds hashes and no file names, so it does not say which of its lines have wheels. This list does, for the
Pythons and the platform that are supported: `<sha256>  <file name>`, of the wheel that pip takes, else of the source.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from packaging.utils import parse_wheel_filename

from tests.setup.locks import FILES, LOCKS, PYTHONS, read, tags


def main() -> None:
    """Ask the index about every line of every lock, and write the list."""
    lines: set[str] = set()
    for lock in LOCKS:
        lines |= _files_of(lock)
    FILES.write_text("".join(f"{line}\n" for line in sorted(lines, key=lambda line: line.split("  ")[1])))


def _files_of(lock: Path) -> set[str]:
    pinned = {(line.name, str(line.version)): line for line in read(lock)}
    chosen: set[str] = set()
    for package in _packages(lock):
        line = pinned[package["name"], package["version"]]
        wheels = {_name(wheel): wheel["hashes"]["sha256"] for wheel in package.get("wheels", [])}
        for python in (python for python in PYTHONS if line.applies_to(python)):
            wheel = _best(list(wheels), python)
            if wheel:
                chosen.add(f"{wheels[wheel]}  {wheel}")
            elif "sdist" in package:
                chosen.add(f"{package['sdist']['hashes']['sha256']}  {_name(package['sdist'])}")
            else:
                sys.exit(f"{lock}: {line.name} {line.version} has neither a wheel for Python {python} nor a source")
    return chosen


def _packages(lock: Path) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "pylock.toml"
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--no-deps"]
        subprocess.run([*command, "--format", "pylock.toml", "-o", listing, lock], check=True)
        packages: list[dict[str, Any]] = tomllib.loads(listing.read_text(encoding="utf-8"))["packages"]
        return packages


def _name(file: dict[str, Any]) -> str:
    name: str = file.get("name") or file["url"].rpartition("/")[2]
    return name.replace("%2B", "+")


def _best(wheels: list[str], python: tuple[int, int]) -> str | None:
    order = {tag: place for place, tag in enumerate(tags(python))}
    places = {
        name: min((order[tag] for tag in parse_wheel_filename(name)[3] if tag in order), default=None)
        for name in wheels
    }
    fitting = {name: place for name, place in places.items() if place is not None}
    return min(fitting, key=lambda name: fitting[name], default=None)


if __name__ == "__main__":
    main()
