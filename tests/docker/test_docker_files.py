"""The image recipes are right as far as it can be seen without an engine, and the wheel builds from what they copy."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
import yaml

import worker

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))

# A tag that starts with a version, as python:3.12.12-slim-bookworm.
_PINNED = re.compile(r"^[a-z0-9./-]+:\d[\w.-]*$")


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A Dockerfile's instructions, continuation lines joined: (name, rest of the line)."""

    path: Path
    instructions: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
        lines = (line.partition(" ") for line in text.splitlines() if line.strip())
        return cls(path, tuple((name, rest.strip()) for name, _, rest in lines))

    def all(self, name: str) -> list[str]:
        return [rest for instruction, rest in self.instructions if instruction == name]

    def copied(self) -> list[str]:
        """Return what is copied from the build context, in order."""
        return [
            source.rstrip("/")
            for rest in self.all("COPY")
            if not rest.startswith("--from=")
            for source in rest.split()[:-1]
        ]

    def let_through(self) -> set[str]:
        """Return what the ignore file beside it lets into the build context."""
        lines = self.path.with_name(f"{self.path.name}.dockerignore").read_text().split()
        assert lines[0] == "*", "an ignore file begins by leaving everything out"
        return {line.removeprefix("!") for line in lines if line.startswith("!")}


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.stem)
def dockerfile(request: pytest.FixtureRequest) -> Dockerfile:
    path: Path = request.param
    return Dockerfile.read(path)


@pytest.fixture
def worker_image() -> Dockerfile:
    return Dockerfile.read(DOCKER / "worker.Dockerfile")


def test_there_is_an_image_for_each_deployment() -> None:
    assert [path.name for path in DOCKERFILES] == ["triton.Dockerfile", "worker.Dockerfile"]


def test_the_base_image_is_pinned_by_version_and_can_be_replaced_by_a_digest(dockerfile: Dockerfile) -> None:
    name, _, default = dockerfile.all("ARG")[0].partition("=")
    stages = [rest.split() for rest in dockerfile.all("FROM")]
    own = {stage[2] for stage in stages if len(stage) == 3}

    assert _PINNED.match(default)
    assert {stage[0] for stage in stages} - own == {f"${{{name}}}"}


def test_each_image_says_what_it_is_made_of(dockerfile: Dockerfile) -> None:
    arguments = [argument.partition("=") for argument in dockerfile.all("ARG")[1:]]
    labels = dockerfile.all("LABEL")

    assert {(name, default) for name, _, default in arguments} == {
        ("VERSION", worker.__version__),
        ("REVISION", "unknown"),
    }
    assert labels
    for label in labels:
        assert 'org.opencontainers.image.version="${VERSION}"' in label
        assert 'org.opencontainers.image.revision="${REVISION}"' in label


def test_what_is_copied_exists_and_reaches_the_build(dockerfile: Dockerfile) -> None:
    copied = dockerfile.copied()

    assert copied
    assert [source for source in copied if not source.startswith("build/") and not (ROOT / source).exists()] == []
    assert set(copied) == dockerfile.let_through()


def test_the_container_runs_as_a_numeric_user_that_is_not_root(dockerfile: Dockerfile) -> None:
    user, _, group = dockerfile.all("USER")[-1].partition(":")

    assert int(user) >= 1000
    assert int(group) >= 1000


@pytest.mark.parametrize(("image", "user"), [("worker", 10001), ("triton", 1000)])
def test_the_chart_runs_it_as_the_same_user(image: str, user: int) -> None:
    values = yaml.safe_load((ROOT / "helm" / "labelwire" / "values.yaml").read_text(encoding="utf-8"))

    assert Dockerfile.read(DOCKER / f"{image}.Dockerfile").all("USER")[-1] == f"{user}:{user}"
    assert values[image]["podSecurity"]["runAsUser"] == user


def test_no_shell_stands_between_the_container_and_its_signals(dockerfile: Dockerfile) -> None:
    for name in ("RUN", "CMD", "ENTRYPOINT"):
        for command in dockerfile.all(name):
            assert json.loads(command)[0] not in {"sh", "bash", "/bin/sh", "/bin/bash"}


def test_the_worker_installs_nothing_but_the_lock_and_its_own_wheel(worker_image: Dockerfile) -> None:
    commands = [json.loads(command) for command in worker_image.all("RUN")]
    installs = [command for command in commands if "install" in command]
    locked = [command for command in installs if "--require-hashes" in command]
    rest = [command for command in installs if "--require-hashes" not in command]

    assert [command[command.index("-r") + 1] for command in locked] == [
        "docker/worker.lock.txt",
        "docker/build.lock.txt",
        "docker/sbom.lock.txt",
        "docker/models.lock.txt",
    ]
    assert [{"--no-deps", "--no-index"} <= set(command) for command in rest] == [True]
    assert [command for command in commands if "wheel" in command and "--no-build-isolation" not in command] == []


@pytest.mark.parametrize("lock", [f"{name}.lock.txt" for name in ("worker", "source", "build", "models", "sbom")])
def test_a_lock_pins_everything_by_hash_and_names_no_address(lock: str) -> None:
    text = (DOCKER / lock).read_text()
    requirements = re.split(r"\n(?=[a-zA-Z])", text.strip())

    assert "://" not in text
    assert all(re.match(r"^[\w.-]+==\S+", requirement) for requirement in requirements)
    assert all("--hash=sha256:" in requirement for requirement in requirements)


def test_the_worker_carries_no_inference_engine() -> None:
    names = set(re.findall(r"^([\w.-]+)==", (DOCKER / "worker.lock.txt").read_text(), flags=re.MULTILINE))

    assert {"confluent-kafka", "tritonclient", "opencv-python-headless"} <= names
    assert not names & {"openvino", "nvidia-pytriton", "onnxruntime", "onnx", "torch", "rapidocr"}


def test_the_images_share_the_tested_versions() -> None:
    tested = set(re.findall(r"^[\w.-]+==\S+", (ROOT / ".ci" / "dev.lock.txt").read_text(), flags=re.MULTILINE))
    shipped = {
        pin
        for lock in ("worker.lock.txt", "source.lock.txt", "build.lock.txt", "models.lock.txt")
        for pin in re.findall(r"^[\w.-]+==\S+", (DOCKER / lock).read_text(), flags=re.MULTILINE)
    }

    assert shipped - tested == set()


def test_the_wheel_builds_from_what_is_copied(worker_image: Dockerfile, tmp_path: Path) -> None:
    context = tmp_path / "context"
    for source in worker_image.copied():
        target = context / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)

    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", tmp_path, context], check=True, timeout=120)

    (wheel,) = tmp_path.glob("labelwire-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "worker").rglob("*.py")}
    lab = {name for name in modules if name.startswith("worker/lab/")}
    assert len(lab) > 50
    assert modules - lab <= names
    assert {name for name in names if name.startswith("worker/lab/")} == set()
    assert any(name.endswith("/licenses/LICENSE") for name in names)
