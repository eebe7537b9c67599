"""Which layers of a graph to lower: all of them, or else fewer and fewer, those kept that cost most for their work.

Invariant: what a layer costs is measured, alone, on requests that the ranges were not measured on; its work is counted
in multiplications. The gate decides when it is enough.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from worker.domain.manifest import ModelRole
from worker.lab.precision.samples import Request
from worker.models.golden import session
from worker.models.precision.halves import HIGHEST, half_nodes
from worker.models.precision.integers import linear_layers, with_names
from worker.models.precision.lowering import integer_layers, lowerable, lowered
from worker.models.precision.recipe import GraphRecipe, PrecisionRecipe

_SHARES: Final = (0.95, 0.85, 0.7, 0.5, 0.3)  # of the work, after all of it
_OBSERVED_AT_ONCE: Final = 40  # tensors: those of a detector take megabytes each
_TAIL_PERCENT: Final = 0.01  # of a request's activations, on each side: outliers would cost all others their resolution
_FITTING: Final = 0.75  # of the requests have their whole range
_SEGMENTS: Final = 24  # of an FP16 graph: its nodes are too many to be tried one by one
_TEXT_LEVEL: Final = 76  # of 255: what a detector calls text

Graph = onnx.ModelProto
Answer = Sequence[NDArray[Any]]
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class LayerChoice:
    """A recipe to be judged: it lowers `layers` of `all_layers`, which do `work` (0 to 1) of the multiplications.

    `differs` is how much the answers differ from those in FP32, on average: 0 for not at all, 1 for all.
    """

    recipe: GraphRecipe
    layers: int
    all_layers: int
    work: float
    differs: float


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is lowered or kept as a whole: an INT8 layer, or a segment of an FP16 graph."""

    names: tuple[str, ...]
    work: float


