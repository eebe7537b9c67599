"""Facts about a server's models to findings. No server is asked here."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from worker.adapters.triton.serving import Serving
from worker.adapters.triton.statistics import ModelTimes
from worker.domain.errors import ErrorCode, LabelwireError
from worker.domain.manifest import ModelManifest, ModelRole
from worker.reporting.ocr import FileReading

_FEW_ITEMS: Final = 1.5  # a batch, while several pages are read at once
_ENOUGH_EXECUTIONS: Final = 8
_BUSY: Final = frozenset({ErrorCode.INFERENCE_OVERLOADED.value, ErrorCode.MODELS_CHANGED.value})
_OF_THE_SERVER: Final = _BUSY | {
    ErrorCode.INFERENCE_FAILED.value,
    ErrorCode.INFERENCE_REJECTED.value,
    ErrorCode.INFERENCE_UNAVAILABLE.value,
}
_REBUILD: Final = "build the repository anew with `labelwire models build`, and serve that"
# What is computed in small batches costs about its whole time again; a model without a warm-up only its first requests.
_FIRST_REQUESTS: Final = 0.05
_UNBATCHED: Final = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    `cost` is the share of the server's time that it concerns, 1 at most; `is_broken` says that a promise is broken.
    """

    what: str
    remedy: str
    cost: float
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class ExaminedModel:
    """A model: what its manifest promises, how it is run, and what it did while several pages were read at once."""

    manifest: ModelManifest
    serving: Serving
    times: ModelTimes = field(default_factory=ModelTimes)


def broken(what: str, remedy: str) -> Finding:
    """Return the finding of a broken promise."""
    return Finding(what, remedy, 1.0, is_broken=True)


def find(models: Sequence[ExaminedModel], missed: Sequence[str] = ()) -> list[Finding]:
    """Return the findings, broken promises first and then the dearest; `missed` are golden lines that were not read."""
    whole = sum(_spent(model) for model in models) or 1.0
    found = [finding for model in models for finding in _of_model(model, _spent(model) / whole)]
    if missed:
        found.append(
            broken(
                f"the golden page was not read: {', '.join(map(repr, missed))} did not come back",
                "a model or its precision is damaged, or the dictionary is another one: " + _REBUILD,
            )
        )
    return sorted(found, key=lambda finding: (not finding.is_broken, -finding.cost))


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
            yield Finding(
                f"the server was too busy, or changed, while it was examined: {what}", "examine it again", 1.0
            )
        else:
            yield broken(what, "see Triton's log")


def _spent(model: ExaminedModel) -> float:
    return 0.0 if model.serving.members else model.times.copied + model.times.computed


def _of_model(model: ExaminedModel, share: float) -> Iterator[Finding]:
    yield from _promises(model)
    serving, times = model.serving, model.times
    if serving.members:
        return
    if not serving.is_batched:
        yield Finding(
            f"{serving.model} has no dynamic batching: each request is computed alone",
            "give its config `dynamic_batching`, or " + _REBUILD,
            _UNBATCHED * share,
        )
    elif (
        model.manifest.role is ModelRole.RECOGNIZER
        and times.executions >= _ENOUGH_EXECUTIONS
        and times.items < _FEW_ITEMS * times.executions
    ):
        formed = times.items / times.executions
        yield Finding(
            f"{serving.model} computes batches of {formed:.1f} lines although several pages were read at once",
            "raise `max_queue_delay_microseconds`, or build with fewer line widths: equal widths share a batch",
            _UNBATCHED * share,
        )
    if not serving.warm_ups:
        yield Finding(
            f"{serving.model} is not warmed up: its first requests wait for what the backend prepares",
            "give its config `model_warmup`, or " + _REBUILD,
            _FIRST_REQUESTS * share,
        )


def _promises(model: ExaminedModel) -> Iterator[Finding]:
    manifest, serving = model.manifest, model.serving
    foreign = serving.devices - {manifest.device, "auto"}
    if foreign:
        yield broken(
            f"{serving.model} runs on the {' and '.join(sorted(foreign)).upper()} though its manifest says"
            f" {manifest.device.upper()}",
            f"set `kind: KIND_{manifest.device.upper()}` in its instance_group, or build it for the other device",
        )
    if serving.max_batch_size != manifest.max_batch_size:
        yield broken(
            f"{serving.model} takes batches of {serving.max_batch_size} though its manifest says"
            f" {manifest.max_batch_size}",
            _REBUILD,
        )
