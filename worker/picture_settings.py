"""The settings of how pictures are fetched, judged and read; what the pipeline does unless told is its options'."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, ValidationInfo, field_validator

from worker.domain.barcode import Symbology
from worker.domain.uri import AllowedPrefixes
from worker.pipeline.options import PipelineOptions, QualityMode, QualityOptions

MEBIBYTE: Final = 1024 * 1024

_PIPELINE: Final = PipelineOptions()
_QUALITY: Final = QualityOptions()

Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Settings under one name: unknown ones are refused, and values never stand in messages."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class PipelineSettings(Section):
    """How a picture is read."""

    detection_long_side: int = Field(
        default=_PIPELINE.detection_long_side,
        ge=64,
        le=8192,
        description="Long side in pixels to which a picture in one tile is scaled for text detection.",
    )
    tiled_from_pixels: int = Field(
        default=_PIPELINE.tiled_from_pixels, ge=1, description="Pictures with more pixels are searched tile by tile."
    )
    streamed_from_pixels: int = Field(
        default=_PIPELINE.streamed_from_pixels,
        ge=1,
        description="Pictures with more pixels are decoded in strips, while they are read.",
    )
    tile_scale: float | None = Field(
        default=_PIPELINE.tile_scale,
        gt=0,
        le=2,
        description="Scale at which tiled pictures are searched; chosen for each picture if unset.",
    )
    detection_text_height: float = Field(
        default=_PIPELINE.detection_text_height,
        ge=8,
        le=64,
        description="Text height in pixels to which a tiled picture is scaled for text detection.",
    )
    tile_side: int = Field(default=_PIPELINE.tile_side, ge=64, le=8192, description="Side length of a tile in pixels.")
    tile_overlap: int = Field(
        default=_PIPELINE.tile_overlap, ge=0, le=1024, description="Overlap of neighboring tiles in pixels."
    )
    max_lines_per_request: int = Field(
        default=_PIPELINE.max_lines_per_request,
        ge=1,
        le=256,
        description="Most lines in one request; the model's own batch limit may be lower.",
    )
    line_widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=_PIPELINE.line_widths,
        description="Widths in pixels to which lines are padded, as JSON; all widths of the models if empty.",
    )
    min_line_confidence: float = Field(
        default=_PIPELINE.min_line_confidence,
        ge=0,
        le=1,
        description="Lines that are read with a lower confidence are dropped.",
    )
    barcode_formats: tuple[Symbology, ...] = Field(
        default=_PIPELINE.barcode_formats, description="Barcode formats to read, as JSON; [] switches barcodes off."
    )

    @field_validator("tile_overlap")
    @classmethod
    def _less_than_half_a_tile(cls, value: int, info: ValidationInfo) -> int:
        side = info.data.get("tile_side", 0)
        if 2 * value > side:
            raise ValueError(f"tiles of {side} pixels can share at most {side // 2}")
        return value


class FieldSettings(Section):
    """Which values are looked for in what a picture says."""

    types: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ...] = Field(
        default=(), description='Types of fields to look for, as JSON: `["sscc", "gtin"]`; all types if empty.'
    )
    phone_region: str | None = Field(
        default=None,
        pattern=r"^[A-Z]{2}$",
        description="Country of telephone numbers without a country code, such as `DE`.",
    )
    file: str | None = Field(
        default=None, min_length=1, description="TOML file with your own fields; docs/fields.md describes it."
    )


class QualitySettings(Section):
    """What becomes of pictures that can hardly be read."""

    mode: QualityMode = Field(
        default=_QUALITY.mode,
        description="`flag` reports; `refuse` ends jobs under the floor as IMAGE_QUALITY_POOR; `off` measures nothing.",
    )
    floor: float = Field(
        default=_QUALITY.floor,
        ge=0,
        le=1,
        description="Lowest acceptable score: the share of the text that is expected to be read correctly.",
    )


class BlobSettings(Section):
    """Pictures that jobs name by URI. Credentials come from the stores' own variables: AWS_*, GOOGLE_*, AZURE_*."""

    allowed_prefixes: tuple[str, ...] = Field(
        default=(),
        description='Folders to fetch pictures from, as JSON: ["s3://labels/", "https://cdn.example.com/labels/"].',
    )
    max_bytes: int = Field(default=64 * MEBIBYTE, ge=1024, description="Largest size of one fetched picture in bytes.")
    max_inflight_bytes: int = Field(default=256 * MEBIBYTE, ge=MEBIBYTE, description="Fetched bytes in memory at once.")
    connect_timeout_seconds: Positive = Field(default=5.0, description="Longest time to connect to a store or server.")
    timeout_seconds: Positive = Field(default=30.0, description="Longest time to fetch one picture, including retries.")
    retries: int = Field(default=2, ge=0, le=10, description="Retries of a fetch before the job goes to a retry topic.")
    retry_initial_seconds: Positive = Field(
        default=0.2, description="Delay before the first retry of a fetch; doubles with each retry."
    )
    private_networks: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description='Private networks that https may connect to, as JSON: ["10.1.0.0/16"].'
    )
    tls_root_certificates: str | None = Field(
        default=None, description="PEM file with certificate authorities to trust in addition to those of the system."
    )

    @field_validator("allowed_prefixes")
    @classmethod
    def _whole_folders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return AllowedPrefixes.of(value).prefixes
