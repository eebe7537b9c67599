"""What `labelwire models tune` does, where the lab is installed."""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from worker import bootstrap, settings
from worker.domain.manifest import ModelRole
from worker.lab.bench.bare import RecordingBackend
from worker.lab.evaluation.dataset import Dataset
from worker.lab.tuning.embedded import EmbeddedSweep, TuneOrder
from worker.lab.tuning.judgment import SweepLimits
from worker.lab.tuning.reading import RecordedReading, read_recorded
from worker.lab.tuning.report import candidates_table, write_page
from worker.local.progress import announce, progress
from worker.local.stack import provision_triton
from worker.models.files import write_whole
from worker.models.profiles import Profile
from worker.models.tuning import CandidateEvidence, Tuning
from worker.settings import Settings

_PLAIN_COLUMNS: Final = 150  # of a table that is no terminal's
_PATIENCE: Final = 10  # attempts' time for a picture: nothing is delivered here


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """What the command line asks for."""

    profile: Profile
    alphabet: str
    sources: Mapping[ModelRole, Path]
    dataset: Dataset
    limits: SweepLimits


@dataclass(frozen=True, slots=True)
class PipelineReader:
    """Reads a set as a worker with these settings does."""

    dataset: Dataset
    chosen: Settings

    def read(self, url: str) -> RecordedReading:
        """Read the set by the Triton at a gRPC address, and keep the requests."""
        return asyncio.run(self._read(url))

    async def _read(self, url: str) -> RecordedReading:
        # As the embedded Triton is reached; what this environment says of another one does not hold for it.
        triton = settings.load({"LABELWIRE_TRITON__URL": url}).triton
        chosen = self.chosen.model_copy(update={"triton": triton})
        recording = RecordingBackend(bootstrap.triton_backend(chosen))
        patience = _PATIENCE * chosen.runtime.attempt_seconds
        async with bootstrap.open_model_client(chosen, recording) as client:
            return await read_recorded(self.dataset, client, recording, _nothing, patience)


def tune(request: TuneRequest) -> Tuning:
    """Run the sweep and return the best tuning. Raises LabelwireError if there is none."""
    provision_triton()  # it shows a progress of its own
    with tempfile.TemporaryDirectory() as folder, progress("Tuning") as report:
        order = TuneOrder(
            request.profile, request.alphabet, request.sources, request.dataset, request.limits, Path(folder)
        )
        return EmbeddedSweep(order, PipelineReader(request.dataset, settings.load()).read, _announce, report).choose()


def write(tuning: Tuning, output: Path) -> None:
    """Write the tuning, and its page beside it."""
    write_whole(output, tuning.to_json().encode())
    if tuning.evidence is not None:
        write_page(tuning, tuning.evidence, output.with_suffix(".html"))


def print_tuning(tuning: Tuning, output: Path) -> None:
    """Print all candidates, and where the tuning is."""
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_COLUMNS)
    if tuning.evidence is not None:
        console.print(candidates_table(tuning.evidence))
    console.print(
        f"Written to {output} ({tuning.sha256[:12]}); build with: labelwire models build --tuning {output}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _announce(candidate: CandidateEvidence) -> None:
    announce(f"{candidate.change}: {candidate.outcome}, {candidate.reason}")


def _nothing() -> None:
    """Take no note of a single picture: a reading is one step of many."""
