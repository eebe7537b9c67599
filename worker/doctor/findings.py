"""Facts about a server's models to findings. No server is asked here.

Invariant: the sentences are for the owner of a model, who need not know Triton; its words stand in the remedies alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from worker.adapters.triton.serving import Serving, Shape
from worker.adapters.triton.statistics import ModelTimes
from worker.domain.errors import ErrorCode, LabelwireError
from worker.domain.manifest import ModelManifest, ModelRole
from worker.ports import ModelDescription
from worker.reporting.ocr import FileReading

_FEW_ITEMS: Final = 1.5  # a batch, while several pages are read at once
_ENOUGH_EXECUTIONS: Final = 8
_WAITING: Final = 0.5  # of the time that a batch is computed: requests were there that could have shared it
# Whoever waits for what is prepared waits several times as long as the next; less is noise, or costs nobody anything.
_SLOW_FIRST: Final = 3.0
_SLOW_FIRST_SECONDS: Final = 0.05
_ENOUGH_ALONE: Final = 4
_AS_COLD: Final = 0.5  # of the time of the first
_OTHERS: Final = 1.25  # a few requests more or less are late counts; a second server, or a worker, makes more of it
_NAMED_SIZES: Final = 3
_BUSY: Final = frozenset({ErrorCode.INFERENCE_OVERLOADED.value, ErrorCode.MODELS_CHANGED.value})
_OF_THE_SERVER: Final = _BUSY | {
    ErrorCode.INFERENCE_FAILED.value,
    ErrorCode.INFERENCE_REJECTED.value,
    ErrorCode.INFERENCE_UNAVAILABLE.value,
}
_REBUILD: Final = "build the repository anew with `labelwire models build`, and serve that"
# Bits of a number: fewer are less to move and to multiply.
_BITS: Final = {"fp32": 32, "bf16": 16, "fp16": 16, "int8": 8}
_ITEMS: Final = {ModelRole.DETECTOR: "tiles"}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    `what` says it; of `models`, if there are any, each is the subject of the sentence. `share` is that of the server's
    time that these models take, or nothing where no time was measured. `is_broken` says that a promise is broken, and
    `is_first` that only the first requests after a start pay for it.
    """

    what: str
    remedy: str
    share: float | None = None
    is_broken: bool = False
    is_first: bool = False
    models: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The whole sentence, without its full stop."""
        if not self.models:
            return self.what
        first, *others = self.models
        more = f" (and {len(others)} other{'s' if others[1:] else ''})" if others else ""
        return f"{first}{more} {self.what}"


@dataclass(frozen=True, slots=True)
class ExaminedModel:
    """A model: what its manifest promises, how it is run, and what it did while several pages were read at once.

    `seen` maps the shape of an item that the model was sent to the seconds that requests of it took one after another,
    the first request of that shape first; there are none where only an ensemble passed the shape on.
    """

    manifest: ModelManifest
    serving: Serving
    times: ModelTimes = field(default_factory=ModelTimes)
    seen: Mapping[Shape, Sequence[float]] = field(default_factory=dict)

    @property
    def busy_seconds(self) -> float:
        """How long the server worked for it; an ensemble's work is that of its members."""
        return 0.0 if self.serving.members else self.times.copied + self.times.computed

    @property
    def precision(self) -> str:
        """What it computes in: as its backend is told, else as its manifest says.

        What is quantized leaves some layers as they were, so the rest of an INT8 model may be told anything.
        """
        said = self.manifest.precision
        return said if said == "int8" else self.serving.precision or said

    @property
    def items(self) -> str:
        """What the model takes, in the plural."""
        return _ITEMS.get(self.manifest.role, "lines")

    @property
    def is_on_gpu(self) -> bool:
        """Whether it runs on a GPU, as far as its configuration or else its manifest says."""
        return "gpu" in self.serving.devices or (self.serving.devices == {"auto"} and self.manifest.device == "gpu")


def broken(what: str, remedy: str) -> Finding:
    """Return the finding of a broken promise."""
    return Finding(what, remedy, is_broken=True)


