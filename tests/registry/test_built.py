"""What may be published: a built repository as the build left it, and nothing else."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.registry.builds import BUILT_AT, read_checked, write_build
from worker.models.configs import read_config, set_parameter, write_config
from worker.models.registry.built import read_build
from worker.models.registry.errors import RegistryError


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return write_build(tmp_path / "built")


def test_what_real_builds_are_is_read(model_repository: Path, onnx_repository: Path) -> None:
    releases = [read_checked(repository) for repository in (model_repository, onnx_repository)]

    assert [release.build.profile for release in releases] == ["embedded", "onnx"]
    assert releases[0].version != releases[1].version
    for release in releases:
        for manifest in release.models.values():
            assert (manifest.source, manifest.license) != ("", "unknown")
            assert (manifest.graph_changes is None) == (manifest.role == "text_reader")


def test_the_same_content_is_the_same_version_whenever_it_was_built(built: Path, tmp_path: Path) -> None:
    later = write_build(tmp_path / "later", built_at=BUILT_AT + timedelta(days=3), digest="e" * 64)
    other = write_build(tmp_path / "other", seed=1)

    assert read_build(built).version == read_build(later).version
    assert read_build(built).to_bytes() != read_build(later).to_bytes()
    assert read_build(built).version != read_build(other).version


def test_what_python_left_where_triton_ran_is_no_part_of_it(built: Path) -> None:
    before = read_build(built)
    (cache,) = (built / "text_detector").glob("[0-9]*/")
    (cache / "__pycache__").mkdir()
    (cache / "__pycache__" / "model.cpython-310.pyc").write_bytes(b"code")

    assert read_build(built) == before


def _without_stamp(built: Path) -> None:
    (built / "labelwire.json").unlink()


def _with_the_stamp_of_an_earlier_release(built: Path) -> None:
    stamp = json.loads((built / "labelwire.json").read_text())
    (built / "labelwire.json").write_text(json.dumps({name: stamp[name] for name in ("digest", "profile")}))


def _with_another_graph(built: Path) -> None:
    (graph,) = built.glob("text_detector/*/model.onnx")
    graph.write_bytes(graph.read_bytes()[:-1] + b"?")


def _with_another_limit(built: Path) -> None:
    config = read_config(built / "text_detector" / "config.pbtxt")
    config.max_batch_size = 5
    write_config(config, built / "text_detector" / "config.pbtxt")


def _with_another_dictionary(built: Path) -> None:
    config = read_config(built / "text_recognizer" / "config.pbtxt")
    set_parameter(config, "dictionary", '["", "B", "A", " "]')
    write_config(config, built / "text_recognizer" / "config.pbtxt")


def _with_another_license(built: Path) -> None:
    path = built / "text_detector" / "config.pbtxt"
    config = read_config(path)
    set_parameter(config, "manifest", config.parameters["manifest"].string_value.replace("Apache-2.0", "Apache-3.0"))
    write_config(config, path)


def _without_manifest(built: Path) -> None:
    config = read_config(built / "text_detector" / "config.pbtxt")
    config.parameters.pop("manifest")
    write_config(config, built / "text_detector" / "config.pbtxt")


def _without_config(built: Path) -> None:
    (built / "text_detector" / "config.pbtxt").unlink()


def _without_version(built: Path) -> None:
    (version,) = (built / "text_detector").glob("[0-9]*/")
    shutil.rmtree(version)


def _under_another_name(built: Path) -> None:
    (built / "text_detector").rename(built / "detector")


def _with_notes(built: Path) -> None:
    (built / "notes.txt").write_text("mine")


def _with_a_second_version(built: Path) -> None:
    (version,) = (built / "text_detector").glob("[0-9]*/")
    shutil.copytree(version, version.with_name("7"))


def _with_a_link(built: Path) -> None:
    (graph,) = built.glob("text_detector/*/model.onnx")
    graph.rename(built.parent / "elsewhere.onnx")
    graph.symlink_to(built.parent / "elsewhere.onnx")


def _with_a_model_less(built: Path) -> None:
    for path in built.iterdir():
        if path.is_dir():
            shutil.rmtree(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_without_stamp, "is no repository that this release of Labelwire built"),
        (_with_the_stamp_of_an_earlier_release, "is no repository that this release of Labelwire built"),
        (_with_another_graph, "its files and its configuration are not those that its manifest was made for"),
        (_with_another_limit, "its files and its configuration are not those that its manifest was made for"),
        (_with_another_dictionary, "its dictionary is not the one that its manifest names"),
        (_with_another_license, "its files and its configuration are not those that its manifest was made for"),
        (_without_manifest, "its configuration holds no manifest that can be read"),
        (_without_config, "its configuration holds no manifest that can be read"),
        (_without_version, "there is no folder of the version"),
        (_under_another_name, "its configuration is that of text_detector"),
        (_with_notes, "notes.txt is no file that a build writes"),
        (_with_a_second_version, "does not belong to the version of text_detector"),
        (_with_a_link, "is a link or no regular file"),
        (_with_a_model_less, "holds no model"),
    ],
)
def test_what_was_changed_after_the_build_is_refused_with_one_sentence(
    built: Path, change: Callable[[Path], None], says: str
) -> None:
    change(built)

    with pytest.raises(RegistryError, match=says) as raised:
        read_build(built)

    assert "\n" not in str(raised.value)
    assert "build" in str(raised.value)


def test_a_folder_that_is_missing_is_no_build(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="is no repository that this release of Labelwire built"):
        read_build(tmp_path / "none")
