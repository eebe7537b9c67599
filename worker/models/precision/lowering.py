"""A graph and its recipe to the graph in the lower precision, in the form that its engine reads right."""

from collections.abc import Sequence

import onnx

from worker.models.precision.halves import half_nodes, with_halves
from worker.models.precision.integers import LinearLayer, linear_layers, with_integers, with_names
from worker.models.precision.lifted_integers import pointwise_layers, with_lifted_integers
from worker.models.precision.recipe import Engine, GraphRecipe, LowPrecision, RecipeError
from worker.models.rewriting import noted_changes, set_noted_changes


def lowered(model: onnx.ModelProto, engine: Engine, precision: LowPrecision, recipe: GraphRecipe) -> onnx.ModelProto:
    """Return a copy of a rewritten graph in a lower precision; its inputs and outputs stay as they are.

    Raises RecipeError if the recipe is not of this graph.
    """
    foreign = sorted({*recipe.kept, *recipe.ranges}.difference(_known(model, engine, precision)))
    if foreign or (precision == "int8" and not recipe.ranges):
        named = f"names {foreign[0]}, which the graph cannot have" if foreign else "names no layer"
        raise RecipeError(
            f"the recipe for {precision} of {engine} {named} in {precision}: find it anew with `labelwire "
            "models quantize`"
        )
    if precision == "fp16":
        result = with_halves(model, recipe.kept)
        change = f"computes in FP16, but for {len(recipe.kept)} nodes that stay in FP32"
    else:
        lower = with_lifted_integers if engine == "openvino" else with_integers
        result = lower(model, recipe.ranges)
        change = f"computes {len(recipe.ranges)} layers in INT8"
    set_noted_changes(result, (*noted_changes(model), change))
    return result


def lowerable(model: onnx.ModelProto, engine: Engine, precision: LowPrecision) -> list[str]:
    """Return the nodes of a rewritten graph that can be lowered, by their first output, in the order of the graph."""
    if precision == "fp16":
        return half_nodes(with_names(model))
    return [layer.name for layer in integer_layers(model, engine)]


def _known(model: onnx.ModelProto, engine: Engine, precision: LowPrecision) -> list[str]:
    """Return what a recipe may name: an alphabet with fewer classes has a head that is too small to be chosen."""
    if (engine, precision) == ("openvino", "int8"):
        return [layer.name for layer in pointwise_layers(model, of_any_size=True)]
    return lowerable(model, engine, precision)


def integer_layers(model: onnx.ModelProto, engine: Engine) -> Sequence[LinearLayer]:
    """Return the layers of a rewritten graph that INT8 can speed up."""
    return pointwise_layers(model) if engine == "openvino" else linear_layers(model)
