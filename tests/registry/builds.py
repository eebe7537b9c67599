"""Small model repositories, described and numbered as a build does it, but with random bytes in the place of graphs."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2

from worker.domain.manifest import DetectionThresholds, ModelManifest, ModelRole, TileShapes, dictionary_digest
from worker.models import configs
from worker.models.registry.built import read_build
from worker.models.registry.documents import Release
from worker.models.stamp import BuildStamp, read_stamp

DICTIONARY = ("", "A", "B", " ")
BUILT_AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
_GRAPH_BYTES = 3000


def write_build(folder: Path, seed: int = 0, *, built_at: datetime = BUILT_AT, digest: str = "d" * 64) -> Path:
    """Write a detector, a recognizer and an ensemble; the same seed gives the same models."""
    folder.mkdir(parents=True)
    common: dict[str, Any] = {
        "source": f"model {seed} of ours",
        "license": "Apache-2.0",
        "source_sha256": hashlib.sha256(str(seed).encode()).hexdigest(),
        "precision": "fp32",
        "device": "cpu",
        "max_batch_size": 4,
        "graph_changes": ("takes the UINT8 pixels of image",),
    }
    line = {"line_height": 48, "pad_value": 127, "stride": 8, "alternatives": 1, "alphabet": "latin"}
    line["buckets"] = {320: "text_recognizer"}
    line["dictionary_sha256"] = dictionary_digest(DICTIONARY)
    detector = ModelManifest(
        role=ModelRole.DETECTOR, tile_shapes=TileShapes(), detection=DetectionThresholds(), **common
    )
    _write_model(folder, detector, _graph(seed, "detector"))
    recognizer = ModelManifest(role=ModelRole.RECOGNIZER, **line, **common)
    _write_model(folder, recognizer, _graph(seed, "recognizer"), DICTIONARY)
    reader = ModelManifest(role=ModelRole.READER, **line, **common | {"graph_changes": None})
    _write_model(folder, reader, None, DICTIONARY)
    stamp = BuildStamp(
        digest=digest, profile="onnx", alphabet="latin", device="cpu", built_at=built_at, labelwire="0.1.0"
    )
    stamp.write(folder)
    return folder


def _graph(seed: int, role: str) -> bytes:
    parts = (hashlib.sha256(f"{role} {seed} {part}".encode()).digest() for part in range(_GRAPH_BYTES // 32 + 1))
    return b"".join(parts)[:_GRAPH_BYTES]


def _write_model(
    folder: Path, manifest: ModelManifest, graph: bytes | None, dictionary: Sequence[str] | None = None
) -> None:
    config = model_config_pb2.ModelConfig(name=manifest.role.value, max_batch_size=4)
    files = folder / config.name / "files"
    files.mkdir(parents=True)
    if graph is not None:
        (files / "model.onnx").write_bytes(graph)
    manifest = manifest.model_copy(update={"content_sha256": configs.content_digest(config, files)})
    manifest = manifest.model_copy(update={"version": manifest.number})
    configs.add_manifest(config, manifest, dictionary)
    configs.serve_version(config, int(manifest.number))
    files.rename(files.with_name(manifest.number))
    configs.write_config(config, folder / config.name / "config.pbtxt")


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return all files by their relative paths, and folders as None."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def _files(repository: Path) -> set[str]:
    files = (path.relative_to(repository) for path in repository.rglob("*") if path.is_file())
    return {path.as_posix() for path in files if "__pycache__" not in path.parts}


def read_checked(repository: Path) -> Release:
    """Return what a built repository is, compared with its configurations and files."""
    release = read_build(repository)
    assert release.build == read_stamp(repository)
    assert {file.path for file in release.files} | {"labelwire.json"} == _files(repository)
    assert set(release.models) == {path.name for path in repository.iterdir() if path.is_dir()}
    for name, manifest in release.models.items():
        assert (
            manifest.to_json()
            == configs.read_config(repository / name / "config.pbtxt").parameters["manifest"].string_value
        )
    return release


def version_of(document: dict[str, Any]) -> str:
    """Return the id of a release's document, whatever stands in it."""
    build = {name: value for name, value in document["build"].items() if name in {"profile", "alphabet", "device"}}
    content = {name: value for name, value in document.items() if name != "sha256"} | {"build": build}
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def reseal(document: dict[str, Any]) -> bytes:
    """Return a changed document as a forger would store it, with the digest of its new bytes."""
    unsealed = json.dumps(document | {"sha256": "0" * 64}).encode()
    return unsealed.replace(b"0" * 64, hashlib.sha256(unsealed).hexdigest().encode())
