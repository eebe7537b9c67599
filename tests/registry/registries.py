"""The registries of the tests: a folder, and a bucket of a real S3 server, whose folder the tests may damage."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.registry.builds import write_build
from worker.adapters.blob.object_folder import ObjectFolder
from worker.models.registry.built import read_build
from worker.models.registry.documents import EvaluationRecord
from worker.models.registry.promotion import Signature
from worker.models.registry.versions import Reached, Versions

NOW = datetime(2026, 6, 7, 8, 9, 10, tzinfo=UTC)
SIGNED = Signature("ann@desk", NOW, "a test")


@dataclass(frozen=True, slots=True)
class Place:
    """An address, the folder of this machine in which its objects lie, and the certificates that its server needs."""

    address: str
    path: Path
    root_certificates: str = ""

    def open(self) -> ObjectFolder:
        """Return the objects there, by a client of its own."""
        return ObjectFolder.open(self.address, root_certificates=self.root_certificates, create=True)

    def stored(self, name: str) -> Path:
        """Return where an object lies."""
        return self.path / name


ReadOnly = Callable[[Place], Place]
"""Gives the same objects by a server that refuses to write."""


def silently(_: str, __: int) -> "nullcontext[Reached]":
    """Show no progress."""
    return nullcontext(_ignore)


def _ignore(_: int) -> None: ...


def publish(registry: ObjectFolder, folder: Path, seed: int = 0) -> str:
    """Build and publish; return the version."""
    repository = write_build(folder, seed)
    release = read_build(repository)
    Versions(registry).publish(release, repository, silently)
    return release.version


def verdict(version: str, compared_with: str | None, verdict_: str = "passed") -> EvaluationRecord:
    """Return a verdict on a version."""
    return EvaluationRecord.model_validate(
        {
            "version": version,
            "compared_with": compared_with,
            "verdict": verdict_,
            "reasons": ("word F1 fell by 0.02.",) if verdict_ == "failed" else (),
            "scores": {"word_f1": 0.95},
            "dataset": "labels of May",
            "pictures": 24,
            "at": NOW,
            "by": "ann@desk",
        }
    )
