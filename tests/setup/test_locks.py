"""Every lock is pinned, hashed, complete, and can be installed as the install steps install it, without resolving."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from tests.setup.locks import LOCKS, PYTHONS, ROOT, Line, environment, locked_files, read, tags

# What has no wheels, and what its own pyproject.toml asks for to be built (font-roboto has none: setuptools).
BUILT_HERE = {"pyvips": ["setuptools>=61", "cffi>=1.0", "pkgconfig>=1.5"], "font-roboto": ["setuptools"]}
MAY_BE_BUILT = {".ci/dev.lock.txt": {"pyvips", "font-roboto"}, "docker/source.lock.txt": {"pyvips"}}
DEV, WORKER, SOURCE, BUILD = (
    ROOT / name for name in (".ci/dev.lock.txt", *(f"docker/{part}.lock.txt" for part in ("worker", "source", "build")))
)

on_each_python = pytest.mark.parametrize("python", PYTHONS, ids=lambda python: ".".join(map(str, python)))


def named(lock: Path) -> str:
    return str(lock.relative_to(ROOT))


def lines_for(python: tuple[int, int], *locks: Path) -> dict[str, Line]:
    lines = [line for lock in locks for line in read(lock) if line.applies_to(python)]
    assert len(lines) == len({line.name for line in lines}), "a package is pinned twice"
    return {line.name: line for line in lines}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_locks_are_these() -> None:
    assert {named(lock) for lock in LOCKS} == {
        ".ci/dev.lock.txt",
        "docker/build.lock.txt",
        "docker/models.lock.txt",
        "docker/sbom.lock.txt",
        "docker/source.lock.txt",
        "docker/worker.lock.txt",
        *(
            f"worker/local/locks/{name}.txt"
            for name in ("cuda", "java", "profile", "rapidocr", "redis", "tensorrt", "triton")
        ),
    }


@pytest.mark.parametrize("lock", LOCKS, ids=named)
def test_a_lock_holds_pins_with_hashes_and_no_addresses(lock: Path) -> None:
    assert read(lock)
    assert "://" not in lock.read_text(encoding="utf-8")


@on_each_python
@pytest.mark.parametrize("lock", LOCKS, ids=named)
def test_each_line_has_a_locked_wheel_for_each_python_or_may_be_built(lock: Path, python: tuple[int, int]) -> None:
    files, fitting = locked_files(), frozenset(tags(python))
    without = set()
    for line in lines_for(python, lock).values():
        names = [files[digest] for digest in line.hashes if digest in files]
        wheels = [parse_wheel_filename(name) for name in names if name.endswith(".whl")]
        if not any((wheel[0], wheel[1]) == (line.name, line.version) and wheel[3] & fitting for wheel in wheels):
            without.add(line.name)
            sources = [parse_sdist_filename(name) for name in names if not name.endswith(".whl")]
            assert sources == [(line.name, line.version)], f"{line.name} has neither wheel nor source in the list"
    assert without == MAY_BE_BUILT.get(named(lock), set())


@on_each_python
def test_what_is_built_finds_what_builds_it_in_the_lock_that_is_installed_first(python: tuple[int, int]) -> None:
    system = project()["build-system"]["requires"]
    wanted = [*system, "editables", *(need for needs in BUILT_HERE.values() for need in needs)]
    assert list(unmet(wanted, lines_for(python, BUILD), python)) == []


@on_each_python
def test_the_development_lock_is_complete(python: tuple[int, int]) -> None:
    optional = project()["project"]["optional-dependencies"]
    wanted = [*project()["project"]["dependencies"], *(need for extra in optional.values() for need in extra)]
    assert list(unmet(wanted, lines_for(python, DEV), python)) == []


@on_each_python
def test_the_locks_of_the_worker_are_complete(python: tuple[int, int]) -> None:
    assert list(unmet(project()["project"]["dependencies"], lines_for(python, WORKER, SOURCE), python)) == []


@pytest.mark.parametrize(("word", "name"), [("tensorrt", "tensorrt"), ("nvidia-c", "cuda")])
def test_what_is_proprietary_is_in_a_lock_of_its_own(word: str, name: str) -> None:
    holding = {named(lock) for lock in LOCKS for line in read(lock) if word in line.name}
    assert holding == {f"worker/local/locks/{name}.txt"}


@on_each_python
def test_the_images_hold_what_was_tested(python: tuple[int, int]) -> None:
    tested = lines_for(python, DEV)
    for lock in (WORKER, SOURCE, BUILD):
        assert [line for line in lines_for(python, lock).values() if tested.get(line.name) != line] == []


def test_what_is_installed_is_what_is_locked() -> None:
    def installed(line: Line) -> str | None:
        try:
            return distribution(line.name).version
        except PackageNotFoundError:
            return None

    here = [line for line in read(DEV) if line.marker is None or line.marker.evaluate()]
    assert [line.name for line in here if installed(line) != str(line.version)] == []


def unmet(wanted: Iterable[str], lines: dict[str, Line], python: tuple[int, int]) -> Iterator[str]:
    """Yield what is asked for, by these or by what they ask for, and is not in the lines in a version that will do.

    Who asks for what is taken from the packages that are installed here, extras included.
    """
    asked: list[tuple[str, str, str]] = [("the project", "", need) for need in wanted]
    seen: set[tuple[str, str]] = set()
    while asked:
        by, extra, text = asked.pop()
        need = Requirement(text)
        name = canonicalize_name(need.name)
        if name == "labelwire" or not (
            need.marker is None or need.marker.evaluate({**environment(python), "extra": extra})
        ):
            continue
        line = lines.get(name)
        if line is None or not need.specifier.contains(line.version, prereleases=True):
            yield f"{by} asks for {text}, and {line.version if line else 'nothing'} is locked"
            continue
        for further in ("", *need.extras):
            if (name, further) not in seen:
                seen.add((name, further))
                asked += [(name, further, requires) for requires in distribution(name).requires or ()]


def test_an_extra_that_is_asked_for_counts() -> None:
    lines = lines_for((3, 11), DEV)
    assert any(re.match(r"coverage.*\[toml\]", need) for need in distribution("pytest-cov").requires or ())
    del lines["coverage"]
    assert [text.partition(" asks")[0] for text in unmet(["pytest-cov"], lines, (3, 11))] == ["pytest-cov"]
