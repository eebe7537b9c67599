"""A graph and its recipe to the graph in the lower precision, in the form that its engine reads right."""

from collections.abc import Sequence

import onnx

from worker.models.precision.halves import with_halves
from worker.models.precision.integers import LinearLayer, linear_layers, with_integers
from worker.models.precision.lifted_integers import pointwise_layers, with_lifted_integers
from worker.models.precision.recipe import Engine, GraphRecipe, LowPrecision


def lowered(model: onnx.ModelProto, engine: Engine, precision: LowPrecision, recipe: GraphRecipe) -> onnx.ModelProto:
    """Return a copy of a rewritten graph in a lower precision; its inputs and outputs stay as they are."""
    if precision == "fp16":
        return with_halves(model, recipe.kept)
    return with_lifted_integers(model, recipe.ranges) if engine == "openvino" else with_integers(model, recipe.ranges)


def integer_layers(model: onnx.ModelProto, engine: Engine) -> Sequence[LinearLayer]:
    """Return the layers of a rewritten graph that INT8 can speed up."""
    return pointwise_layers(model) if engine == "openvino" else linear_layers(model)
