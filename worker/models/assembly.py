"""The folders of a repository: each model's graph, code and configuration put together.

Invariant: every model describes itself by the manifest in its configuration, and a recognizer and a reader by the
dictionary too; no config is written that its backend would refuse beside its graph or plan, and no plan that does not
read as its graph.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from worker.domain.manifest import ModelManifest, ModelRole, TileShapes, dictionary_digest
from worker.domain.model_set import DEFAULT_SET, served_name
from worker.models import configs
from worker.models.accelerator import accelerate, check_accelerators
from worker.models.alphabet import alphabet_name, ctc_dictionary, kept_classes
from worker.models.detector import rewrite_detector
from worker.models.model_card import LINE_HEIGHT_PIXELS, LineFormat
from worker.models.orientation import rewrite_orientation
from worker.models.plan_gate import Tensors, check_agreement, golden_lines, golden_tiles
from worker.models.plans import PlanMaker
from worker.models.precision.choice import Precisions
from worker.models.precision.lowering import lowered
from worker.models.profiles import TILE_SHAPES, Profile
from worker.models.recognizer import fix_width, recognizer_characters, rewrite_recognizer
from worker.models.rewriting import load_graph, noted_changes
from worker.models.serving_checks import (
    ONNXRUNTIME,
    TENSORRT_BACKEND,
    check_bytes,
    check_ensemble,
    check_matches_graph,
    check_matches_plan,
    check_warm_up,
    graph_tensors,
)
from worker.models.shape_ranges import USUAL_BATCH, OptimizationProfile, shape_ranges
from worker.models.source import ModelSource, file_digest
from worker.models.templates import backend_code_path, config_path
from worker.pipeline.recognize.read import CLASSIFIED_HEIGHTS

_GRAPH_FILE = "model.onnx"
# An engine that knows its shapes beforehand keeps the memory of the largest batch of the largest tiles.
_ACCELERATED_TILES = 4
_OPENVINO_PRECISION = {"fp32": "f32", "bf16": "bf16"}


@dataclass(frozen=True, slots=True)
class _Recognizer:
    """A rewritten recognizer and its classes."""

    graph: onnx.ModelProto
    dictionary: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Shapes:
    """The profile that an engine is built for, and the golden requests that a plan must answer as its graph does."""

    profile: OptimizationProfile
    golden: Sequence[Tensors]


@dataclass(frozen=True, slots=True)
class Assembly:
    """One repository in the making, in the empty folder `folder`; `plans` makes those of the tensorrt profile.

    The models get the names of the set `model_set`.
    """

    profile: Profile
    alphabet: str
    alternatives: int
    sources: Mapping[ModelRole, ModelSource]
    precisions: Precisions
    folder: Path
    plans: PlanMaker | None = None
    model_set: str = DEFAULT_SET
    _written: dict[str, configs.ModelConfig] = field(default_factory=dict)

    @property
    def line(self) -> LineFormat:
        """The lines that the recognizer takes."""
        return self.sources[ModelRole.RECOGNIZER].card.line or LineFormat()

    @property
    def pad_value(self) -> int:
        """The gray that fills a line's bucket: what the recognizer was trained with."""
        return self.sources[ModelRole.RECOGNIZER].card.pad_value

    def write(self, report: Callable[[str, float], None]) -> None:
        """Write all models of the profile."""
        report("rewriting the detector", 0.1)
        self._write_detector()
        report("rewriting the orientation classifier", 0.2)
        self._write_orientation()
        report("rewriting the recognizer", 0.3)
        self._write_readers(report)

    def _named(self, name: str) -> str:
        return served_name(name, self.model_set)

    def _bucket_models(self, role: ModelRole) -> dict[int, str]:
        return {width: self._named(name) for width, name in self.profile.bucket_models(role).items()}

    def _role_config(self, role: ModelRole) -> configs.ModelConfig:
        config = configs.read_config(config_path(role, self.profile.config_name))
        config.name = self._named(role)
        return config

    def _write_detector(self) -> None:
        role = ModelRole.DETECTOR
        config = self._role_config(role)
        if self.profile.accelerator is not None:
            config.max_batch_size = min(config.max_batch_size, _ACCELERATED_TILES)
        card = self.sources[role].card
        static, tile_shapes = self.profile.static_tiles, TILE_SHAPES
        tiles = (*static, *self.profile.warmup_tiles)
        if card.tile is not None:
            configs.fix_tile(config, card.tile)
            static = (card.tile,) if static else ()
            tiles, tile_shapes = (card.tile,), TileShapes(fixed=(card.tile,))
        self._set_static(config, [(*tile, 3) for tile in static])
        # Every shape once; the largest also in the largest batch, for its memory.
        configs.warm_up_tiles(config, tiles, (1,))
        configs.warm_up_tiles(config, tiles[-1:], self._warm_batches(config)[1:])
        manifest = self._manifest(config, role, tile_shapes=tile_shapes, detection=card.detection)
        original = load_graph(self.sources[role].path)
        graph = rewrite_detector(original, card.normalization, returns_logits=card.returns_logits, tile=card.tile)
        graph = self._lowered(role, graph)
        golden = golden_tiles(config.max_batch_size, card.tile) if self.plans is not None else ()
        self._write_model(config, manifest, graph=graph, shapes=_Shapes(shape_ranges(config, tile_shapes), golden))

    def _write_orientation(self) -> None:
        role = ModelRole.ORIENTATION
        config = self._role_config(role)
        configs.warm_up_lines(config, self.profile.warmup_widths, self._warm_batches(config))
        self._set_static(config, [(LINE_HEIGHT_PIXELS, CLASSIFIED_HEIGHTS * LINE_HEIGHT_PIXELS, 3)])
        manifest = self._manifest(config, role, line_height=LINE_HEIGHT_PIXELS, pad_value=self.pad_value)
        card = self.sources[role].card
        graph = rewrite_orientation(
            load_graph(self.sources[role].path),
            card.normalization,
            whole_line=card.whole_line,
            returns_logits=card.returns_logits,
        )
        self._write_model(config, manifest, graph=graph)

    def _write_readers(self, report: Callable[[str, float], None]) -> None:
        recognizer = self._rewritten_recognizer()
        recognizers = self._bucket_models(ModelRole.RECOGNIZER)
        readers = self._bucket_models(ModelRole.READER)
        # A model that takes any width appears once, under its widest bucket.
        by_name = {name: width for width, name in recognizers.items()}
        for index, (name, width) in enumerate(by_name.items()):
            if self.plans is not None:
                report(f"building the plan of {name}", 0.4 + 0.6 * index / len(by_name))
            self._write_recognizer(name, width, recognizer)
            self._write_reader(readers[width], width, name, recognizer)

    def _rewritten_recognizer(self) -> _Recognizer:
        """Return the recognizer with the classes of the alphabet."""
        source = self.sources[ModelRole.RECOGNIZER]
        original = load_graph(source.path)
        card = source.card
        labels = card.classes or ctc_dictionary(recognizer_characters(original))
        order = card.model_copy(update={"classes": labels}).class_order
        kept = [order[index] for index in kept_classes([labels[index] for index in order], self.alphabet)]
        graph = rewrite_recognizer(
            original,
            None if kept == list(range(len(labels))) else kept,
            self.alternatives,
            labels=labels,
            normalization=card.normalization,
            line=self.line,
            turns=self.profile.engine != "openvino",
        )
        return _Recognizer(self._lowered(ModelRole.RECOGNIZER, graph), tuple(labels[index] for index in kept))

    def _lowered(self, role: ModelRole, graph: onnx.ModelProto) -> onnx.ModelProto:
        """Return a rewritten graph in the precision that the recipe has for it."""
        recipe = self.precisions.recipe
        if recipe is None or role not in recipe.graphs:
            return graph
        return lowered(graph, recipe.engine, recipe.precision, recipe.graphs[role])

    def _write_recognizer(self, name: str, width: int, recognizer: _Recognizer) -> None:
        config = self._line_config(ModelRole.RECOGNIZER, name, width)
        widths = self.profile.warmup_widths if self.profile.takes_any_width else (width,)
        configs.warm_up_lines(config, widths, self._warm_batches(config))
        self._set_static(config, [(LINE_HEIGHT_PIXELS, width, 3) for width in self.profile.static_widths])
        manifest = self._line_manifest(config, ModelRole.RECOGNIZER, recognizer)
        if self.profile.takes_any_width:
            self._write_model(config, manifest, recognizer.dictionary, recognizer.graph)
            return
        golden = golden_lines(width, min(USUAL_BATCH, config.max_batch_size)) if self.plans is not None else ()
        shapes = _Shapes(shape_ranges(config), golden)
        self._write_model(config, manifest, recognizer.dictionary, self._of_width(recognizer, width), shapes)

    def _of_width(self, recognizer: _Recognizer, width: int) -> onnx.ModelProto:
        return fix_width(recognizer.graph, width, self.line.served_stride)

    def _write_reader(self, name: str, width: int, member: str, recognizer: _Recognizer) -> None:
        config = self._line_config(ModelRole.READER, name, width)
        config.ensemble_scheduling.step[0].model_name = self._named(ModelRole.ORIENTATION)
        config.ensemble_scheduling.step[-1].model_name = member
        manifest = self._line_manifest(config, ModelRole.READER, recognizer)
        self._write_model(config, manifest, recognizer.dictionary)

    def _line_config(self, role: ModelRole, name: str, width: int) -> configs.ModelConfig:
        config = self._role_config(role)
        config.name = name
        configs.set_alternatives(config, self.alternatives)
        if not self.profile.takes_any_width:
            configs.fix_width(config, width, self.line.served_stride)
        return config

    def _line_manifest(self, config: configs.ModelConfig, role: ModelRole, recognizer: _Recognizer) -> ModelManifest:
        return self._manifest(
            config,
            role,
            line_height=LINE_HEIGHT_PIXELS,
            pad_value=self.pad_value,
            stride=self.line.served_stride,
            buckets=self._bucket_models(role),
            alternatives=self.alternatives,
            reading="ensemble" if self.profile.reads_by_ensemble and role is ModelRole.RECOGNIZER else None,
            dictionary_sha256=dictionary_digest(recognizer.dictionary),
            alphabet=alphabet_name(self.alphabet),
        )

    def _manifest(self, config: configs.ModelConfig, role: ModelRole, **particular: object) -> ModelManifest:
        read_by = ModelRole.RECOGNIZER if role is ModelRole.READER else role
        source = self.sources[read_by]
        return ModelManifest(
            role=role,
            source=source.origin,
            license=source.license,
            source_sha256=source.sha256,
            device=self.profile.device,
            max_batch_size=config.max_batch_size,
            precision=self.precisions.of(read_by),
            accuracy=self.precisions.accuracy(read_by),
            passed_precisions=self.precisions.passed(read_by) or None,
            **particular,
        )

    def _set_static(self, config: configs.ModelConfig, shapes: Sequence[tuple[int, ...]]) -> None:
        if config.backend == "python":
            configs.set_static_shapes(config, shapes)

    def _warm_batches(self, config: configs.ModelConfig) -> tuple[int, ...]:
        """Return the batch sizes worth a warm-up; the python backend infers row by row and knows only one."""
        return (1,) if config.backend == "python" else tuple(sorted({1, config.max_batch_size}))

    def _write_model(
        self,
        config: configs.ModelConfig,
        manifest: ModelManifest,
        dictionary: Sequence[str] | None = None,
        graph: onnx.ModelProto | None = None,
        shapes: _Shapes | None = None,
    ) -> None:
        if self.profile.device == "cpu":
            for group in config.instance_group:
                group.count = self.profile.cores
        for step in config.ensemble_scheduling.step:
            (step.model_version,) = self._written[step.model_name].version_policy.specific.versions
        files = self.folder / config.name / "files"
        files.mkdir(parents=True)
        if config.backend == "python":
            shutil.copyfile(backend_code_path(), files / "model.py")
            configs.set_parameter(config, "inference_precision", _OPENVINO_PRECISION[self.precisions.floating])
        if graph is not None:
            manifest = manifest.model_copy(update={"graph_changes": noted_changes(graph)})
            check_bytes(graph, config.name)
            onnx.save(graph, files / _GRAPH_FILE)
            if config.backend == ONNXRUNTIME:
                if self.profile.accelerator is not None and shapes is not None:
                    accelerate(config, shapes.profile, file_digest(files / _GRAPH_FILE), manifest.precision)
                check_matches_graph(config, graph_tensors(files / _GRAPH_FILE))
                check_accelerators(config)
            if config.backend == TENSORRT_BACKEND:
                manifest = self._replace_by_plan(config, manifest, files / _GRAPH_FILE, shapes)
        check_warm_up(config)
        if config.HasField("ensemble_scheduling"):
            check_ensemble(config, self._written)
        # The version is made from all that the model is, so that whoever asks for it by number is answered by no other.
        manifest = manifest.model_copy(update={"content_sha256": configs.content_digest(config, files)})
        manifest = manifest.model_copy(update={"version": manifest.number})
        configs.add_manifest(config, manifest, dictionary)
        configs.serve_version(config, int(manifest.number))
        self._written[config.name] = config
        files.rename(files.with_name(manifest.number))
        configs.write_config(config, files.with_name("config.pbtxt"))

    def _replace_by_plan(
        self, config: configs.ModelConfig, manifest: ModelManifest, graph: Path, shapes: _Shapes | None
    ) -> ModelManifest:
        """Put its plan in the place of a graph, and return the manifest with the plan's target and agreement."""
        if self.plans is None or shapes is None:
            raise AssertionError("the tensorrt profile gives detector and recognizers shapes and a plan maker")
        plans, target = self.plans, self.plans.target
        plan = plans.build(graph, shapes.profile)
        name = f"sm{target.compute_capability.replace('.', '')}.plan"
        config.cc_model_filenames[target.compute_capability] = name
        check_matches_plan(config, plan.tensors, shapes.profile)
        agreement = check_agreement(
            config.name, graph, shapes.golden, lambda request: plans.run(plan, request), manifest.detection
        )
        graph.with_name(name).write_bytes(plan.content)
        graph.unlink()
        accuracy = {**(manifest.accuracy or {}), "golden_as_in_onnxruntime": round(agreement, 4)}
        return manifest.model_copy(update={"plan": target, "accuracy": accuracy})
