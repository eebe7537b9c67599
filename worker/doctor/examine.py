"""Asks a server what its models are, reads a golden page through it, and puts both together."""

import asyncio
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.adapters.triton.serving import Serving, read_serving
from worker.adapters.triton.statistics import ModelTimes, read_times
from worker.doctor.findings import ExaminedModel, Finding, broken, find, find_failures
from worker.doctor.golden import draw_golden_page, missed_lines
from worker.domain.errors import ServerMismatchError
from worker.domain.manifest import ModelManifest
from worker.domain.result import LabelText
from worker.pipeline.explanation import PageSearch
from worker.pipeline.models import ModelSet, check_device, load_models
from worker.ports import InferenceBackend
from worker.reporting.ocr import FileReading, ReadingOptions, read_files
from worker.runtime.model_client import ModelClient
from worker.settings import TritonSettings

_ALONE: Final = 3
_AT_ONCE: Final = 8
_REPEATS: Final = 3


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found. Without models that a worker can use, there is only the finding that says so.

    `seconds` is the time in all stages of the golden page, the median of those read alone; `result` and `searches` are
    those of the last such reading.
    """

    models: tuple[ExaminedModel, ...]
    findings: tuple[Finding, ...]
    seconds: float | None = None
    result: LabelText | None = None
    searches: tuple[PageSearch, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Whether no promise is broken."""
        return not any(finding.is_broken for finding in self.findings)


async def examine(backend: InferenceBackend, reader: ModelClient, settings: TritonSettings) -> Examination:
    """Examine the server of the settings, which `backend` and `reader` ask.

    Raises JobError INFERENCE_UNAVAILABLE if it does not answer, and the error of a picture that the worker's own
    settings refuse.
    """
    try:
        models = await load_models(backend)
        if settings.device != "any":
            check_device(models, settings.device)
    except ServerMismatchError as error:
        return Examination((), (_mismatch(error),))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "golden.png"
        page.write_bytes(draw_golden_page())
        alone = await _read(reader, [page] * (1 + _ALONE), at_once=1)
        before = await asyncio.to_thread(read_times, settings)
        together = await _read(reader, [page] * (_AT_ONCE * _REPEATS), at_once=_AT_ONCE)
        after = await asyncio.to_thread(read_times, settings)
    spent = {name: times.since(before.get(name, ModelTimes())) for name, times in after.items()}
    examined = await _examined(models, spent, settings)
    results = [reading.result for reading in (*alone, *together) if reading.result is not None]
    missed = {line for result in results for line in missed_lines(_texts(result), models.dictionary)}
    findings = [*find_failures((*alone, *together)), *find(examined, sorted(missed))]
    if not models.identified:
        what = "a model is not what its build wrote: its version does not fit its manifest"
        findings.insert(0, broken(what, "serve what `labelwire models build` writes, unchanged"))
    last = alone[-1]
    times = [sum(reading.result.timing_ms.values()) / 1000 for reading in alone[1:] if reading.result is not None]
    return Examination(
        tuple(examined), tuple(findings), statistics.median(times) if times else None, last.result, last.searches
    )


async def _read(reader: ModelClient, pages: list[Path], *, at_once: int) -> list[FileReading]:
    readings: list[FileReading] = []
    await read_files(pages, reader, readings.append, ReadingOptions(at_once=at_once))
    return readings


async def _examined(models: ModelSet, spent: Mapping[str, ModelTimes], settings: TritonSettings) -> list[ExaminedModel]:
    examined = []
    for description in models.descriptions:
        serving: Serving | None = await asyncio.to_thread(read_serving, settings, description.name)
        if serving is not None:
            manifest = ModelManifest.model_validate_json(description.parameters["manifest"])
            examined.append(ExaminedModel(manifest, serving, spent.get(description.name, ModelTimes())))
    return examined


def _mismatch(error: ServerMismatchError) -> Finding:
    """Cut the sentence where it says what to do."""
    what, _, remedy = str(error).rstrip(".").rpartition(": ")
    return broken(what, remedy) if what else broken(remedy, "serve models that `labelwire models build` wrote")


def _texts(result: LabelText) -> list[str]:
    return [line.text for page in result.pages for line in page.lines]
