"""The stamp of a built repository: what was built, when, and by which Labelwire.

Invariant: a folder with a stamp was written whole by a build, or fetched whole from a registry. `choice.py` reads the
same file without this module, because it runs where this package is not installed.
"""

from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from worker.domain.manifest import Device, PlanTarget
from worker.domain.model_set import ModelSetName
from worker.models.choice import STAMP_FILE

_MAX_STAMP_BYTES = 1024 * 1024


class _StampPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BuiltPlans(_StampPart):
    """What a repository's plans were built for, and the hex SHA-256 of each by its path in the repository."""

    target: PlanTarget
    files: dict[str, str]


class BuildStamp(_StampPart):
    """What a build says about the whole repository.

    `digest` is the hex SHA-256 of everything that went into the build, `labelwire` the version that built, and
    `tuning_sha256` the hex SHA-256 of the tuning that was applied, if there was one.
    """

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    profile: str
    alphabet: str
    device: Device
    model_set: ModelSetName | None = None
    built_at: AwareDatetime
    labelwire: str
    plans: BuiltPlans | None = None
    tuning_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    def write(self, repository: Path) -> None:
        """Write the file; always the same bytes for the same stamp."""
        text = self.model_dump_json(exclude_none=True, indent=2) + "\n"
        (repository / STAMP_FILE).write_text(text, encoding="utf-8")


def holds_something_else(folder: Path) -> bool:
    """Tell whether a folder holds what no build wrote, of this release or an earlier one: it must not be replaced."""
    return folder.exists() and (not folder.is_dir() or (not (folder / STAMP_FILE).is_file() and any(folder.iterdir())))


def read_stamp(repository: Path) -> BuildStamp | None:
    """Return the stamp of a repository; None if there is none, or none that a build of now writes. Raises OSError."""
    stamp = repository / STAMP_FILE
    if not stamp.is_file() or stamp.stat().st_size > _MAX_STAMP_BYTES:
        return None
    try:
        return BuildStamp.model_validate_json(stamp.read_bytes())
    except ValidationError:
        return None
