"""Asks a server what its models are, reads a golden page through it, and puts both together."""

import asyncio
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from worker.adapters.triton.serving import Serving, Shape, read_serving
from worker.adapters.triton.statistics import ModelTimes, read_times
from worker.doctor.findings import (
    ExaminedModel,
    Finding,
    broken,
    find,
    find_changed,
    find_failures,
    find_others,
    in_order,
)
from worker.doctor.golden import draw_golden_page, missed_lines
from worker.doctor.observed import ObservedBackend, SentRequest, seconds_under_way
from worker.domain.errors import JobError, LabelwireError, ServerMismatchError
from worker.domain.manifest import ModelManifest
from worker.domain.result import LabelText
from worker.pipeline.explanation import PageSearch
from worker.pipeline.models import ModelSet, check_device, load_models
from worker.reporting.ocr import FileReading, ReadingOptions, read_files
from worker.runtime.model_client import ModelClient
from worker.settings import TritonSettings

_ALONE: Final = 4
_AT_ONCE: Final = 8
_REPEATS: Final = 2
_COUNTED_AFTER_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class ExaminedServer:
    """A server, and a reader that asks it through `backend`."""

    settings: TritonSettings
    backend: ObservedBackend
    reader: ModelClient


@dataclass(frozen=True, slots=True)
class PageShares:
    """Where the time of a page went that was read alone; all shares together are 1.

    `worker` is the time without a request under way. The rest is divided as the requests' own times are: in the queue,
    copying, computing, and `transfer`, which is what the client waited beyond what the server says that it took.
    """

    worker: float
    transfer: float
    queue: float
    copying: float
    computing: float


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found. Without models that a worker can use, there is only the finding that says so.

    `seconds` is the time in all stages of the golden page, the median of those read alone; `shares` are of all of
    these; `result` and `searches` are those of the last such reading.
    """

    models: tuple[ExaminedModel, ...]
    findings: tuple[Finding, ...]
    seconds: float | None = None
    shares: PageShares | None = None
    result: LabelText | None = None
    searches: tuple[PageSearch, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Whether no promise is broken."""
        return not any(finding.is_broken for finding in self.findings)


async def examine(server: ExaminedServer) -> Examination:
    """Examine a server.

    Raises JobError INFERENCE_UNAVAILABLE if it does not answer, and the error of a picture that the worker's own
    settings refuse.
    """
    settings = server.settings
    try:
        models = await load_models(server.backend)
        if settings.device != "any":
            check_device(models, settings.device)
    except ServerMismatchError as error:
        return Examination((), (_unusable(error, ": "),))
    except JobError as error:
        await read_counts(settings)  # where the server itself does not answer, that is raised
        return Examination((), (_unusable(error, "; "),))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "golden.png"
        page.write_bytes(draw_golden_page())
        first = await read_pages(server.reader, [page], at_once=1)
        sent_first, at_first = server.backend.take(), await read_counts(settings)
        alone = await read_pages(server.reader, [page] * _ALONE, at_once=1)
        sent_alone, before = server.backend.take(), await read_counts(settings)
        together = await read_pages(server.reader, [page] * (_AT_ONCE * _REPEATS), at_once=_AT_ONCE)
        sent_together, after = server.backend.take(), await read_counts(settings)
    readings = (*first, *alone, *together)
    examined = await _examined(models, times_between(before, after), [*sent_first, *sent_alone], settings)
    results = [reading.result for reading in readings if reading.result is not None]
    missed = {line for result in results for line in missed_lines(texts(result), models.dictionary)}
    findings = [*find_failures(readings), *find(examined, sorted(missed))]
    if len(results) == len(readings):
        findings += find_others(examined, count_by_member(sent_together, examined))
    findings += find_changed(models.descriptions)
    seconds = [page_seconds(reading.result) for reading in alone if reading.result is not None]
    return Examination(
        tuple(examined),
        tuple(in_order(findings)),
        statistics.median(seconds) if seconds else None,
        page_shares(sum(seconds), sent_alone, times_between(at_first, before), examined),
        alone[-1].result,
        alone[-1].searches,
    )


