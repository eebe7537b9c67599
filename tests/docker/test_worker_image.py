"""The worker image, built for real, reads labels off the real Kafka through the real Triton."""

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from packaging.utils import canonicalize_name
from PIL import Image as Picture

from tests.docker.containers import ROOT, Image, Store, debian_with_python, missing
from tests.fleet.workers import read_until
from tests.setup.locks import read
from worker import __version__ as worker_version
from worker.adapters.kafka.admin import create_topics
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.lab.evaluation import dataset
from worker.lab.synth.dataset import write_dataset
from worker.local.kafka import KafkaServer
from worker.local.process import free_ports
from worker.local.stack import DEFAULT_TOPICS
from worker.local.triton import TritonServer
from worker.settings import TopicSettings

_LOG = logging.getLogger(__name__)

pytestmark = [pytest.mark.image, pytest.mark.timeout(1800)]


REVISION = "0123456789abcdef"
# The last stage of the recipe, which is built without a target, is the worker.
LAST_STAGE = "worker"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    reason = missing()
    if reason:
        pytest.skip(f"no image can be built here: {reason}")
    folder = tmp_path_factory.mktemp("image")
    store = Store(folder)
    store.image_of(debian_with_python(folder / "debian"), "debian-with-python")
    yield store
    subprocess.run(["umount", *folder.glob("images/vfs/dir/*")], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def image(store: Store) -> Image:
    return built(store, LAST_STAGE)


@pytest.fixture(scope="module")
def models_image(store: Store) -> Image:
    return built(store, "models")


def built(store: Store, target: str) -> Image:
    base = "localhost/debian-with-python"
    store.build(ROOT / "docker" / "worker.Dockerfile", target, target, PYTHON_IMAGE=base, REVISION=REVISION)
    return store.mounted(target)


def test_it_names_its_version_and_lists_its_packages(image: Image) -> None:
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.version"] == worker_version
    assert labels["org.opencontainers.image.revision"] == REVISION
    packages = {name: version for name, version, _ in components(image)}
    python = version_of_python(image)
    locked = locked_in("worker", python) | locked_in("source", python)
    assert locked.items() <= packages.items()
    assert packages["labelwire"] == worker_version
    # Which patch of a Python the base has decides on the markers of some.
    known = {line.name for name in ("worker", "source") for line in read(ROOT / "docker" / f"{name}.lock.txt")}
    assert set(packages) - known == {"labelwire"}


def test_the_last_stage_is_the_worker() -> None:
    recipe = (ROOT / "docker" / "worker.Dockerfile").read_text()
    assert re.findall(r"^FROM .* AS (\w[\w-]*)$", recipe, flags=re.MULTILINE)[-1] == LAST_STAGE


def test_the_other_image_builds_models_without_a_package_index(models_image: Image) -> None:
    packages = {name for name, _, _ in components(models_image)}
    assert {"onnx", "onnxruntime", "labelwire", "confluent-kafka"} <= packages
    script = "models build --profile onnx --output /tmp/onnx >/dev/null && cd /tmp/onnx && ls"
    ended = models_image.run("-c", f"PIP_NO_INDEX=1 labelwire {script}", entrypoint=["sh"])
    assert ended.returncode == 0, ended.stderr
    assert {"text_detector", "line_orientation", "text_reader"} <= set(ended.stdout.split())


def components(image: Image) -> list[tuple[str, str, str]]:
    """Return name, version and URL of each package in the image's bill of materials."""
    listed = json.loads((image.root / "opt/labelwire/sbom.cdx.json").read_text())
    assert listed["bomFormat"] == "CycloneDX"
    return [(canonicalize_name(part["name"]), part["version"], part["purl"]) for part in listed["components"]]


def version_of_python(image: Image) -> tuple[int, ...]:
    """Return the version of the image's Python, such as (3, 11, 2); some packages are for the first releases alone."""
    ended = image.run("-c", "import sys; print(*sys.version_info[:3])", entrypoint=["python"])
    return tuple(map(int, ended.stdout.split()))


def locked_in(name: str, python: tuple[int, ...]) -> dict[str, str]:
    """Return what the lock has for a Python."""
    lines = read(ROOT / "docker" / f"{name}.lock.txt")
    return {line.name: str(line.version) for line in lines if line.applies_to(python)}


def test_it_tells_its_commands_and_settings(image: Image) -> None:
    shown = image.run("--help")
    assert shown.returncode == 0, shown.stderr
    words = " ".join(shown.stdout.replace("│", " ").split())
    assert "Read shipping labels from a Kafka topic" in words
    assert "installed worker leaves out" in words  # of the commands of the lab
    checked = image.run("check")
    assert "LABELWIRE_TRITON__URL" in checked.stdout + checked.stderr


def test_it_runs_as_a_user_who_can_write_to_tmp_only(image: Image) -> None:
    script = "import os\nprint(os.getuid(), os.getgid())\nopen('/tmp/a', 'w')\nopen('/var/tmp/a', 'w')"
    ended = image.run("-c", script, entrypoint=["python"])
    assert ended.stdout == "10001 10001\n"
    assert "Read-only file system: '/var/tmp/a'" in ended.stderr


def test_it_holds_nothing_that_builds_or_installs(image: Image) -> None:
    programs = {"pip", "pip3", "gcc", "cc", "c++", "make", "pkg-config", "git"}
    found = [
        path
        for folder in ("bin", "sbin", "usr/local/bin", "opt/labelwire/bin")
        for path in (image.root / folder).glob("*")
    ]
    assert {path.name for path in found} & {"python", "labelwire"} == {"python", "labelwire"}
    assert {path.name for path in found} & programs == set()
    for name in ("pip", "setuptools", "hatchling", "pkgconfig", "onnxruntime", "pillow_heif"):
        ended = image.run("-c", f"import {name}", entrypoint=["python"])
        assert f"No module named '{name}'" in ended.stderr


def test_it_reads_labels_of_every_decoder(
    image: Image, kafka: KafkaServer, triton: TritonServer, tmp_path: Path
) -> None:
    words = labels(tmp_path)
    topics = TopicSettings()
    create_topics(kafka.bootstrap_servers, DEFAULT_TOPICS)
    port = str(free_ports(1)[0])
    addresses = {
        "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "LABELWIRE_TRITON__URL": triton.grpc_url,
    }
    command = image.argv(**addresses, LABELWIRE_HTTP__HOST="127.0.0.1", LABELWIRE_HTTP__PORT=port)
    with (tmp_path / "worker.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as worker:
        try:
            wait_until_ready(port, tmp_path / "worker.log")
            submit(addresses, *(tmp_path / name for name in words))
            with TopicReader(kafka.bootstrap_servers, [topics.results, topics.dead_letters]) as reader:
                outcomes = read_until(reader, lambda records: len(records) == len(words), 180)
        finally:
            # It is the first process of its namespace: the one that unshare waits for.
            subprocess.run(["pkill", "-TERM", "-P", str(worker.pid)], check=True)
            status = worker.wait(60)
    assert [record.headers for record in outcomes if record.coordinate.topic == topics.dead_letters] == []
    results = {result["job_id"]: result for result in (json.loads(record.value or b"") for record in outcomes)}
    assert set(results) == set(words)
    shares = {name: len(words[name] & read_words(result)) / len(words[name]) for name, result in results.items()}
    _LOG.info("shares of the words that were read: %s", shares)
    assert min(shares.values()) > 0.9, shares
    assert status == 0


def read_words(result: dict[str, Any]) -> set[str]:
    return {word for page in result["pages"] for line in page["lines"] for word in line["text"].split()}


def labels(folder: Path) -> dict[str, set[str]]:
    """Write a label as JPEG, HEIF, PDF and a JPEG so huge that it is decoded in strips; return the words of each."""
    pillow_heif.register_heif_opener()
    write_dataset(folder / "synth", 1, seed=5)
    (sample,) = dataset.load(folder / "synth").samples
    assert sample.truth is not None
    words = {word for line in sample.truth.lines for word in line.text.split()}
    label = Picture.open(io.BytesIO(sample.read_bytes())).convert("RGB")
    huge = Picture.new("RGB", (16000, 12000), "white")
    huge.paste(label, (9000, 5000))
    label.save(folder / "label.jpg", quality=95)
    label.save(folder / "label.heic", quality=95)
    label.save(folder / "label.pdf", resolution=200, quality=95)
    huge.save(folder / "huge.jpg", quality=95)
    return dict.fromkeys(("label.jpg", "label.heic", "label.pdf", "huge.jpg"), words)


def submit(environment: dict[str, str], *files: Path) -> None:
    command = [str(Path(sys.executable).with_name("labelwire")), "submit", *map(str, files)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stderr


def wait_until_ready(port: str, log: Path) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.3)