def find(models: Sequence[ExaminedModel], missed: Sequence[str] = ()) -> list[Finding]:
    """Return what is found on models; `missed` are golden lines that were not read."""
    whole = sum(model.busy_seconds for model in models) or 1.0
    found = list(_alike(finding for model in models for finding in _of_model(model, model.busy_seconds / whole)))
    if missed:
        found.append(
            broken(
                f"the golden page was not read: {', '.join(map(repr, missed))} did not come back",
                "a model or its precision is damaged, or the dictionary is another one: " + _REBUILD,
            )
        )
    return found


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return broken promises first, then what every request pays for, the dearest first, and what only first ones do.

    What makes the measurements doubtful comes before what was measured.
    """
    return sorted(
        findings,
        key=lambda one: (not one.is_broken, one.is_first, one.share is not None, -(one.share or 0.0)),
    )


def find_failures(readings: Sequence[FileReading]) -> Iterator[Finding]:
    """Yield a finding for each way in which golden pages failed. Raises LabelwireError for one of the worker's own."""
    failed: dict[str, list[str]] = defaultdict(list)
    for reading in readings:
        if reading.error is not None:
            said = reading.error.removeprefix(f"{reading.path}: ").rstrip(".")
            if reading.code is None or reading.code not in _OF_THE_SERVER:
                raise LabelwireError(f"The golden page cannot be read with these settings: {said}.")
            failed[reading.code].append(said)
    for code, errors in failed.items():
        what = f"{len(errors)} of {len(readings)} golden pages failed, the first because {errors[0]}"
        if code in _BUSY:
            yield Finding(f"the server was too busy, or changed, while it was examined: {what}", "examine it again")
        else:
            yield broken(what, "see Triton's log")


def find_changed(descriptions: Sequence[ModelDescription]) -> Iterator[Finding]:
    """Yield a finding if models are not what their builds wrote."""
    manifests = {one.name: ModelManifest.model_validate_json(one.parameters["manifest"]) for one in descriptions}
    changed = tuple(one.name for one in descriptions if not manifests[one.name].identifies(one.version))
    if changed:
        yield Finding(
            "is not what its build wrote: its version does not fit its manifest",
            "serve what `labelwire models build` writes, unchanged",
            is_broken=True,
            models=changed,
        )


def find_others(models: Sequence[ExaminedModel], sent: Mapping[str, int]) -> Iterator[Finding]:
    """Yield a finding if the server counted other requests than those that were `sent`, by model, and answered."""
    counted = {model.serving.model: model.times.requests for model in models if not model.serving.members}
    if any(count > sent.get(name, 0) * _OTHERS for name, count in counted.items()):
        yield Finding(
            "other clients used the server while it was examined: times and batches are theirs too",
            "examine it again when nobody else uses it",
        )
    elif any(count * _OTHERS < sent.get(name, 0) for name, count in counted.items()):
        yield Finding(
            "the server counted fewer requests than it was sent: several servers stand behind this address, and only"
            " one of them was examined",
            "give the address of one server, and examine each",
        )


