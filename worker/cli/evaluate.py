"""What `labelwire models evaluate` does, where the lab is installed."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from worker import bootstrap, settings
from worker.adapters.blob.object_folder import ObjectFolder
from worker.cli.quantize import serve_embedded
from worker.lab.acceptance.candidate import AcceptanceCandidate, Engine, choose_engine, locate, served_manifests
from worker.lab.acceptance.reading import SetReader, SetReading, read_in_turn
from worker.lab.acceptance.terminal import report_evaluation
from worker.lab.acceptance.verdict import AcceptanceLimits, AcceptanceVerdict, ModelEvaluation, check_set, judge
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.in_process import InProcessBackend
from worker.local.progress import progress
from worker.local.stack import provision_triton
from worker.models.registry.built import read_build
from worker.models.registry.documents import EvaluationRecord, short
from worker.models.registry.evaluations import record_evaluation
from worker.models.registry.promotion import version_in_use
from worker.models.registry.versions import Versions
from worker.ports import InferenceBackend
from worker.reporting.progress import counted, reaching
from worker.settings import Settings

_PLAIN_COLUMNS: Final = 120  # of a table that is no terminal's


@dataclass(frozen=True, slots=True)
class LocatedRepository:
    """A repository in a folder, and the id of its version if a registry holds it."""

    folder: Path
    version: str | None = None


@dataclass(frozen=True, slots=True)
class EvaluationOrder:
    """What is to be evaluated: one or two repositories, and the servers of them that are running already."""

    repositories: Sequence[LocatedRepository]
    urls: Sequence[str]
    dataset: Dataset
    limits: AcceptanceLimits


def locate_both(a: str, b: str | None, registry: ObjectFolder | None, work: Path) -> list[LocatedRepository]:
    """Return the repositories that A and B name; without B the version in use, if a registry is given and has one.

    Versions are fetched into the folder `work`. Raises AcceptanceError, RegistryError and ObjectFolderError.
    """
    in_use = None if registry is None or b is not None else version_in_use(registry)
    names = [name for name in (a, b if in_use is None else in_use.version) if name is not None]
    return [_located(name, registry, work / letter) for letter, name in zip("AB", names, strict=False)]


def record(
    registry: ObjectFolder, repositories: Sequence[LocatedRepository], verdict: AcceptanceVerdict, by: str
) -> None:
    """Add the verdict to the registry if that holds A, and B if there is one; else say that it was not recorded."""
    if any(located.version is None for located in repositories):
        print(f"The verdict is not recorded, because {registry} does not hold what was read.", file=sys.stderr)
        return
    a, *others = [located.version for located in repositories]
    record_evaluation(
        registry,
        EvaluationRecord(
            version=str(a),
            compared_with=others[0] if others else None,
            verdict="passed" if verdict.passed else "failed",
            reasons=verdict.reasons,
            scores=dict(verdict.scores),
            dataset=verdict.dataset,
            pictures=verdict.pictures,
            at=datetime.now(UTC).replace(microsecond=0),
            by=by,
        ),
    )
    print(f"The verdict on version {short(str(a))} is recorded in {registry}.", file=sys.stderr)


def _located(name: str, registry: ObjectFolder | None, work: Path) -> LocatedRepository:
    if registry is None:
        return LocatedRepository(locate(name))
    versions = Versions(registry)
    if Path(name).is_dir():
        folder = locate(name)
        version = read_build(folder).version
        is_held = any(listed.version == version for listed in versions.listed())
        return LocatedRepository(folder, version if is_held else None)
    version = versions.find(name)
    versions.fetch(versions.release(version), work, reaching)
    return LocatedRepository(work, version)


def evaluate(order: EvaluationOrder) -> ModelEvaluation:
    """Have both read the set, in turn, and judge. Raises LabelwireError."""
    chosen = settings.load()
    candidates = [
        choose_engine(letter, located.folder, url, located.version)
        for letter, located, url in zip("AB", order.repositories, [*order.urls, None, None], strict=False)
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
    is_server = candidate.engine is Engine.SERVER
    triton = chosen.triton.model_copy(update={"url": candidate.url}) if is_server else settings.load({}).triton
    return chosen.model_copy(update={"triton": triton.model_copy(update={"model_set": candidate.model_set})})


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