class Search:
    """The candidates for one graph, in the precision and for the engine of `recipe`.

    `on_step` is told which part of the layers was tried, 0 to 1.
    """

    def __init__(
        self,
        role: ModelRole,
        graph: Graph,
        recipe: PrecisionRecipe,
        requests: Sequence[Request],
        on_step: Callable[[float], None],
    ) -> None:
        self._engine, self._precision = recipe.engine, recipe.precision
        self._graph = with_names(graph)
        self._measured, self._tried = requests[::2], requests[1::2]
        self._outputs = ["token", "confidence"] if role is ModelRole.RECOGNIZER else ["probability"]
        self._distance = _reading_distance if role is ModelRole.RECOGNIZER else _map_distance
        self._on_step = on_step

    def candidates(self) -> Iterator[LayerChoice]:
        """Yield candidates that lower less and less; layers are ranked only if lowering all is not good enough.

        There is none if no layer can be lowered.
        """
        if not lowerable(self._graph, self._engine, self._precision):
            return
        everything = self._everything()
        units = self._units()
        answers = self._answers(self._graph)
        yield self._candidate(everything, units, units, answers)
        ranked = self._ranked(everything, units, answers)
        done = list(accumulate(unit.work for unit in ranked))
        for count in dict.fromkeys(sum(work <= share * done[-1] for work in done) for share in _SHARES):
            if count:
                yield self._candidate(everything, ranked[:count], units, answers)

    def _everything(self) -> GraphRecipe:
        if self._precision == "int8":
            layers = integer_layers(self._graph, self._engine)
            extremes = _extremes(self._graph, sorted({layer.works_on for layer in layers}), self._measured)
            return GraphRecipe(ranges={layer.name: _range(extremes[layer.works_on]) for layer in layers})
        names = half_nodes(self._graph)
        extremes = _extremes(self._graph, names, self._measured, tail_percent=0)
        return GraphRecipe(kept=tuple(name for name in names if np.abs(extremes[name]).max() > HIGHEST / 2))

    def _units(self) -> list[_Unit]:
        work = _work(self._graph, self._measured[0])
        if self._precision == "int8":
            return [_Unit((layer.name,), work[layer.name]) for layer in integer_layers(self._graph, self._engine)]
        nodes = half_nodes(self._graph)
        size = -(-len(nodes) // _SEGMENTS)
        return [
            _Unit(tuple(names), sum(work.get(name, 0.0) for name in names) + 1.0) for names in _in_parts(nodes, size)
        ]

    def _ranked(self, everything: GraphRecipe, units: Sequence[_Unit], answers: Sequence[Answer]) -> list[_Unit]:
        """Return units by how much the answers differ for the work that is made cheaper, the best first."""
        harm = {}
        for index, unit in enumerate(units):
            recipe = self._only(everything, [unit], units)
            harm[unit.names] = self._differs(recipe, answers)
            self._on_step((index + 1) / len(units))
        return sorted(units, key=lambda unit: harm[unit.names] / unit.work)

    def _candidate(
        self, everything: GraphRecipe, chosen: Sequence[_Unit], units: Sequence[_Unit], answers: Sequence[Answer]
    ) -> LayerChoice:
        recipe = self._only(everything, chosen, units)
        work = sum(unit.work for unit in chosen) / sum(unit.work for unit in units)
        differs = self._differs(recipe, answers)
        lowered_layers, all_layers = (sum(len(unit.names) for unit in some) for some in (chosen, units))
        return LayerChoice(recipe, lowered_layers, all_layers, work, differs)

    def _only(self, everything: GraphRecipe, chosen: Sequence[_Unit], units: Sequence[_Unit]) -> GraphRecipe:
        names = {name for unit in chosen for name in unit.names}
        if self._precision == "int8":
            return GraphRecipe(ranges={name: everything.ranges[name] for name in everything.ranges if name in names})
        others = {name for unit in units for name in unit.names} - names
        return GraphRecipe(kept=tuple(sorted(others | set(everything.kept))))

    def _differs(self, recipe: GraphRecipe, answers: Sequence[Answer]) -> float:
        found = self._answers(lowered(self._graph, self._engine, self._precision, recipe))
        return float(np.mean([self._distance(one, other) for one, other in zip(answers, found, strict=True)]))

    def _answers(self, graph: Graph) -> list[Answer]:
        runner = session(graph)
        return [runner.run(self._outputs, _taken(graph, request)) for request in self._tried]


def _reading_distance(answer: Answer, other: Answer) -> float:
    """Return the mean over CTC steps: 1 where the classes differ, else the difference of the confidences."""
    same = answer[0][..., 0] == other[0][..., 0]
    return float(np.where(same, np.abs(answer[1][..., 0] - other[1][..., 0]), 1.0).mean())


def _map_distance(answer: Answer, other: Answer) -> float:
    """Return 1 - intersection over union of what both call text; 0 if neither finds any."""
    text, other_text = (found[0] > _TEXT_LEVEL for found in (answer, other))
    union = np.count_nonzero(text | other_text)
    return 1 - np.count_nonzero(text & other_text) / union if union else 0.0


def _extremes(
    graph: Graph, names: Sequence[str], requests: Sequence[Request], tail_percent: float = _TAIL_PERCENT
) -> dict[str, NDArray[np.float64]]:
    """Return the lowest and the highest value of each tensor in each request, [requests, 2], tails cut."""
    extremes: dict[str, NDArray[np.float64]] = {}
    tails = (tail_percent, 100 - tail_percent)
    for some in _in_parts(names, _OBSERVED_AT_ONCE):
        runner = session(_observed(graph, some))
        found = [
            [np.percentile(values, tails) for values in runner.run(some, _taken(graph, request))]
            for request in requests
        ]
        extremes |= {name: np.stack([each[index] for each in found]) for index, name in enumerate(some)}
    return extremes


def _range(extremes: NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of a tensor whose extremes in each request are [requests, 2]; zero is always inside.

    Three requests of four fit: where many samples are faint a mean is too narrow, and the widest wastes steps.
    """
    low, high = np.quantile(extremes[:, 0], 1 - _FITTING), np.quantile(extremes[:, 1], _FITTING)
    return min(0.0, float(low)), max(0.0, float(high))


def _in_parts(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _work(graph: Graph, request: Request) -> dict[str, float]:
    """Return the multiplications of each linear layer for a request."""
    layers = linear_layers(graph)
    sizes: dict[str, int] = {}
    for some in _in_parts(layers, _OBSERVED_AT_ONCE):
        names = [layer.name for layer in some]
        answers = session(_observed(graph, names)).run(names, _taken(graph, request))
        sizes |= {name: int(answer.size) for name, answer in zip(names, answers, strict=True)}
    return {layer.name: float(sizes[layer.name] * layer.multiplications) for layer in layers}


def _taken(graph: Graph, request: Request) -> dict[str, NDArray[Any]]:
    """Return what a graph takes of a request: its server may answer for the rest, as the turning of lines."""
    return {tensor.name: request[tensor.name] for tensor in graph.graph.input}


def _observed(graph: Graph, names: Sequence[str]) -> Graph:
    observed = onnx.ModelProto()
    observed.CopyFrom(graph)
    present = {tensor.name for tensor in observed.graph.output}
    observed.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in present
    )
    return observed