async def read_pages(reader: ModelClient, pages: Sequence[Path], *, at_once: int) -> list[FileReading]:
    """Return the readings of pages, in their order."""
    readings: list[FileReading] = []
    await read_files(pages, reader, readings.append, ReadingOptions(at_once=at_once))
    return readings


async def read_counts(settings: TritonSettings) -> dict[str, ModelTimes]:
    """Return what every model did, the last answer included: Triton answers before it counts."""
    await asyncio.sleep(_COUNTED_AFTER_SECONDS)
    return await asyncio.to_thread(read_times, settings)


def times_between(before: Mapping[str, ModelTimes], after: Mapping[str, ModelTimes]) -> dict[str, ModelTimes]:
    """Return what each model did in between."""
    return {name: times.since(before.get(name, ModelTimes())) for name, times in after.items()}


def texts(result: LabelText) -> list[str]:
    """Return the text of each line."""
    return [line.text for page in result.pages for line in page.lines]


def page_seconds(result: LabelText) -> float:
    """Return the time in all stages."""
    return sum(result.timing_ms.values()) / 1000


async def _examined(
    models: ModelSet, spent: Mapping[str, ModelTimes], sent: Sequence[SentRequest], settings: TritonSettings
) -> list[ExaminedModel]:
    examined = []
    for description in models.descriptions:
        serving: Serving | None = await asyncio.to_thread(read_serving, settings, description.name)
        if serving is not None:
            manifest = ModelManifest.model_validate_json(description.parameters["manifest"])
            examined.append(ExaminedModel(manifest, serving, spent.get(description.name, ModelTimes())))
    return [replace(model, seen=shapes_seen(model, sent, examined)) for model in examined]


def shapes_seen(
    model: ExaminedModel, sent: Sequence[SentRequest], all_models: Sequence[ExaminedModel]
) -> dict[Shape, list[float]]:
    """Return the shapes that reached a model, alone or in an ensemble, and the seconds of those sent to it alone."""
    name = model.serving.model
    ensembles = {other.serving.model for other in all_models if name in other.serving.members}
    seen: dict[Shape, list[float]] = defaultdict(list)
    for request in sent:
        if request.model == name:
            seen[request.shape].append(request.seconds)
        elif request.model in ensembles:
            seen.setdefault(request.shape, [])
    return dict(seen)


def count_by_member(sent: Iterable[SentRequest], models: Iterable[ExaminedModel]) -> Counter[str]:
    """Count requests by model; one to an ensemble is one to each of its members."""
    members = {model.serving.model: model.serving.members or (model.serving.model,) for model in models}
    return Counter(member for request in sent for member in members[request.model])


def page_shares(
    seconds: float, sent: list[SentRequest], times: Mapping[str, ModelTimes], models: Iterable[ExaminedModel]
) -> PageShares | None:
    """Return where the time of pages went, None if there was none or the server counted what was not sent."""
    own = [times.get(model.serving.model, ModelTimes()) for model in models if not model.serving.members]
    waited = sum(request.seconds for request in sent)
    queue, copying = sum(one.queued for one in own), sum(one.waited_copying for one in own)
    computing = sum(one.waited_computing for one in own)
    transfer = waited - queue - copying - computing
    if not seconds or not waited or transfer < 0:
        return None
    of_server = min(1.0, seconds_under_way(sent) / seconds)
    return PageShares(1 - of_server, *(of_server * part / waited for part in (transfer, queue, copying, computing)))


def _unusable(error: LabelwireError, before_remedy: str) -> Finding:
    """Cut the sentence where it says what to do."""
    what, _, remedy = str(error).rstrip(".").rpartition(before_remedy)
    return broken(what, remedy) if what else broken(remedy, "serve models that `labelwire models build` wrote")
