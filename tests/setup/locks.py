"""The locks, read strictly, and the environments that they have to fill."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from packaging.markers import Marker, default_environment
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT: Final = Path(__file__).parents[2]
FILES: Final = ROOT / ".ci" / "lock-files.txt"
LOCKS: Final = tuple(
    sorted(
        path
        for path in (*ROOT.glob(".ci/*.txt"), *ROOT.glob("docker/*.txt"), *ROOT.glob("worker/local/locks/*.txt"))
        if path != FILES and path.stem != "kafka"
    )
)

PYTHONS: Final = ((3, 11), (3, 12))
# That of Ubuntu 22.04 and of the wheel that holds the embedded Triton; Debian 12 has 36.
_GLIBC: Final = 35
_PLATFORMS: Final = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 16, -1)),
    "manylinux2014_x86_64",
    *(f"manylinux_2_{minor}_x86_64" for minor in range(16, 11, -1)),
    "manylinux2010_x86_64",
    *(f"manylinux_2_{minor}_x86_64" for minor in range(11, 4, -1)),
    "manylinux1_x86_64",
    "linux_x86_64",
)
_LINE: Final = re.compile(r"^([\w.-]+)==([\w.+!-]+)(?: ; (.+?))?((?: +--hash=sha256:[0-9a-f]{64})+)$")


@dataclass(frozen=True, slots=True)
class Line:
    """One package of a lock."""

    name: str
    version: Version
    marker: Marker | None
    hashes: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name==version ; marker --hash=sha256:…`. Raises ValueError for anything else."""
        match = _LINE.match(text)
        if match is None:
            raise ValueError(f"not a pin with hashes: {text[:80]}")
        name, version, marker, hashes = match.groups()
        return cls(
            canonicalize_name(name),
            Version(version),
            Marker(marker) if marker else None,
            frozenset(re.findall(r"[0-9a-f]{64}", hashes)),
        )

    def applies_to(self, python: tuple[int, ...]) -> bool:
        """Say whether a Python, as (3, 11) or (3, 11, 2), gets it."""
        return self.marker is None or self.marker.evaluate(environment(python))


@functools.cache
def read(lock: Path) -> tuple[Line, ...]:
    """Return the lines of a lock. Raises ValueError for whatever is no pin with hashes."""
    joined = re.sub(r" \\\n +", " ", lock.read_text(encoding="utf-8"))
    return tuple(Line.parse(line) for line in joined.splitlines())


@functools.cache
def environment(python: tuple[int, ...]) -> dict[str, str]:
    """Return what markers see under a Python on the platform that is supported; its seventh release unless it says."""
    version = ".".join(map(str, python[:2]))
    full_version = ".".join(map(str, (*python, 7)[:3]))
    return {
        **{name: str(value) for name, value in default_environment().items()},
        "python_version": version,
        "python_full_version": full_version,
        "implementation_version": full_version,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "extra": "",
    }


@functools.cache
def tags(python: tuple[int, int]) -> tuple[Tag, ...]:
    """Return the tags of the wheels that a Python takes, best first."""
    own = cpython_tags(python_version=python, platforms=_PLATFORMS)
    interpreter = f"cp{python[0]}{python[1]}"
    return (*own, *compatible_tags(python_version=python, interpreter=interpreter, platforms=_PLATFORMS))


def locked_files() -> dict[str, str]:
    """Return the file names that `make lock` saw, by their SHA-256."""
    pairs = (line.partition("  ") for line in FILES.read_text(encoding="utf-8").splitlines())
    return {digest: name for digest, _, name in pairs}
