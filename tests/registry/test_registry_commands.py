"""`labelwire models publish, list, show, verify, promote, rollback, fetch`, as a user runs them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.registry.builds import tree, write_build
from tests.registry.registries import Place, ReadOnly, publish, verdict
from worker import cli
from worker.adapters.blob.object_folder import ObjectFolder
from worker.models.registry.evaluations import record_evaluation


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(place: Place, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    own = list(sys.argv)

    def models(command: str, *arguments: object) -> Ended:
        registry = () if "--registry" in arguments else ("--registry", place.address)
        sys.argv[:] = ["labelwire", "models", command, *map(str, arguments), *registry]
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    yield models
    sys.argv[:] = own


def _done(ended: Ended) -> str:
    assert ended.status == 0, ended.err
    return ended.out.strip()


def _refused(ended: Ended) -> str:
    """Return the sentence with which a command ended."""
    assert (ended.status, ended.out) == (1, "")
    assert len(ended.err.splitlines()) == 1
    return ended.err


@pytest.fixture
def versions(run: Run, tmp_path: Path) -> list[str]:
    return [_done(run("publish", write_build(tmp_path / f"built-{seed}", seed))) for seed in range(2)]


def test_from_a_build_to_a_repository_for_triton_and_back(
    run: Run, registry: ObjectFolder, versions: list[str], tmp_path: Path
) -> None:
    first, second = versions
    output = tmp_path / "served"
    again = run("publish", tmp_path / "built-0")
    assert (again.status, again.out.strip()) == (0, first)
    assert "holds this version already" in again.err

    _done(run("promote", first[:8], "--reason", "the first", "--by", "ann@desk"))
    assert _done(run("fetch", "--output", output)) == str(output)
    assert tree(output) == tree(tmp_path / "built-0")

    assert "was never evaluated against" in _refused(run("promote", second))
    record_evaluation(registry, verdict(second, first, "failed"))
    assert "failed its gate" in _refused(run("promote", second, "--unevaluated"))
    record_evaluation(registry, verdict(second, first))
    promoted = json.loads(_done(run("promote", second, "--json")))
    assert (promoted["number"], promoted["version"], promoted["previous"]) == (2, second, first)
    assert "@" in promoted["by"]
    _done(run("fetch", "--output", output))
    assert tree(output) == tree(tmp_path / "built-1")

    assert _done(run("rollback", "--reason", "misread postcodes")).startswith(f"version {first[:12]} is in use")
    _done(run("fetch", "--output", output))
    assert tree(output) == tree(tmp_path / "built-0")
    assert "no version was in use" in _refused(run("rollback"))
    _done(run("rollback", "--to", second[:10]))
    _done(run("fetch", first, "--output", output))
    assert tree(output) == tree(tmp_path / "built-0"), "a version is fetched by its name, in use or not"


def test_the_list_tells_versions_verdicts_and_what_is_in_use(
    run: Run, registry: ObjectFolder, versions: list[str]
) -> None:
    first, second = versions
    _done(run("promote", first))
    record_evaluation(registry, verdict(second, first, "failed"))

    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in run("list").out.splitlines()}
    listed = {row["version"]: row for row in json.loads(_done(run("list", "--json")))}

    assert (
        rows
        == {
            first[:12]: ["2026-05-04 12:00:00Z", "onnx", "latin", "fp32", "–", "in use"],  # noqa: RUF001 - a dash is meant
            second[:12]: ["2026-05-04 12:00:00Z", "onnx", "latin", "fp32", f"failed against {first[:12]}", ""],
        }
    )
    assert (listed[first]["in_use"], listed[first]["verdict"]) == (True, None)
    assert (listed[second]["in_use"], listed[second]["verdict"]) == (False, "failed")
    assert listed[second]["compared_with"] == first


def test_everything_about_a_version_is_shown(
    run: Run, registry: ObjectFolder, versions: list[str], tmp_path: Path
) -> None:
    record_evaluation(registry, verdict(versions[0], None))
    _done(run("promote", versions[0], "--reason", "the \x1b[31mfirst", "--by", "ann@desk"))

    shown = _done(run("show", versions[0]))
    document: dict[str, Any] = json.loads(_done(run("show", versions[0][:9], "--json")))

    files = {file["path"] for file in document["release"]["files"]}
    assert files | {"labelwire.json"} == {path for path, content in tree(tmp_path / "built-0").items() if content}
    manifest = document["release"]["models"]["text_detector"]
    assert (manifest["source"], manifest["licence"]) == ("model 0 of ours", "Apache-2.0")
    assert document["evaluations"][0]["scores"] == {"word_f1": 0.95}
    assert document["promotions"][0]["reason"] == "the \x1b[31mfirst"
    for part in (versions[0], "in use", "takes the UINT8 pixels of image", "word_f1: 0.95", "by ann@desk", *files):
        assert part in shown
    assert "\x1b" not in shown, "what others wrote is not obeyed by the terminal"


def test_verify_reads_all_and_ends_with_1_where_something_is_damaged(
    run: Run, place: Place, versions: list[str]
) -> None:
    assert _done(run("verify")).splitlines()[-1] == "the records of promotions: intact"
    (graph,) = place.stored(f"versions/{versions[1]}/files/text_detector").glob("*/model.onnx")
    graph.write_bytes(graph.read_bytes()[:-1] + b"?")

    ended = run("verify")
    document = json.loads(run("verify", "--json").out)

    assert ended.status == 1
    assert f"version {versions[1][:12]}: damaged" in ended.out
    assert f"version {versions[0][:12]}: intact" in ended.out
    assert graph.relative_to(place.path).as_posix() in ended.err
    assert {row["version"]: len(row["problems"]) for row in document["versions"]} == {versions[0]: 0, versions[1]: 1}
    assert _done(run("verify", versions[0]))
    assert run("verify", versions[1]).status == 1


def test_verify_reads_the_records_too(run: Run, place: Place, registry: ObjectFolder, versions: list[str]) -> None:
    record_evaluation(registry, verdict(versions[0], None))
    _done(run("promote", versions[0]))
    for name in (f"evaluations/{versions[0]}/000000000001.json", "promotions/000000000001.json"):
        kept = place.stored(name).read_bytes()
        place.stored(name).write_bytes(kept.replace(b"a", b"b", 1))
        ended = run("verify")
        assert (ended.status, name in ended.err) == (1, True)
        place.stored(name).write_bytes(kept)
    assert run("verify").status == 0


def test_a_registry_without_anything_in_use_gives_nothing(run: Run, versions: list[str], tmp_path: Path) -> None:
    assert len(versions) == 2
    assert "no version is in use" in _refused(run("fetch", "--output", tmp_path / "served"))
    assert not (tmp_path / "served").exists()


def test_a_version_that_is_unknown_is_told_in_one_sentence(run: Run, registry: ObjectFolder, tmp_path: Path) -> None:
    assert registry.sizes("versions") == {}
    for command in (("show", "abc"), ("verify", "abc"), ("promote", "abc"), ("fetch", "abc", "--output", tmp_path)):
        assert "holds no version abc" in _refused(run(*command))
    assert "is no version" in _refused(run("show", "latest"))


def test_a_folder_that_is_no_build_is_not_published(run: Run, registry: ObjectFolder, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()

    assert "is no repository that this release of Labelwire built" in _refused(run("publish", tmp_path / "mine"))
    assert registry.sizes("versions") == {}


def test_a_registry_that_does_not_exist_is_told_in_one_sentence(run: Run, tmp_path: Path) -> None:
    for command in (("list",), ("show", "abc"), ("verify",), ("promote", "abc"), ("rollback",)):
        said = _refused(run(*command, "--registry", tmp_path / "none"))
        assert "none does not exist: give another, or publish to it first" in said
    assert not (tmp_path / "none").exists()


@pytest.mark.real
def test_a_registry_that_may_only_be_read_is_read_and_not_changed(
    s3: Place, read_only: ReadOnly, run: Run, tmp_path: Path
) -> None:
    registry = s3.open()
    first, second = (publish(registry, tmp_path / f"built-{seed}", seed) for seed in range(2))
    _done(run("promote", first, "--registry", s3.address))
    served = read_only(s3)
    before = tree(served.path)
    there = ("--registry", served.address)

    assert _done(run("fetch", "--output", tmp_path / "fetched", *there))
    assert _done(run("verify", *there))
    for command in (("publish", write_build(tmp_path / "built-2", 2)), ("promote", second, "--unevaluated")):
        assert "because the store refuses these credentials" in _refused(run(*command, *there))
    assert tree(served.path) == before


def test_a_registry_may_move(run: Run, place: Place, versions: list[str], tmp_path: Path) -> None:
    shutil.copytree(place.path, tmp_path / "moved", ignore=shutil.ignore_patterns(".*"))

    assert _done(run("verify", versions[0], "--registry", tmp_path / "moved"))


def test_an_installed_worker_has_all_but_what_builds(place: Place, versions: list[str], tmp_path: Path) -> None:
    def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
        script = "import sys\nsys.modules['onnx'] = None\nimport worker.cli\nworker.cli.main()"
        argv = [sys.executable, "-c", script, "models", *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    fetched = ended("fetch", versions[0], "--registry", place.address, "--output", str(tmp_path / "fetched"))
    assert fetched.returncode == 0, fetched.stderr
    assert tree(tmp_path / "fetched") == tree(tmp_path / "built-0")
    for arguments in (
        ("build", "--profile", "onnx"),
        ("publish", str(tmp_path / "fetched"), "--registry", place.address),
    ):
        refused = ended(*arguments)
        assert refused.returncode == 1
        assert refused.stderr.startswith("Needs the package onnx, which an installed worker leaves out")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without a name")
def test_a_user_without_a_name_signs_with_a_number(tmp_path: Path) -> None:
    registry = Place(str(tmp_path / "registry"), tmp_path / "registry").open()
    version = publish(registry, tmp_path / "built")
    command = ["models", "promote", version, "--registry", str(tmp_path / "registry"), "--json"]
    script = f"import os, sys\nimport worker.cli.models\nos.setresuid(54321, 54321, 0)\nsys.argv[1:] = {command!r}\n"
    script += "os.seteuid(0)\nimport worker.cli\nworker.cli.main()"
    names = {"LOGNAME", "USER", "LNAME", "USERNAME"}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["by"].startswith("54321@")
