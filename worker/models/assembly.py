"""The folders of a repository: each model's graph, code and configuration put together.

Invariant: every model describes itself by the manifest in its configuration, and a recogniser and a reader by the
dictionary too; the same graph is stored once and linked where several models use it.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx

from worker.domain.manifest import ModelManifest, ModelRole, dictionary_digest
from worker.models import configs
from worker.models.alphabet import FULL, LATIN, ctc_dictionary, kept_classes
from worker.models.detector import rewrite_detector
from worker.models.orientation import rewrite_orientation
from worker.models.precision import resolve_precision
from worker.models.profiles import DETECTION, TILE_SHAPES, Profile
from worker.models.recognizer import recognizer_characters, rewrite_recognizer
from worker.models.rewriting import LINE_HEIGHT_PIXELS, PAD_VALUE, STRIDE_PIXELS, load_graph
from worker.models.source import ModelSource
from worker.models.templates import backend_code_path, config_path

_GRAPH_FILE = "model.onnx"
_OPENVINO_PRECISION = {"fp32": "f32", "bf16": "bf16"}


@dataclass(frozen=True, slots=True)
class Assembly:
    """One repository in the making, in the empty folder `folder`."""

    profile: Profile
    alphabet: str
    alternatives: int
    sources: Mapping[ModelRole, ModelSource]
    folder: Path

    def write(self, report: Callable[[str, float], None]) -> None:
        """Write all models of the profile."""
        report("rewriting the detector", 0.1)
        self._write_detector()
        report("rewriting the orientation classifier", 0.4)
        self._write_orientation()
        report("rewriting the recogniser", 0.5)
        self._write_readers()

    def _write_detector(self) -> None:
        role = ModelRole.DETECTOR
        config = configs.read_config(config_path(role, self.profile.name))
        configs.warm_up_tiles(config, self.profile.warmup_tiles, self._warm_batches(config))
        manifest = self._manifest(config, role, tile_shapes=TILE_SHAPES, detection=DETECTION)
        graph = rewrite_detector(load_graph(self.sources[role].path))
        self._write_model(config, manifest, graph=self._save(graph, role))

    def _write_orientation(self) -> None:
        role = ModelRole.ORIENTATION
        config = configs.read_config(config_path(role, self.profile.name))
        configs.warm_up_lines(config, self.profile.buckets, self._warm_batches(config))
        manifest = self._manifest(config, role, line_height=LINE_HEIGHT_PIXELS, pad_value=PAD_VALUE)
        graph = rewrite_orientation(load_graph(self.sources[role].path))
        self._write_model(config, manifest, graph=self._save(graph, role))

    def _write_readers(self) -> None:
        original = load_graph(self.sources[ModelRole.RECOGNIZER].path)
        dictionary = ctc_dictionary(recognizer_characters(original))
        classes = kept_classes(dictionary, self.alphabet)
        kept = [dictionary[index] for index in classes]
        cut = None if self.alphabet == FULL else classes
        graph = self._save(rewrite_recognizer(original, cut, self.alternatives), ModelRole.RECOGNIZER)
        recognizers = self.profile.bucket_models(ModelRole.RECOGNIZER)
        readers = self.profile.bucket_models(ModelRole.READER)
        for width, name in recognizers.items():
            if self.profile.mixes_shapes and width != self.profile.buckets[-1]:
                continue
            self._write_recognizer(name, width, kept, graph)
            self._write_reader(readers[width], name, width, kept)

    def _write_recognizer(self, name: str, width: int, dictionary: Sequence[str], graph: Path) -> None:
        config = configs.read_config(config_path(ModelRole.RECOGNIZER, self.profile.name))
        config.name = name
        configs.set_alternatives(config, self.alternatives)
        if not self.profile.mixes_shapes:
            configs.fix_width(config, width)
        widths = self.profile.buckets if self.profile.mixes_shapes else (width,)
        configs.warm_up_lines(config, widths, self._warm_batches(config))
        manifest = self._line_manifest(config, ModelRole.RECOGNIZER, dictionary)
        self._write_model(config, manifest, dictionary, graph)

    def _write_reader(self, name: str, recognizer: str, width: int, dictionary: Sequence[str]) -> None:
        config = configs.read_config(config_path(ModelRole.READER, self.profile.name))
        config.name = name
        config.ensemble_scheduling.step[-1].model_name = recognizer
        configs.set_alternatives(config, self.alternatives)
        if not self.profile.mixes_shapes:
            configs.fix_width(config, width)
        self._write_model(config, self._line_manifest(config, ModelRole.READER, dictionary), dictionary)

    def _line_manifest(self, config: configs.ModelConfig, role: ModelRole, dictionary: Sequence[str]) -> ModelManifest:
        return self._manifest(
            config,
            role,
            line_height=LINE_HEIGHT_PIXELS,
            pad_value=PAD_VALUE,
            stride=STRIDE_PIXELS,
            buckets=self.profile.bucket_models(role),
            alternatives=self.alternatives,
            dictionary_sha256=dictionary_digest(dictionary),
            alphabet=self.alphabet if self.alphabet in {FULL, LATIN} else Path(self.alphabet).stem,
        )

    def _manifest(self, config: configs.ModelConfig, role: ModelRole, **particular: object) -> ModelManifest:
        source = self.sources[ModelRole.RECOGNIZER if role is ModelRole.READER else role]
        return ModelManifest(
            role=role,
            source=source.origin,
            licence=source.licence,
            source_sha256=source.sha256,
            precision=self._precision(),
            device=self.profile.device,
            max_batch_size=config.max_batch_size,
            **particular,
        )

    def _precision(self) -> Literal["fp32", "bf16"]:
        return resolve_precision(self.profile.precision)

    def _warm_batches(self, config: configs.ModelConfig) -> tuple[int, ...]:
        """Return the batch sizes worth a warm-up; the python backend infers row by row and knows only one."""
        return (1,) if config.backend == "python" else (1, config.max_batch_size)

    def _save(self, graph: onnx.ModelProto, name: str) -> Path:
        path = self.folder.parent / f"{name}.onnx"
        onnx.save(graph, path)
        return path

    def _write_model(
        self,
        config: configs.ModelConfig,
        manifest: ModelManifest,
        dictionary: Sequence[str] | None = None,
        graph: Path | None = None,
    ) -> None:
        version = self.folder / config.name / "1"
        version.mkdir(parents=True)
        configs.describe_itself(config, manifest, dictionary)
        if self.profile.device == "cpu":
            for group in config.instance_group:
                group.kind = configs.KIND_CPU
        if config.backend == "python":
            shutil.copyfile(backend_code_path(), version / "model.py")
            configs.set_parameter(config, "inference_precision", _OPENVINO_PRECISION[manifest.precision])
        if graph is not None:
            _link(graph, version / _GRAPH_FILE)
        configs.write_config(config, version.parent / "config.pbtxt")


def _link(source: Path, target: Path) -> None:
    """Store a file once where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
