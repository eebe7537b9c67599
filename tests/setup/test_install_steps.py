"""No install step anywhere resolves: whatever is released after the locks were written changes nothing."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.setup.locks import LOCKS, ROOT
from tests.setup.test_locks import MAY_BE_BUILT

TEXTS = sorted(
    path
    for pattern in ("*", ".ci/**/*", ".git*/**/*", ".*.y*ml", "docker/**/*", "docs/**/*", "helm/**/*")
    for path in ROOT.glob(pattern)
    if path.is_file()
    and ".git" not in path.parts
    and path not in LOCKS
    and path.suffix in {"", ".md", ".yaml", ".yml", ".json", ".toml", ".Dockerfile", ".tpl", ".txt", ".in", ".sh"}
)
SOURCES = sorted((ROOT / "worker").rglob("*.py"))

_STEP = re.compile(r"\bpip3?\s.*?\b(?:install|download|wheel)\s.*")
# Whoever resolves by itself, and the names under which a package that no index has would be asked for.
_RESOLVERS = re.compile(
    r"\b(?:"
    r"uv (?:sync|add|run|tool|pip (?:install|sync))|uvx|pipx|poetry|pdm|easy_install|pip3? install '?labelwire"
    r"|(?:apt|apt-get|apk|dnf|microdnf|yum|zypper|conda|mamba|brew) (?:-\S+ )*(?:install|add)"
    r"|(?:npm|yarn|pnpm) (?:install|add|i)|curl\b[^|\n]*\|\s*(?:ba)?sh)\b"
    r"|[@:]latest\b"
)
_BUILDS = {"-e", "--editable", "."}


@dataclass(frozen=True, slots=True)
class Step:
    """An install step: where it stands, and its words."""

    path: Path
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}: {' '.join(self.words)}"

    def option(self, name: str) -> set[str]:
        return {
            value for word in self.words if word.startswith(f"{name}=") for value in word.partition("=")[2].split(",")
        }

    def faults(self) -> Iterator[str]:
        if "--no-deps" not in self.words:
            yield "--no-deps is missing"
        if "-r" in self.words:
            yield from self._faults_of_a_lock(self.words[self.words.index("-r") + 1])
        elif "--no-index" not in self.words:
            yield "--no-index is missing, and there is no lock"
        if _BUILDS & set(self.words) and "--no-build-isolation" not in self.words:
            yield "--no-build-isolation is missing"

    def _faults_of_a_lock(self, lock: str) -> Iterator[str]:
        if ROOT / lock not in LOCKS:
            yield f"{lock} is no lock"
        if "--require-hashes" not in self.words:
            yield "--require-hashes is missing"
        wheels, sources = self.option("--only-binary"), self.option("--no-binary")
        if wheels != {":all:"} and sources != {":all:"}:
            yield "neither --only-binary=:all: nor --no-binary=:all: says what may be built"
        if sources and "--no-build-isolation" not in self.words:
            yield "--no-build-isolation is missing"
        if sources - {":all:"} != (MAY_BE_BUILT.get(lock, set()) if wheels else set()):
            yield f"{', '.join(sorted(sources))} would be built"


def commands_of(path: Path) -> Iterator[str]:
    """Yield the commands of a text, a Makefile, a Dockerfile or a page: those that stand on one line each by itself."""
    for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        plain = line.replace("`", " ; ") if path.suffix == ".md" else re.sub(r"^\s*#.*", "", line)
        if re.match(r"(?:RUN|CMD|ENTRYPOINT) \[", line):
            plain = " ".join(shlex.quote(word) for word in json.loads(line.partition(" ")[2]))
        yield from re.split(r"&&|\|\||[;|]", plain)


def steps_of(path: Path) -> list[Step]:
    """Return the install steps of a text."""
    matches = (_STEP.search(command) for command in commands_of(path))
    return [Step(path, tuple(re.split(r"\s+", match.group().strip()))) for match in matches if match]


def strings_by_function(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield the strings of each function of a module that has to do with pip, and those outside of any."""
    text = path.read_text(encoding="utf-8")
    if '"pip"' not in text:  # most modules: a tree takes long to walk
        return
    tree = ast.parse(text)
    inner = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in (tree, *inner):
        constants = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
        yield getattr(node, "name", "module"), {value for value in constants if isinstance(value, str)}


def test_steps_are_found_where_they_are_known_to_be() -> None:
    found = [step.path.name for path in TEXTS for step in steps_of(path)]
    assert found.count("Makefile") == 7
    assert found.count("worker.Dockerfile") == 7
    calling = {path.name for path in SOURCES for _, strings in strings_by_function(path) if "pip" in strings}
    assert calling == {"provision.py", "source.py"}


