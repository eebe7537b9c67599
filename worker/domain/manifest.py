"""A model's description of itself.

Every model's Triton config carries two parameters: `manifest`, the JSON of `ModelManifest`, and for a recognizer
`dictionary`, a JSON array whose index 0 is the CTC blank. The worker reads both over gRPC and guesses nothing: a
manifest of another schema version, or with an unknown field, is refused.
"""

import hashlib
import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

MANIFEST_SCHEMA: Final = "labelwire.manifest/1"

Device = Literal["cpu", "gpu"]


class ModelRole(StrEnum):
    """What a model does for a page."""

    DETECTOR = "text_detector"
    ORIENTATION = "line_orientation"
    RECOGNIZER = "text_recognizer"
    READER = "text_reader"


class _ManifestPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TileShapes(_ManifestPart):
    """The pixel shapes that a detector takes: a fixed list, or any multiple of a step up to a limit.

    `fixed` is a list of (height, width). If it is empty, each side may be any multiple of `multiple_of` up to
    `max_side` pixels.
    """

    fixed: tuple[tuple[int, int], ...] = ()
    multiple_of: int = Field(default=32, ge=1)
    max_side: int = Field(default=2048, ge=32)


class DetectionThresholds(_ManifestPart):
    """DB post-processing as the model wants it (Liao et al., "Real-time Scene Text Detection with DB").

    `binarize` and `box_score` are probabilities, `unclip_ratio` is the factor of area over perimeter by which a
    region grows, sizes are pixels of the probability map.
    """

    binarize: float = Field(default=0.3, gt=0, lt=1)
    box_score: float = Field(default=0.5, ge=0, lt=1)
    unclip_ratio: float = Field(default=1.6, ge=0)
    dilate: bool = True
    min_side_pixels: int = Field(default=3, ge=1)


class PlanTarget(_ManifestPart):
    """The GPU, its driver and the TensorRT that built a plan; it loads in that TensorRT on such a GPU only."""

    gpu: str
    compute_capability: str = Field(pattern=r"^[0-9]+\.[0-9]+$")
    driver: str
    tensorrt: str


class ModelManifest(_ManifestPart):
    """The self-description of one model, of whichever role.

    `line_height` and `stride` (pixels of line width for each CTC step) are pixels; `pad_value` is the uint8 gray that
    stands for nothing after normalization; `buckets` maps a line width in pixels to the model that takes it. `plan` is
    what a TensorRT plan was built for. With
    `reading`, a worker calls the readers where a line is to be classified as well; without it, it asks classifier and
    recognizer in turn. `content_sha256` is the digest of the model's files and configuration. `version` is the number
    under which the model is to be served, made from all the rest of the manifest: a worker asks for the model by this
    number, so that no other one under the same name can answer. `passed_precisions` are those other than `precision` in
    which this model passed the accuracy gate on real pictures. `graph_changes` say what the build rewrote in the graph
    of the source, in this order.
    """

    schema_: Literal["labelwire.manifest/1"] = Field(default=MANIFEST_SCHEMA, alias="schema")
    role: ModelRole
    source: str
    # "licence" in the JSON of this schema.
    license: str = Field(validation_alias=AliasChoices("licence", "license"), serialization_alias="licence")
    source_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    precision: Literal["fp32", "bf16", "fp16", "int8"]
    device: Device
    max_batch_size: int = Field(ge=1)
    tile_shapes: TileShapes | None = None
    detection: DetectionThresholds | None = None
    line_height: int | None = Field(default=None, ge=8)
    pad_value: int | None = Field(default=None, ge=0, le=255)
    stride: int | None = Field(default=None, ge=1)
    buckets: dict[int, str] | None = None
    alternatives: int | None = Field(default=None, ge=1)
    dictionary_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    reading: Literal["ensemble"] | None = None
    alphabet: str | None = None
    accuracy: dict[str, float] | None = None
    passed_precisions: tuple[Literal["bf16", "fp16", "int8"], ...] | None = None
    graph_changes: tuple[str, ...] | None = None
    plan: PlanTarget | None = None
    content_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    version: str | None = Field(default=None, pattern=r"^[1-9][0-9]*$")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="after")
    def _complete_for_its_role(self) -> "ModelManifest":
        needed = {
            ModelRole.DETECTOR: ("tile_shapes", "detection"),
            ModelRole.ORIENTATION: ("line_height", "pad_value"),
            ModelRole.RECOGNIZER: (
                "line_height",
                "pad_value",
                "stride",
                "buckets",
                "alternatives",
                "dictionary_sha256",
            ),
            ModelRole.READER: ("line_height", "pad_value", "buckets"),
        }[self.role]
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a manifest of role {self.role} needs {', '.join(missing)}")
        return self

    @property
    def number(self) -> str:
        """The version, 1 to 2³¹ - 1, made from this content; the manifest's own `version` does not count."""
        content = self.model_copy(update={"version": None}).to_json()
        return str(1 + int.from_bytes(hashlib.sha256(content.encode()).digest()[:8]) % (2**31 - 1))

    def identifies(self, served_version: str) -> bool:
        """Whether a model is served under the version that its build made from its content.

        It is not where a manifest or dictionary was changed by hand and the version left as it was.
        """
        return self.content_sha256 is not None and self.number == self.version == served_version

    def to_json(self) -> str:
        """Return the JSON that stands in a model's config."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


def dictionary_digest(dictionary: Sequence[str]) -> str:
    """Return the hex SHA-256 of a dictionary's canonical JSON."""
    canonical = json.dumps(list(dictionary), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
