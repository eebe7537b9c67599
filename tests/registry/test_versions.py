"""Versions are there whole or not at all, are fetched as they were published, and what is damaged is named."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.registry.builds import reseal, tree, version_of, write_build
from tests.registry.registries import SIGNED, Place, publish, silently
from worker.adapters.blob.object_folder import ObjectFolder
from worker.models.registry.built import read_build
from worker.models.registry.errors import DamagedError, RegistryError, UnknownVersionError
from worker.models.registry.promotion import promote, version_in_use
from worker.models.registry.versions import Versions

PUBLISH_AND_DIE = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from tests.registry.registries import Place
from worker.models.registry.built import read_build
from worker.models.registry.versions import Versions

@contextmanager
def dying(what, total):
    done = []
    def reached(count):
        done.append(count)
        if len(done) == int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)
    yield reached

repository = Path(sys.argv[3])
folder = Place(sys.argv[1], Path(), sys.argv[2]).open()
Versions(folder).publish(read_build(repository), repository, dying)
"""


def _fetch(registry: ObjectFolder, version: str, output: Path) -> None:
    found = Versions(registry)
    found.fetch(found.release(version), output, silently)


def test_what_is_fetched_is_what_was_published(registry: ObjectFolder, tmp_path: Path) -> None:
    version = publish(registry, tmp_path / "built")

    _fetch(registry, version, tmp_path / "fetched")

    assert tree(tmp_path / "fetched") == tree(tmp_path / "built")
    (ensemble,) = (tmp_path / "fetched" / "text_reader").glob("[0-9]*")
    assert ensemble.is_dir(), "Triton wants the folder of a version, though nothing is in it"
    assert read_build(tmp_path / "fetched").version == version


def test_a_fetched_repository_can_be_published_as_the_same_version(registry: ObjectFolder, tmp_path: Path) -> None:
    version = publish(registry, tmp_path / "built")
    _fetch(registry, version, tmp_path / "fetched")
    other = Place(str(tmp_path / "other"), tmp_path / "other").open()

    release = read_build(tmp_path / "fetched")

    assert Versions(other).publish(release, tmp_path / "fetched", silently)
    assert [listed.version for listed in Versions(other).listed()] == [version]


def test_the_same_content_is_published_once(registry: ObjectFolder, place: Place, tmp_path: Path) -> None:
    publish(registry, tmp_path / "built")
    before = tree(place.path)
    again = write_build(tmp_path / "again", digest="e" * 64)

    assert not Versions(registry).publish(read_build(again), again, silently)

    assert tree(place.path) == before
    assert len(list(Versions(registry).listed())) == 1


@pytest.mark.parametrize("file_count", [1, 5])
def test_a_publication_that_is_killed_leaves_no_version_and_goes_on_when_it_is_run_again(
    registry: ObjectFolder, place: Place, tmp_path: Path, file_count: int
) -> None:
    built = write_build(tmp_path / "built")
    release = read_build(built)
    assert len(release.files) == 5
    argv = [sys.executable, "-c", PUBLISH_AND_DIE, place.address, place.root_certificates, str(built), str(file_count)]
    ended = subprocess.run(argv, check=False, capture_output=True, timeout=60)

    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(registry.sizes("versions")) == file_count
    assert list(Versions(registry).listed()) == []
    with pytest.raises(UnknownVersionError, match="holds no version"):
        Versions(registry).find(release.version[:8])

    assert Versions(registry).publish(release, built, silently)
    _fetch(registry, release.version, tmp_path / "fetched")
    assert tree(tmp_path / "fetched") == tree(built)


def test_a_file_that_is_in_the_way_of_a_publication_is_named(
    registry: ObjectFolder, place: Place, tmp_path: Path
) -> None:
    built = write_build(tmp_path / "built")
    release = read_build(built)
    name = f"versions/{release.version}/files/text_detector/config.pbtxt"
    registry.create(name, b"something else")

    with pytest.raises(DamagedError, match=f"{name} in .* does not have the SHA-256 .*: remove it and publish again"):
        Versions(registry).publish(release, built, silently)

    assert list(Versions(registry).listed()) == []
    place.stored(name).unlink()
    assert Versions(registry).publish(release, built, silently)


def test_a_repository_that_changes_while_it_is_published_becomes_no_version(
    registry: ObjectFolder, tmp_path: Path
) -> None:
    built = write_build(tmp_path / "built")
    release = read_build(built)
    (built / "text_detector" / "config.pbtxt").write_bytes(b"another")

    with pytest.raises(RegistryError, match=r"config\.pbtxt was changed while it was published: publish it again"):
        Versions(registry).publish(release, built, silently)

    assert list(Versions(registry).listed()) == []


