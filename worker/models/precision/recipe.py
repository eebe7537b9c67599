"""How a pair of models is computed in a lower precision, and the accuracy that this has on real pictures.

Invariant: a recipe, its two ONNX files and their cards determine the lowered graphs. A recipe with a verdict passed the
gate; the verdict holds for these two models together, prepared as they were, and for one engine, for another engine may
read the same graph otherwise.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.domain.errors import LabelwireError
from worker.domain.manifest import ModelRole

RECIPE_SCHEMA: Final = "labelwire.precision/1"
PAIR: Final = (ModelRole.DETECTOR, ModelRole.RECOGNIZER)

LowPrecision = Literal["fp16", "int8"]
Engine = Literal["onnx", "openvino"]
"""What reads the graphs: ONNX Runtime and TensorRT, or OpenVINO."""

_PINNED_RECIPES: Final = Path(__file__).with_name("recipes")


class RecipeError(LabelwireError):
    """A precision was asked for without a recipe that passed the gate."""


class _RecipePart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GraphRecipe(_RecipePart):
    """What becomes of one graph; layers and nodes are called by their first output.

    `ranges` are the INT8 layers with the lowest and highest value of what they work on. `kept` are the nodes that stay
    in FP32 in an FP16 graph.
    """

    ranges: dict[str, tuple[float, float]] = {}
    kept: tuple[str, ...] = ()


class GateVerdict(_RecipePart):
    """The accuracy on real pictures, in the lower precision and in FP32, and how much may be lost."""

    pictures: int = Field(ge=1)
    word_f1: float
    word_f1_fp32: float
    line_hmean: float
    line_hmean_fp32: float
    max_word_f1_loss: float = Field(gt=0)
    max_line_hmean_loss: float = Field(gt=0)

    @property
    def passed(self) -> bool:
        """Whether no more was lost than may be."""
        return (
            self.word_f1_fp32 - self.word_f1 <= self.max_word_f1_loss
            and self.line_hmean_fp32 - self.line_hmean <= self.max_line_hmean_loss
        )

    @property
    def accuracy(self) -> dict[str, float]:
        """What a manifest says of it."""
        measured = self.model_dump(include={"word_f1", "word_f1_fp32", "line_hmean", "line_hmean_fp32", "pictures"})
        return {name: round(float(value), 4) for name, value in measured.items()}


class PrecisionRecipe(_RecipePart):
    """A lower precision for a detector and a recognizer.

    `sources` are the digests of both models (`ModelSource.judged_sha256`). A model without an entry in `graphs` stays
    in FP32.
    """

    schema_: Literal["labelwire.precision/1"] = Field(default=RECIPE_SCHEMA, alias="schema")
    engine: Engine
    precision: LowPrecision
    sources: dict[ModelRole, str]
    graphs: dict[ModelRole, GraphRecipe]
    verdict: GateVerdict | None = None

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    def to_json(self) -> str:
        """Return the text of the recipe's file."""
        return self.model_dump_json(by_alias=True, exclude_none=True, indent=1) + "\n"


def find_recipes(
    engine: Engine, sources: Mapping[ModelRole, str], folders: Iterable[Path]
) -> dict[LowPrecision, PrecisionRecipe]:
    """Return the recipes that passed the gate for a pair and an engine, by precision.

    `sources` are the digests of the models (`ModelSource.judged_sha256`). Recipes are sought among those of the pinned
    models and in `folders`, where imported models lie; the last one that is found is taken. Raises RecipeError for a
    file that is no recipe.
    """
    wanted = {role: sources[role] for role in PAIR}
    found: dict[LowPrecision, PrecisionRecipe] = {}
    for folder in (_PINNED_RECIPES, *folders):
        for path in sorted(folder.glob("*.recipe.json")):
            recipe = _read_recipe(path)
            fits = recipe.engine == engine and recipe.sources == wanted
            if fits and recipe.verdict is not None and recipe.verdict.passed:
                found[recipe.precision] = recipe
    return found


def recipe_file(folder: Path, engine: Engine, precision: LowPrecision) -> Path:
    """Return where a recipe belongs in a folder."""
    return folder / f"{engine}-{precision}.recipe.json"


def _read_recipe(path: Path) -> PrecisionRecipe:
    try:
        return PrecisionRecipe.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        part = ".".join(map(str, first["loc"])) or "the whole"
        raise RecipeError(
            f"{path} is no recipe of {RECIPE_SCHEMA} ({part}: {first['msg']}): write it anew with `labelwire models "
            "quantize`, or remove it"
        ) from error
