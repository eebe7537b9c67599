"""What an ONNX file is, told beside it: how its pictures are prepared, what its classes mean, where it comes from.

Invariant: a rewritten graph is made from the file and its card alone; a file whose bytes are not those of its card is
refused.
"""

import math
from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.domain.manifest import DetectionThresholds, ModelRole

CARD_FILE: Final = "model.json"
GRAPH_FILE: Final = "model.onnx"
CARD_SCHEMA: Final = "labelwire.model/1"

LINE_HEIGHT_PIXELS: Final = 48  # of every served line model, whatever height its network was trained on
_BUCKET_STEP_PIXELS: Final = 32


class ModelKind(StrEnum):
    """A family of models and what its members do."""

    PADDLE_DETECTOR = "paddle-det"
    PADDLE_RECOGNIZER = "paddle-rec"
    PADDLE_CLASSIFIER = "paddle-cls"
    DOCTR_DETECTOR = "doctr-det"
    DOCTR_RECOGNIZER = "doctr-rec"
    ONNXTR_DETECTOR = "onnxtr-det"
    ONNXTR_RECOGNIZER = "onnxtr-rec"

    @property
    def role(self) -> ModelRole:
        """What the model does for a page."""
        if self.value.endswith("-det"):
            return ModelRole.DETECTOR
        return ModelRole.ORIENTATION if self is ModelKind.PADDLE_CLASSIFIER else ModelRole.RECOGNIZER


class _CardPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Normalization(_CardPart):
    """How UINT8 pixels become a network's input: (pixel / 255 - mean) / deviation, for each channel in its order."""

    channels: Literal["bgr", "rgb"] = "bgr"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    deviation: tuple[float, float, float] = (0.5, 0.5, 0.5)


class LineFormat(_CardPart):
    """The lines of a network: `height` and `stride` (of a CTC step) are its own pixels.

    `width` is the only width that it takes, None if it takes any.
    """

    height: int = Field(default=LINE_HEIGHT_PIXELS, ge=8)
    width: int | None = Field(default=None, ge=8)
    stride: int = Field(default=8, ge=1)

    @property
    def served_stride(self) -> int:
        """Pixels of a served line, 48 high, for each step."""
        return self.stride * LINE_HEIGHT_PIXELS // self.height

    @property
    def served_width(self) -> int | None:
        """The only width of a served line, None if any multiple of `served_step` fits."""
        return None if self.width is None else self.width * LINE_HEIGHT_PIXELS // self.height

    @property
    def served_step(self) -> int:
        """What a served line's width must be a multiple of, so that the network's own is one of 32."""
        return math.lcm(_BUCKET_STEP_PIXELS, _BUCKET_STEP_PIXELS * LINE_HEIGHT_PIXELS // self.height)


class ModelCard(_CardPart):
    """The card of one ONNX file.

    A detector has `detection`, what its post-processing wants; `tile`, the only (height, width) in pixels that it
    takes, if it takes but one; and `returns_logits`, if its map needs a sigmoid. A classifier has `whole_line`, the
    (height, width) in pixels that lines are scaled to, whatever their shape, if it does not take the beginning of lines
    48 pixels high; and `returns_logits`, if it needs a softmax. A recognizer has `line` and `classes`: what each class
    of its head stands for, in the head's order, "" for the CTC blank. `pad_value` is the gray that fills a line's
    bucket.
    """

    schema_: Literal["labelwire.model/1"] = Field(default=CARD_SCHEMA, alias="schema")
    kind: ModelKind
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    origin: str
    license: str
    normalization: Normalization = Normalization()
    detection: DetectionThresholds | None = None
    tile: tuple[int, int] | None = None
    whole_line: tuple[int, int] | None = None
    returns_logits: bool = False
    line: LineFormat | None = None
    classes: tuple[str, ...] | None = None
    pad_value: int = Field(default=127, ge=0, le=255)

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="after")
    def _complete_for_its_role(self) -> "ModelCard":
        needed = {ModelRole.DETECTOR: "detection", ModelRole.RECOGNIZER: "line"}.get(self.role)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"a card of {self.kind} needs {needed}")
        if self.classes is not None and self.classes.count("") != 1:
            raise ValueError(f"classes have {self.classes.count('')} empty texts, but need one, for the blank")
        return self

    @property
    def role(self) -> ModelRole:
        """What the model does for a page."""
        return self.kind.role

    @property
    def class_order(self) -> tuple[int, ...]:
        """The head's classes in the order in which they are served: the blank first. Only of a recognizer."""
        classes = self.classes or ()
        blank = classes.index("")
        return (blank, *(index for index in range(len(classes)) if index != blank))

    def to_json(self) -> str:
        """Return the text of the card's file."""
        return self.model_dump_json(by_alias=True, exclude_none=True, indent=2) + "\n"