def _alike(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield one finding where several models have the same, as those of each line width often do."""
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.what, finding.remedy].append(finding)
    for group in groups.values():
        share = sum(finding.share or 0.0 for finding in group)
        yield replace(group[0], models=tuple(name for finding in group for name in finding.models), share=share)


def _of_model(model: ExaminedModel, share: float) -> Iterator[Finding]:
    name = (model.serving.model,)
    for what, remedy in _promises(model):
        yield Finding(what, remedy, share, is_broken=True, models=name)
    if model.serving.members:
        return
    for what, remedy in _slow(model):
        yield Finding(what, remedy, share, models=name)
    for what, remedy in _slow_at_first(model):
        yield Finding(what, remedy, share, is_first=True, models=name)


def _promises(model: ExaminedModel) -> Iterator[tuple[str, str]]:
    manifest, serving = model.manifest, model.serving
    foreign = serving.devices - {manifest.device, "auto"}
    if foreign:
        device = manifest.device.upper()
        yield (
            f"runs on the {' and '.join(sorted(foreign)).upper()} though its manifest says {device}",
            f"set `kind: KIND_{device}` in its instance_group, or build it for the other device",
        )
    if model.precision != manifest.precision:
        tested = manifest.precision.upper()
        yield f"computes in {model.precision.upper()} though it was built and tested in {tested}", _REBUILD
    if serving.max_batch_size != manifest.max_batch_size:
        said = manifest.max_batch_size
        yield (
            f"computes {serving.max_batch_size} {model.items} together at most, though its manifest says {said}",
            _REBUILD,
        )


def _slow(model: ExaminedModel) -> Iterator[tuple[str, str]]:
    """Yield what makes every request slower than it needs to be."""
    serving, times = model.serving, model.times
    bits = _BITS.get(model.precision, _BITS["fp32"])
    smaller = [one for one in model.manifest.passed_precisions or () if _BITS[one] < bits]
    if smaller:
        passed = " and ".join(one.upper() for one in smaller)
        build = f"`labelwire models build {_profile(model)} --precision {min(smaller, key=_BITS.__getitem__)}`"
        yield (
            f"computes in {model.precision.upper()} although it reads well enough in {passed}, which is often faster",
            f"serve what {build} writes, and see with `labelwire doctor --compare` what that gains",
        )
    if not serving.is_batched:
        yield (
            f"computes each request alone, however many {model.items} wait",
            "add `dynamic_batching { }` to its config.pbtxt, or " + _REBUILD,
        )
    elif _forms_no_batches(model):
        slow = f"computes {times.items / times.executions:.1f} lines at a time although others wait"
        if len(model.seen) > 1 and not serving.mixes_shapes:
            yield (
                f"{slow}: they come in {len(model.seen)} widths, and only lines of one width are computed together",
                "serve fewer line widths, by LABELWIRE_PIPELINE__LINE_WIDTHS or another build",
            )
        else:
            yield slow, "raise `max_queue_delay_microseconds` in its config.pbtxt, or " + _REBUILD
    waited = times.queued - serving.batch_delay_seconds * times.requests
    if serving.instances == 1 and not model.is_on_gpu and waited > times.waited_copying + times.waited_computing:
        yield (
            "does one thing at a time on the CPU, and requests wait longer than they are computed (one instance)",
            "if the server has more processors, build with `labelwire models build --cores` and their number",
        )


def _profile(model: ExaminedModel) -> str:
    """Return the options of the build that wrote a model, as far as its precisions depend on them."""
    if model.manifest.plan is not None:
        return "--profile tensorrt"
    if model.serving.backend == "python":
        return "--profile embedded"
    by_tensorrt = " --accelerator tensorrt" if model.serving.by_tensorrt else ""
    return f"--profile onnx --device {model.manifest.device}{by_tensorrt}"


def _forms_no_batches(model: ExaminedModel) -> bool:
    """Whether batches are formed of single lines though others wait, and the configuration wants it otherwise.

    On a CPU a batch gains next to nothing; only who lets requests wait for others there expects something of it.
    """
    serving, times = model.serving, model.times
    if model.manifest.role is not ModelRole.RECOGNIZER or times.executions < _ENOUGH_EXECUTIONS:
        return False
    if times.items >= _FEW_ITEMS * times.executions or not (model.is_on_gpu or serving.batch_delay_seconds):
        return False
    waited = times.queued / times.requests - serving.batch_delay_seconds
    return waited > _WAITING * times.computed / times.executions


def _slow_at_first(model: ExaminedModel) -> Iterator[tuple[str, str]]:
    """Yield what the first requests after a start wait for."""
    serving = model.serving
    if not serving.warm_ups:
        yield (
            "is not warmed up: after a start, the first pages wait while the server prepares it",
            "give its config.pbtxt a `model_warmup`, or " + _REBUILD,
        )
        return
    if not serving.takes_shapes:
        return
    for shape, seconds in model.seen.items():
        if shape in serving.warmed_shapes or len(seconds) < _ENOUGH_ALONE:
            continue
        first, *others = seconds
        as_cold = sum(one > _AS_COLD * first for one in others)  # each other instance may have been cold once
        warm = sorted(others)[: len(others) - min(as_cold, serving.instances - 1)]
        later = warm[-1] if warm else first
        if first > _SLOW_FIRST * later and first > later + _SLOW_FIRST_SECONDS:
            took = f"took {first * 1000:.0f} ms for the first of its {_sized(model, [shape])}"
            yield (
                f"{took} and at most {later * 1000:.0f} ms later: it is not warmed up for this size",
                "add the size to `model_warmup` in its config.pbtxt, or " + _REBUILD,
            )
    cold = sorted(_needed(model) - serving.warmed_shapes)
    if cold and model.is_on_gpu and serving.backend == "onnxruntime" and not serving.by_tensorrt:
        yield (
            f"is not warmed up for {_sized(model, cold)}: on a GPU the first page of each size waits for a search",
            "add the sizes to `model_warmup` in its config.pbtxt, or " + _REBUILD,
        )


def _needed(model: ExaminedModel) -> set[Shape]:
    """Return the shapes that the model was sent, and those that its manifest lists."""
    manifest = model.manifest
    tiles = manifest.tile_shapes.fixed if manifest.tile_shapes else ()
    widths = [width for width, name in (manifest.buckets or {}).items() if name == model.serving.model]
    lines = [(manifest.line_height, width, 3) for width in widths if manifest.line_height]
    return {*model.seen, *((height, width, 3) for height, width in tiles), *lines}


def _sized(model: ExaminedModel, shapes: Sequence[Shape]) -> str:
    tiles = model.manifest.role is ModelRole.DETECTOR
    named = [f"{height} x {width}" if tiles else str(width) for height, width, *_ in shapes[:_NAMED_SIZES]]
    more = f" and {len(shapes) - _NAMED_SIZES} more" if len(shapes) > _NAMED_SIZES else ""
    what = "tiles (height x width)" if tiles else "lines of width"
    return f"{what} {', '.join(named)}{more}"