def test_the_same_content_that_many_publish_at_once_is_one_version(
    registry: ObjectFolder, place: Place, tmp_path: Path
) -> None:
    built = write_build(tmp_path / "built")
    release = read_build(built)

    def publish_alone(_: int) -> bool:
        return Versions(place.open()).publish(release, built, silently)

    with ThreadPoolExecutor(max_workers=4) as pool:
        made = list(pool.map(publish_alone, range(4)))

    assert sorted(made) == [False, False, False, True]
    assert Versions(registry).problems(release.version, silently) == []


def _flip_a_bit(stored: Path) -> None:
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 4
    stored.write_bytes(content)


def _cut(stored: Path) -> None:
    stored.write_bytes(stored.read_bytes()[:-1])


def _grow(stored: Path) -> None:
    stored.write_bytes(stored.read_bytes() + b" ")


def _remove(stored: Path) -> None:
    stored.unlink()


@pytest.mark.parametrize("damage", [_flip_a_bit, _cut, _grow, _remove])
@pytest.mark.parametrize("name", ["graph", "config.pbtxt", "release.json"])
def test_what_is_damaged_is_found_by_verify_promote_and_fetch(
    registry: ObjectFolder, place: Place, tmp_path: Path, damage: Callable[[Path], None], name: str
) -> None:
    version = publish(registry, tmp_path / "built")
    (graph,) = place.stored(f"versions/{version}/files/text_detector").glob("*/model.onnx")
    stored = {
        "graph": graph,
        "config.pbtxt": place.stored(f"versions/{version}/files/text_reader/config.pbtxt"),
        "release.json": place.stored(f"versions/{version}/release.json"),
    }[name]
    named = stored.relative_to(place.path).as_posix()
    assert Versions(registry).problems(version, silently) == []

    damage(stored)

    if (name, damage) == ("release.json", _remove):
        assert list(Versions(registry).listed()) == []
        with pytest.raises(UnknownVersionError, match="holds no version"):
            promote(registry, version, SIGNED, silently)
        return
    (problem,) = Versions(registry).problems(version, silently)
    assert named in problem
    with pytest.raises(DamagedError, match=named):
        promote(registry, version, SIGNED, silently)
    assert version_in_use(registry) is None
    write_build(tmp_path / "fetched", seed=1)
    before = tree(tmp_path / "fetched")
    with pytest.raises(DamagedError, match=named):
        _fetch(registry, version, tmp_path / "fetched")
    assert tree(tmp_path / "fetched") == before, "what was fetched before stays"
    assert {path.name for path in tmp_path.glob(".fetched*")} <= {".fetched.lock"}, "and nothing half is left beside it"


def test_what_is_too_many_is_named(registry: ObjectFolder, tmp_path: Path) -> None:
    version = publish(registry, tmp_path / "built")
    registry.create(f"versions/{version}/files/text_detector/8/model.onnx", b"another graph")

    (problem,) = Versions(registry).problems(version, silently)

    assert "text_detector/8/model.onnx" in problem
    assert "belongs to no file of its version" in problem


def test_a_damaged_version_hides_no_other(registry: ObjectFolder, place: Place, tmp_path: Path) -> None:
    damaged, intact = publish(registry, tmp_path / "a", 1), publish(registry, tmp_path / "b", 2)
    _flip_a_bit(place.stored(f"versions/{damaged}/release.json"))

    listed = {each.version: each for each in Versions(registry).listed()}

    assert set(listed) == {damaged, intact}
    assert listed[damaged].release is None
    assert "is damaged" in (listed[damaged].problem or "")
    assert listed[intact].release is not None


def _outside(document: dict[str, Any]) -> None:
    document["files"][0]["path"] = "../../outside"


def _absolute(document: dict[str, Any]) -> None:
    document["files"][0]["path"] = "/etc/cron.d/labelwire"


def _hidden_outside(document: dict[str, Any]) -> None:
    document["files"][0]["path"] = "text_detector/7/../../../outside"


def _of_another_version(document: dict[str, Any]) -> None:
    document["files"][0]["path"] = "text_detector/7/model.onnx"


def _of_no_model(document: dict[str, Any]) -> None:
    document["files"][0]["path"] = "other/7/model.onnx"


def _twice(document: dict[str, Any]) -> None:
    document["files"].append(document["files"][0])


def _huge(document: dict[str, Any]) -> None:
    document["files"][0]["size_bytes"] = 10**15


def _many_large(document: dict[str, Any]) -> None:
    path = document["files"][0]["path"].rpartition("/")[0]
    document["files"] += [
        {"path": f"{path}/part{number}", "size_bytes": 2 * 1024**3, "sha256": "a" * 64} for number in range(33)
    ]


def _without_number(document: dict[str, Any]) -> None:
    del document["models"]["text_reader"]["version"]


def _other_license(document: dict[str, Any]) -> None:
    document["models"]["text_detector"]["licence"] = "MIT"


def _other_profile(document: dict[str, Any]) -> None:
    document["build"]["profile"] = "tensorrt"


def _later_schema(document: dict[str, Any]) -> None:
    document["schema"] = "labelwire.release/2"


