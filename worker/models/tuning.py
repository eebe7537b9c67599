"""How models are served on a CPU, tuned to the pictures that come: `labelwire models tune` writes it, a build takes it.

Invariant: a tuning decides how fast pictures are read, and never which of them: the shapes that have no graph of their
own go to the graph with free sizes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from worker.domain.errors import LabelwireError
from worker.models.profiles import MAX_CORES, TILE_SHAPES, Profile

TUNING_SCHEMA: Final = "labelwire.tuning/1"
_MAX_FILE_BYTES: Final = 4 * 1024 * 1024


class TuningError(LabelwireError):
    """A tuning cannot be read, or does not fit what is built."""


class _TuningPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServingSettings(_TuningPart):
    """How models are served on a CPU.

    Each model has `instances` of `threads` each. `static_widths` of lines and `static_tiles` (height, width), both in
    pixels, have graphs of fixed sizes. A request waits `max_queue_delay_microseconds` for others to be batched with; it
    holds at most `max_batch_tiles` and `max_batch_lines`, as the profile has them if they are None.
    """

    instances: int = Field(ge=1, le=MAX_CORES)
    threads: int = Field(ge=1, le=MAX_CORES)
    static_widths: tuple[int, ...] = Field(max_length=64)
    static_tiles: tuple[tuple[int, int], ...] = Field(max_length=64)
    max_queue_delay_microseconds: int = Field(default=0, ge=0, le=1_000_000)
    max_batch_tiles: int | None = Field(default=None, ge=1, le=64)
    max_batch_lines: int | None = Field(default=None, ge=1, le=64)

    @field_validator("static_widths", "static_tiles")
    @classmethod
    def _each_once(cls, shapes: tuple[Any, ...]) -> tuple[Any, ...]:
        twice = next((shape for shape in shapes if shapes.count(shape) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} is there twice")
        return shapes

    @property
    def sha256(self) -> str:
        """The hex SHA-256 of `to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the text of a file; always the same for the same values."""
        return self.model_dump_json(by_alias=True, exclude_none=True, indent=1) + "\n"


class RateSpread(_TuningPart):
    """Pictures a second over the rounds of a comparison."""

    median: float
    min: float
    max: float


class CandidateEvidence(_TuningPart):
    """What one candidate did, and what became of it.

    `change` is how it differed from what was best before it, whose figures in the same rounds are those "compared
    with". Rates are pictures a second at full load, `cpu_seconds` what the server's processes took for a picture
    (medians), `peak_rss_mb` the resident memory of the server at its highest, in 10⁶ bytes. `word_f1` is None without
    truth. `equal_lines` is the share of lines that are read as with the default.
    """

    change: str
    settings: ServingSettings
    outcome: Literal["default", "taken", "refused", "not tried"]
    reason: str
    pictures_per_second: RateSpread | None = None
    compared_with: RateSpread | None = None
    cpu_seconds: float | None = None
    cpu_seconds_compared_with: float | None = None
    peak_rss_mb: float | None = None
    word_f1: float | None = None
    equal_lines: float | None = None


class TuningEvidence(_TuningPart):
    """What a tuning was chosen on: machine, engine, pictures, models, every candidate, and the limits that held."""

    machine: Mapping[str, Any]
    openvino: str
    labelwire: str
    alphabet: str
    models: Mapping[str, str]
    dataset: str
    pictures: int = Field(ge=1)
    cores: int = Field(ge=1)
    rounds: int = Field(ge=1)
    candidates: tuple[CandidateEvidence, ...]
    memory_mb: float | None = None
    max_word_f1_loss: float | None = None
    min_equal_lines: float | None = None


class Tuning(ServingSettings):
    """A tuning file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: Literal["labelwire.tuning/1"] = Field(default=TUNING_SCHEMA, alias="schema")
    evidence: TuningEvidence | None = None


def read_tuning(path: Path) -> Tuning:
    """Return the tuning in a file. Raises TuningError if there is none."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TuningError(f"the tuning {path} cannot be read ({error.strerror}): give a file of models tune") from error
    if len(content) > _MAX_FILE_BYTES:
        raise TuningError(f"{path} has over {_MAX_FILE_BYTES} bytes and is no tuning: give a file of models tune")
    try:
        return Tuning.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        part = ".".join(map(str, first["loc"])) or "the whole"
        raise TuningError(
            f"{path} is no tuning of {TUNING_SCHEMA} ({part}: {first['msg']}): write it anew with `labelwire models "
            "tune`"
        ) from error


def settings_of(profile: Profile) -> ServingSettings:
    """Return how a profile serves by itself."""
    return ServingSettings(
        instances=profile.instances,
        threads=profile.threads,
        static_widths=profile.static_widths,
        static_tiles=profile.static_tiles,
        max_queue_delay_microseconds=profile.max_queue_delay_microseconds or 0,
        max_batch_tiles=profile.max_batch_tiles,
        max_batch_lines=profile.max_batch_lines,
    )


def check_cores(profile: Profile, tuning: ServingSettings) -> None:
    """Raise TuningError if a profile is for a GPU, or a tuning for more cores than a build."""
    if profile.device != "cpu":
        raise TuningError(
            f"the profile {profile.name} on a {profile.device} has no cores that a tuning could share out: build it "
            "without --tuning"
        )
    cores = tuning.instances * tuning.threads
    if cores > MAX_CORES:
        raise TuningError(
            f"a tuning with {tuning.instances} instances of {tuning.threads} threads needs {cores} cores, and a build "
            f"is for at most {MAX_CORES}: change instances or threads"
        )


def tuned(profile: Profile, tuning: ServingSettings) -> Profile:
    """Return a profile that serves as a tuning says.

    The embedded profile takes all of it, the onnx profile on a CPU instances, threads and the delay: its graphs have
    free sizes, and its batches are small because ONNX Runtime keeps their memory. Raises TuningError for a profile on a
    GPU, for more than 64 cores, for a width that is no bucket of the profile, and for a tile that no detector takes.
    """
    check_cores(profile, tuning)
    served = replace(
        profile,
        cores=tuning.instances * tuning.threads,
        threads=tuning.threads,
        max_queue_delay_microseconds=tuning.max_queue_delay_microseconds,
        tuning_sha256=tuning.sha256,
    )
    if profile.engine != "openvino":
        return served
    _check_shapes(profile, tuning.static_widths, tuning.static_tiles)
    return replace(
        served,
        static_widths=tuning.static_widths,
        static_tiles=tuning.static_tiles,
        max_batch_tiles=tuning.max_batch_tiles,
        max_batch_lines=tuning.max_batch_lines,
    )


def what_is_taken(profile: Profile) -> str:
    """Return what a profile takes of a tuning, in words."""
    if profile.engine == "openvino":
        return "all of it"
    return "instances, threads and max_queue_delay_microseconds; static shapes and batches are for the profile embedded"


def _check_shapes(profile: Profile, widths: Sequence[int], tiles: Sequence[tuple[int, int]]) -> None:
    strange = next((width for width in widths if width not in profile.buckets), None)
    if strange is not None:
        raise TuningError(
            f"the tuning has a static width of {strange} pixels, to which no line is padded: give widths out of "
            f"{', '.join(map(str, profile.buckets))}"
        )
    step, most = TILE_SHAPES.multiple_of, TILE_SHAPES.max_side
    for height, width in tiles:
        if any(side % step or not 0 < side <= most for side in (height, width)):
            raise TuningError(
                f"the tuning has a static tile of {height} x {width} pixels, which no page is cut into: give multiples "
                f"of {step} up to {most}"
            )
