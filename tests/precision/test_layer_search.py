"""The search for the layers that a lower precision does not hurt."""

import onnx
import pytest

from tests.precision.graphs import LAYERS, small_detector, tiles
from worker.domain.manifest import ModelRole
from worker.lab.precision.run import Trial, first_that_passes
from worker.lab.precision.search import LayerChoice, Search
from worker.models.precision.recipe import GateVerdict, GraphRecipe, LowPrecision, PrecisionRecipe


def _search(outlier_in: str | None, precision: LowPrecision = "int8", steps: list[float] | None = None) -> Search:
    told = steps if steps is not None else []
    return Search(ModelRole.DETECTOR, small_detector(outlier_in), _recipe(precision), tiles(8), told.append)


def test_at_first_every_layer_is_lowered() -> None:
    steps: list[float] = []

    first = next(_search(None, steps=steps).candidates())

    assert set(first.recipe.ranges) == set(LAYERS)
    assert (first.layers, first.all_layers, first.work) == (4, 4, 1.0)
    assert 0 < first.differs < 0.2
    assert steps == []  # nothing is ranked before it is needed


@pytest.mark.parametrize("sensitive", ["second", "third"])
def test_a_layer_that_integers_break_is_kept_first(sensitive: str) -> None:
    everything, *others = _search(sensitive).candidates()

    assert others
    assert all(sensitive not in candidate.recipe.ranges for candidate in others)
    assert all(candidate.differs < everything.differs / 2 for candidate in others)
    assert [candidate.work for candidate in others] == sorted((one.work for one in others), reverse=True)


def test_there_is_no_candidate_where_no_layer_can_be_lowered() -> None:
    for_openvino = _recipe("int8").model_copy(update={"engine": "openvino"})  # which gains nothing with so small ones

    search = Search(ModelRole.DETECTOR, small_detector(), for_openvino, tiles(8), lambda _part: None)

    assert list(search.candidates()) == []


def test_no_candidate_is_tried_twice() -> None:
    recipes = [candidate.recipe for candidate in _search("second").candidates()]

    assert all(recipes.count(recipe) == 1 for recipe in recipes)


def test_ranges_hold_zero_and_what_was_seen() -> None:
    ranges = next(_search(None).candidates()).recipe.ranges

    low, high = ranges["first"]
    assert low == 0
    assert high == pytest.approx(1.0, abs=0.01)  # pixels
    assert all(low <= 0 <= high for low, high in ranges.values())
    assert ranges["second"][0] < -0.5  # behind a tanh


def test_what_overflows_in_fp16_is_kept_without_being_asked_for() -> None:
    harmless, huge = (next(_search(name, "fp16").candidates()) for name in (None, "second"))

    assert harmless.recipe.kept == ()
    assert 0 < harmless.differs < 0.03
    assert huge.recipe.kept == ()  # 3000 fits

    loud = Search(ModelRole.DETECTOR, _louder(), _recipe("fp16"), tiles(8), lambda _part: None)
    assert next(loud.candidates()).recipe.kept == ("second_input",)


def _louder() -> onnx.ModelProto:
    model = small_detector("second")
    factors = next(tensor for tensor in model.graph.initializer if tensor.name == "second_factors")
    factors.raw_data = b"".join([b"\x00\x24\x74\x49", *[b"\x00\x00\x80\x3f"] * 7])  # 1,000,000 and ones
    return model


def test_the_first_candidate_that_passes_is_taken_and_every_trial_is_told() -> None:
    candidates = [LayerChoice(GraphRecipe(kept=(str(number),)), 1, 4, 0.25, 0.0) for number in range(4)]
    empty = _recipe("fp16")
    trials: list[Trial] = []

    taken = first_that_passes(ModelRole.DETECTOR, candidates, empty, lambda one: _verdict(_number(one)), trials.append)

    assert [trial.candidate for trial in trials] == candidates[:3]
    assert taken.graphs == {ModelRole.DETECTOR: candidates[2].recipe}
    assert taken.verdict == _verdict(2)


def test_a_model_with_which_nothing_passes_stays_in_fp32() -> None:
    candidates = [LayerChoice(GraphRecipe(kept=("0",)), 1, 4, 0.25, 0.0)] * 3
    before = _recipe("fp16").model_copy(update={"graphs": {ModelRole.DETECTOR: GraphRecipe()}, "verdict": _verdict(4)})

    assert first_that_passes(
        ModelRole.RECOGNIZER, candidates, before, lambda _one: _verdict(0), lambda _trial: None
    ) is (before)


def _recipe(precision: LowPrecision) -> PrecisionRecipe:
    return PrecisionRecipe(engine="onnx", precision=precision, sources={}, graphs={})


def _number(recipe: PrecisionRecipe) -> int:
    return int(recipe.graphs[ModelRole.DETECTOR].kept[0])


def _verdict(quality: int) -> GateVerdict:
    """Return one that passes from a quality of 2 on."""
    return GateVerdict(
        pictures=3,
        word_f1=0.9 + 0.01 * quality,
        word_f1_fp32=0.924,
        line_hmean=0.8,
        line_hmean_fp32=0.8,
        max_word_f1_loss=0.005,
        max_line_hmean_loss=0.01,
    )
