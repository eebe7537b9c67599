"""The result record: what users read off the output topic. Its JSON Schema is generated into `docs/`.

Polygons are pixels of the picture as EXIF says it stands, clockwise from the text's own top left. A blank picture is a
result with no lines.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.domain.fields import Check, Source

RESULT_SCHEMA: Final = "labelwire.result/1"

Point = tuple[float, float]
Quad = tuple[Point, Point, Point, Point]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class SourceImage(_Part):
    """The picture that was read, by its content."""

    sha256: str = Field(description="Hex SHA-256 of the picture's bytes.")
    size_bytes: int = Field(alias="bytes", description="Size of the encoded picture in bytes.")
    format: str = Field(description="The picture's real format, whatever the headers said.")


class Line(_Part):
    """A line of text."""

    id: int = Field(description="The line's place in reading order, from 0.")
    text: str
    confidence: float = Field(ge=0, le=1, description="Mean probability of the characters.")
    polygon: Quad = Field(description="Corners [x, y] in pixels, clockwise from the text's own top left.")
    rotation: float = Field(ge=0, lt=360, description="Clockwise angle of the text in degrees.")


class LabelField(_Part):
    """A value that was found, with all that speaks for and against it."""

    type: str = Field(description="Kind of value: a built-in one, or one of the deployment's own.")
    value: str = Field(description="The value in normal form.")
    text: str = Field(description="The value as it was read, before any repair.")
    confidence: float = Field(ge=0, le=1)
    check: Check = Field(description="Whether check digit or rules hold; `none` where the kind has none.")
    source: Source
    line_ids: tuple[int, ...] = ()
    barcode_ids: tuple[int, ...] = ()
    repaired: bool = Field(default=False, description="The value differs from what was read, by evidence.")
    conflict: bool = Field(default=False, description="Text and barcode say different things.")


class Element(_Part):
    """One element string of GS1 data."""

    identifier: str = Field(description="Application identifier, as `00`; empty if GS1 knows none that begins so.")
    value: str
    valid: bool = Field(
        default=True,
        description="Whether the value has its identifier's form; if not, it goes as far as the next separator.",
    )


class Barcode(_Part):
    """A symbol that was read."""

    id: int
    format: str = Field(description="Symbology, by the name that zxing-cpp gives it.")
    text: str
    polygon: Quad = Field(description="Corners [x, y] in pixels, clockwise from the symbol's own top left.")
    elements: tuple[Element, ...] = Field(default=(), description="GS1 element strings.")


class Quality(_Part):
    """How good the picture of the page is."""

    score: float = Field(ge=0, le=1, description="Expected share of text that reads right.")
    measures: dict[str, float]
    problems: tuple[str, ...] = Field(default=(), description="Measures under their floor, the worst first.")


class Page(_Part):
    """A page of the picture."""

    width: int = Field(description="Width in pixels, as EXIF says the picture stands.")
    height: int = Field(description="Height in pixels, as EXIF says the picture stands.")
    lines: tuple[Line, ...] = ()
    fields: tuple[LabelField, ...] = ()
    barcodes: tuple[Barcode, ...] = ()
    quality: Quality | None = None


class ModelUsed(_Part):
    """Which model read it."""

    version: str = Field(description="The version that Triton serves.")
    digest: str = Field(description="Hex SHA-256 of the model's source file.")
    precision: str


class SourceCoordinate(_Part):
    """Where the job first stood."""

    topic: str
    partition: int
    offset: int


class Replay(_Part):
    """How often, and by which run, the job was replayed out of dead letters."""

    count: int = 0
    run_id: str | None = None


class LabelText(_Part):
    """The result of one job."""

    schema_: Literal["labelwire.result/1"] = Field(default=RESULT_SCHEMA, alias="schema")
    job_id: str
    result_id: str = Field(description="The same for every attempt and replay of this job on this content.")
    image: SourceImage
    pages: tuple[Page, ...]
    models: dict[str, ModelUsed]
    model_set: str = Field(default="", description="The set of these models; empty for the plain names.")
    rollout: str | None = Field(default=None, description="The rollout that ran meanwhile, if one did.")
    timing_ms: dict[str, float] = Field(description="Milliseconds in each stage.")
    source: SourceCoordinate
    attempt: int = Field(ge=1)
    replay: Replay = Replay()

    def to_json(self) -> bytes:
        """Return the record's value: compact UTF-8 JSON."""
        return self.model_dump_json(by_alias=True).encode()