@pytest.mark.parametrize("forge", [_other_license, _other_profile])
def test_a_document_that_says_something_else_is_not_believed(
    registry: ObjectFolder, place: Place, tmp_path: Path, forge: Callable[[dict[str, Any]], None]
) -> None:
    version = publish(registry, tmp_path / "built")
    stored = place.stored(f"versions/{version}/release.json")
    document = json.loads(stored.read_bytes())
    assert version_of(document) == version
    forge(document)
    stored.write_bytes(reseal(document))

    with pytest.raises(DamagedError, match=f"its content is that of version {version_of(document)[:12]}"):
        _fetch(registry, version, tmp_path / "fetched")


@pytest.mark.parametrize(
    ("forge", "says"),
    [
        (_outside, "files.0.path: String should match pattern"),
        (_absolute, "files.0.path: String should match pattern"),
        (_hidden_outside, "files.0.path: String should match pattern"),
        (_of_another_version, "does not belong to the version of"),
        (_of_no_model, "its files are not those of its models"),
        (_twice, "a path stands there twice"),
        (_huge, "files.0.size_bytes: Input should be less than or equal to"),
        (_many_large, "its files have more than"),
        (_without_number, "names no version"),
        (_later_schema, "schema: Input should be 'labelwire.release/1'"),
    ],
)
def test_a_version_that_a_forger_made_up_writes_nothing(
    tmp_path: Path, forge: Callable[[dict[str, Any]], None], says: str
) -> None:
    registry = Place(str(tmp_path / "registry"), tmp_path / "registry").open()
    version = publish(registry, tmp_path / "built")
    document = json.loads(registry.read(f"versions/{version}/release.json", 10**6))
    forge(document)
    forged = version_of(document)
    shutil.copytree(tmp_path / "registry" / "versions" / version, tmp_path / "registry" / "versions" / forged)
    (tmp_path / "registry" / "versions" / forged / "release.json").write_bytes(reseal(document))
    before = tree(tmp_path)

    with pytest.raises(DamagedError, match=re.escape(says)):
        _fetch(registry, forged, tmp_path / "deep" / "fetched")

    assert tree(tmp_path) == before


def test_a_version_is_found_by_how_its_id_begins(registry: ObjectFolder, tmp_path: Path) -> None:
    version = publish(registry, tmp_path / "built")
    found = Versions(registry)

    assert [found.find(version[:length]) for length in (1, 4, 12, 64)] == [version] * 4
    for unknown in ("f" if version[0] != "f" else "e", version[:63] + ("0" if version[63] != "0" else "1")):
        with pytest.raises(UnknownVersionError, match="holds no version"):
            found.find(unknown)
    for odd in ("", "latest", "../..", version.upper() + "X", "0" * 65):
        with pytest.raises(UnknownVersionError, match="is no version: give the beginning of an id"):
            found.find(odd)


def test_a_beginning_that_two_ids_share_is_ambiguous(registry: ObjectFolder, tmp_path: Path) -> None:
    by_beginning: dict[str, str] = {}
    for seed in range(17):  # there are 16 first digits
        version = publish(registry, tmp_path / f"built-{seed}", seed)
        other = by_beginning.setdefault(version[0], version)
        if other != version:
            break

    with pytest.raises(UnknownVersionError, match=f"ambiguous in .*: give {min(other, version)[:12]} or ") as raised:
        Versions(registry).find(version[0])

    assert max(other, version)[:12] in str(raised.value)


def test_a_folder_with_other_things_is_not_replaced(registry: ObjectFolder, tmp_path: Path) -> None:
    version = publish(registry, tmp_path / "built")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")

    with pytest.raises(RegistryError, match="holds something that is no built repository"):
        _fetch(registry, version, tmp_path / "mine")

    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_place_that_cannot_be_written_is_told_in_one_sentence(registry: ObjectFolder, tmp_path: Path) -> None:
    version = publish(registry, tmp_path / "built")
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(RegistryError, match=r"file/fetched cannot be written \(File exists\): give another folder"):
        _fetch(registry, version, tmp_path / "file" / "fetched")


def test_a_registry_whose_files_are_links_gives_no_other_files(tmp_path: Path) -> None:
    registry = Place(str(tmp_path / "registry"), tmp_path / "registry").open()
    version = publish(registry, tmp_path / "built")
    (graph,) = (tmp_path / "registry" / "versions" / version / "files" / "text_detector").glob("*/model.onnx")
    graph.unlink()
    graph.symlink_to("/etc/passwd")

    with pytest.raises(DamagedError, match=r"text_detector/.*/model\.onnx"):
        _fetch(registry, version, tmp_path / "fetched")

    assert not (tmp_path / "fetched").exists()


def test_what_is_fetched_holds_no_link(registry: ObjectFolder, tmp_path: Path) -> None:
    version = publish(registry, tmp_path / "built")
    _fetch(registry, version, tmp_path / "fetched")

    assert [path for path in (tmp_path / "fetched").rglob("*") if path.is_symlink()] == []