def test_no_step_resolves() -> None:
    faults = [f"{step}: {fault}" for path in TEXTS for step in steps_of(path) for fault in step.faults()]
    assert faults == []


def test_no_code_that_installs_resolves() -> None:
    for path in SOURCES:
        for function, strings in strings_by_function(path):
            if "pip" in strings and function != "module":
                missing = {"--no-deps", "--require-hashes", "--only-binary=:all:"} - strings
                assert not missing, f"{path}: {function}"
                assert "install" not in strings or "check" in strings, f"{path}: {function} does not check"


def parts_of(path: Path) -> Iterator[list[str]]:
    """Yield the commands of each part that has an end of its own: a rule of a Makefile, a stage of a Dockerfile."""
    part: list[str] = []
    for command in commands_of(path):
        if re.match(r"[\w$().-]+:|FROM ", command) and part:
            yield part
            part = []
        part.append(command)
    yield part


def test_where_a_lock_is_installed_the_environment_is_checked_at_the_end() -> None:
    checked = 0
    for path in TEXTS:
        for commands in parts_of(path):
            steps = {place: found.group() for place, text in enumerate(commands) if (found := _STEP.search(text))}
            if any(re.search(r"\binstall .*-r ", step) for step in steps.values()):
                checked += 1
                assert any(re.search(r"\bpip\b.* check\b", text) for text in commands[max(steps) + 1 :]), path
    assert checked == 4, "make setup, make install, the worker image and the one that builds models"


def test_nobody_is_told_to_resolve() -> None:
    told = {path: resolved_in(path) for path in (*TEXTS, *SOURCES)}
    assert {path: words for path, words in told.items() if words} == {}


def resolved_in(path: Path) -> list[str]:
    """Return what would resolve, in the text itself, comments included, and in what its commands are in plain words."""
    texts = [path.read_text(encoding="utf-8"), *([] if path.suffix == ".py" else commands_of(path))]
    return [match.group() for text in texts for match in _RESOLVERS.finditer(text)]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.yml", "- run: uv pip sync requirements.txt", "uv pip sync"),
        ("a.yaml", "command: [sh, -c, apt-get install -y libvips]", "apt-get install"),
        ("a.Dockerfile", 'RUN ["apt-get", "install", "-y", "libvips"]', "apt-get install"),
        ("a.Dockerfile", "FROM python:latest", ":latest"),
        ("a.md", "Run `go install example.com/tool@latest`.", "@latest"),
        ("a.md", "    curl -sSf https://example.com/install | sh", "curl"),
        ("Makefile", "\tbrew install vips", "brew install"),
    ],
)
def test_what_resolves_by_itself_is_noticed(tmp_path: Path, name: str, text: str, found: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert any(found in words for words in resolved_in(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "text", "steps"),
    [
        ("Makefile", "\tpip install --no-deps --no-index a && pip install b", [False, True]),
        ("a.Dockerfile", 'RUN ["pip", "install", "b"]', [True]),
        ("a.Dockerfile", "RUN true; python -m pip install b", [True]),
        ("a.md", "First `pip install b`, then `pip check`.", [True]),
        ("a.yml", "- run: pip install \\\n    b", [True]),
    ],
)
def test_every_step_of_a_text_is_found(tmp_path: Path, name: str, text: str, steps: list[bool]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [bool(list(step.faults())) for step in steps_of(tmp_path / name)] == steps


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("pip install numpy", "--no-deps"),
        ("pip install --no-deps numpy", "--no-index"),
        ("pip install --no-deps --require-hashes --only-binary=:all: -r requirements.txt", "no lock"),
        ("pip install --no-deps --only-binary=:all: -r docker/worker.lock.txt", "--require-hashes"),
        ("pip install --no-deps --require-hashes -r docker/worker.lock.txt", "may be built"),
        ("pip wheel --no-deps --require-hashes --no-binary=:all: -r docker/source.lock.txt", "--no-build-isolation"),
        (
            (
                "pip install --no-deps --require-hashes --only-binary=:all: --no-binary=numpy --no-build-isolation "
                "-r .ci/dev.lock.txt"
            ),
            "numpy would be built",
        ),
        ("pip install --no-deps --no-index -e .", "--no-build-isolation"),
    ],
)
def test_a_step_that_resolves_or_builds_freely_is_noticed(command: str, fault: str) -> None:
    assert any(fault in text for text in Step(ROOT / "Makefile", tuple(command.split())).faults())
