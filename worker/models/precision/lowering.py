"""A graph and its recipe to the graph in the lower precision."""

import onnx

from worker.models.precision.halves import with_halves
from worker.models.precision.integers import with_integers
from worker.models.precision.recipe import GraphRecipe, LowPrecision


def lowered(model: onnx.ModelProto, precision: LowPrecision, recipe: GraphRecipe) -> onnx.ModelProto:
    """Return a copy of a rewritten graph in a lower precision; its inputs and outputs stay as they are."""
    return with_halves(model, recipe.kept) if precision == "fp16" else with_integers(model, recipe.ranges)
