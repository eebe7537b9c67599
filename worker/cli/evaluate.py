"""What `labelwire models evaluate` does, where the lab is installed."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from worker import bootstrap, settings
from worker.cli.quantize import serve_embedded
from worker.lab.acceptance.candidate import AcceptanceCandidate, Engine, choose_engine, locate, served_manifests
from worker.lab.acceptance.reading import SetReader, SetReading, read_in_turn
from worker.lab.acceptance.terminal import report_evaluation
from worker.lab.acceptance.verdict import AcceptanceLimits, ModelEvaluation, check_set, judge
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.in_process import InProcessBackend
from worker.local.progress import progress
from worker.local.stack import provision_triton
from worker.ports import InferenceBackend
from worker.reporting.progress import counted
from worker.settings import Settings

_PLAIN_COLUMNS: Final = 120  # of a table that is no terminal's


@dataclass(frozen=True, slots=True)
class EvaluationOrder:
    """What is to be evaluated: one or two names of repositories, and the servers of them that are running already."""

    names: Sequence[str]
    urls: Sequence[str]
    dataset: Dataset
    limits: AcceptanceLimits


def evaluate(order: EvaluationOrder) -> ModelEvaluation:
    """Have both read the set, in turn, and judge. Raises LabelwireError."""
    chosen = settings.load()
    candidates = [
        choose_engine(letter, locate(name), url)
        for letter, name, url in zip("AB", order.names, [*order.urls, None, None], strict=False)
    ]
    check_set(order.dataset, order.limits)
    if any(candidate.engine is Engine.EMBEDDED for candidate in candidates):
        provision_triton()  # it shows a progress of its own
    with ExitStack() as stack:
        served = []
        for candidate in candidates:
            with progress(f"Preparing {candidate.letter}, read by {candidate.read_by}"):
                served.append((candidate, stack.enter_context(_serve(candidate, _settings(candidate, chosen)))))
        readings = asyncio.run(_read(order.dataset, served, chosen))
    return judge(order.dataset, order.limits, readings[0], readings[1] if len(readings) > 1 else None)


def print_evaluation(evaluation: ModelEvaluation) -> None:
    """Print scores, times and the verdict."""
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_COLUMNS)
    console.print(report_evaluation(evaluation), soft_wrap=True)


@contextmanager
def _serve(candidate: AcceptanceCandidate, chosen: Settings) -> Iterator[InferenceBackend]:
    match candidate.engine:
        case Engine.EMBEDDED:
            with serve_embedded(candidate.repository) as backend:
                yield backend
        case Engine.IN_PROCESS:
            backend = InProcessBackend(candidate.repository)
            backend.load()
            yield backend
        case Engine.SERVER:
            yield bootstrap.triton_backend(chosen)


def _settings(candidate: AcceptanceCandidate, chosen: Settings) -> Settings:
    """Return the settings with which a model set is read: those of Triton hold for a running server alone."""
    if candidate.engine is Engine.SERVER:
        return chosen.model_copy(update={"triton": chosen.triton.model_copy(update={"url": candidate.url})})
    return chosen.model_copy(update={"triton": settings.load({}).triton})


async def _read(
    dataset: Dataset, served: Sequence[tuple[AcceptanceCandidate, InferenceBackend]], chosen: Settings
) -> tuple[SetReading, ...]:
    async with AsyncExitStack() as stack:
        readers = []
        for candidate, backend in served:
            client = bootstrap.open_model_client(_settings(candidate, chosen), backend)
            reader = await stack.enter_async_context(client)
            readers.append(SetReader(candidate, await served_manifests(candidate, backend, reader), reader))
        with counted("Reading", len(dataset.samples) * len(readers)) as advance:
            return await read_in_turn(dataset, readers, advance, chosen.runtime.attempt_seconds)
