"""The bench's arithmetic, on rounds made by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.triton.statistics import ModelStatistics
from worker.lab.bench import summary
from worker.lab.bench.contestants import ContestantTurn
from worker.lab.bench.resources import ProcessUse


def turn(contestant: str, number: int, seconds: float, **changes: object) -> ContestantTurn:
    values: dict[str, object] = {
        "contestant": contestant,
        "round": number,
        "images": 24,
        "seconds": seconds,
        "milliseconds": tuple(float(value) for value in range(1, 25)),
        "peak_rss_bytes": 1_000_000_000,
        "cpu_seconds": 2.4,
        "others_cpu_seconds": 0.1,
        "word_f1": 0.95,
    }
    return ContestantTurn(**{**values, **changes})  # type: ignore[arg-type]


def test_figures_are_medians_over_rounds_and_the_memory_is_the_peak() -> None:
    turns = [
        turn("labelwire", 0, 24.0, peak_rss_bytes=1_500_000_000),
        turn("labelwire", 1, 12.0, word_f1=0.97),
        turn("labelwire", 2, 48.0, milliseconds=(100.0, 200.0, 300.0)),
    ]

    figures = summary.system_figures(turns)

    # Throughputs 1, 2 and 0.5; medians of single pictures 12.5, 12.5 and 200.
    assert (figures.images_per_second, figures.word_f1, figures.p50_ms) == (1.0, 0.95, 12.5)
    assert figures.peak_rss_mb == 1500
    assert figures.p95_ms == pytest.approx(22.85)


def test_a_system_that_took_no_part_has_no_figures() -> None:
    assert summary.system_figures([]) == summary.SystemFigures()


def test_a_system_without_scores_has_none() -> None:
    assert summary.system_figures([turn("bare_models", 0, 1.0, word_f1=None)]).word_f1 is None


def test_figures_of_processes_are_by_picture_and_by_name() -> None:
    turns = [
        turn("labelwire", number, 24.0, processes=processes, harness_cpu_seconds=0.24, barcode_recall=1 - number / 10)
        for number, processes in enumerate(
            [
                {"worker": ProcessUse(1.2, 2_000_000), "triton": ProcessUse(4.8, 7_000_000)},
                {"worker": ProcessUse(2.4, 1_000_000), "triton": ProcessUse(2.4, 9_000_000)},
            ]
        )
    ]

    figures = summary.system_figures(turns)

    assert figures.cpu_ms_per_image == pytest.approx({"worker": 75, "triton": 150})
    assert figures.peak_rss_mb_by_process == {"worker": 2, "triton": 9}
    assert figures.harness_cpu_ms_per_image == pytest.approx(10)
    assert figures.barcode_recall == pytest.approx(0.95)


def test_a_ratio_is_that_of_its_round() -> None:
    # Labelwire is three times as fast in each round, though the machine was slow in the second one.
    turns = [
        *(turn(summary.LABELWIRE, number, seconds) for number, seconds in enumerate((8.0, 32.0, 12.0))),
        *(turn("rapidocr", number, seconds) for number, seconds in enumerate((24.0, 96.0))),
    ]

    spread = summary.ratios(summary.by_contestant(turns))["ratio_vs_rapidocr"]

    assert spread == summary.RoundSpread(3.0, 3.0, 3.0, 2)


def test_ratios_are_quotients_of_throughput() -> None:
    seconds = {
        summary.LABELWIRE: 24.0,
        summary.LATIN: 16.0,
        "rapidocr": 72.0,
        "rapidocr_openvino": 48.0,
        summary.BARE: 21.0,
        summary.BARE_LATIN: 14.4,
    }
    turns = [turn(name, number, each) for name, each in seconds.items() for number in range(3)]
    spreads = summary.ratios(summary.by_contestant(turns))

    assert {name: spread.median for name, spread in spreads.items() if spread} == pytest.approx(
        {
            "ratio_vs_rapidocr": 3.0,
            "ratio_vs_rapidocr_openvino": 2.0,
            "latin_ratio_vs_rapidocr": 4.5,
            "latin_ratio_vs_rapidocr_openvino": 3.0,
            "pipeline_efficiency": 0.875,
            "latin_pipeline_efficiency": 0.9,
        }
    )


def test_a_ratio_without_one_side_is_none() -> None:
    assert set(summary.ratios(summary.by_contestant([])).values()) == {None}
    assert set(summary.ratios(summary.by_contestant([turn("rapidocr", 0, 1.0)])).values()) == {None}


def test_cpu_is_counted_in_decodings() -> None:
    turns = [turn("labelwire", number, 24.0, cpu_seconds=cpu) for number, cpu in enumerate((2.4, 4.8, 1.2))]

    assert summary.cpu_over_decode(turns, 0.02) == pytest.approx(5.0)
    assert summary.cpu_over_decode(turns, 0.0) is None
    assert summary.cpu_over_decode([], 0.02) is None


def test_batches_add_up_over_rounds() -> None:
    one = {"text_detector": ModelStatistics(6, 3, {1: 1, 2: 1, 3: 1})}
    other = {"text_detector": ModelStatistics(4, 1, {4: 1}), "text_recognizer": ModelStatistics(2, 1, {32: 1})}
    turns = [turn("labelwire", 0, 1.0, batches=one), turn("labelwire", 1, 1.0, batches=other)]

    counts = summary.batches(turns)

    assert summary.histogram(counts) == {
        "text_detector": {"1": 1, "2": 1, "3": 1, "4": 1},
        "text_recognizer": {"32": 1},
    }
    assert summary.merging(counts) == {
        "text_detector": {"requests_per_execution": 2.5, "items_per_execution": 2.5},
        "text_recognizer": {"requests_per_execution": 2.0, "items_per_execution": 32.0},
    }


def test_the_difference_of_statistics_is_what_was_counted_between() -> None:
    before = ModelStatistics(10, 5, {1: 2, 4: 3})

    assert ModelStatistics(16, 8, {1: 2, 4: 5, 8: 1}).since(before) == ModelStatistics(6, 3, {4: 2, 8: 1})


counts = st.builds(
    ModelStatistics, st.integers(0, 99), st.integers(0, 99), st.dictionaries(st.integers(1, 64), st.integers(1, 9))
)


@given(counts, counts)
def test_what_was_added_is_what_the_difference_gives(one: ModelStatistics, other: ModelStatistics) -> None:
    added = one.plus(other).since(one)

    assert (added.requests, added.executions, dict(added.batches)) == (
        other.requests,
        other.executions,
        dict(other.batches),
    )


@given(st.lists(st.floats(0.5, 500), min_size=1, max_size=9))
def test_a_median_lies_between_the_slowest_and_the_fastest_round(seconds: list[float]) -> None:
    turns = [turn("labelwire", number, each) for number, each in enumerate(seconds)]

    throughput = summary.system_figures(turns).images_per_second

    assert throughput is not None
    assert 24 / max(seconds) <= throughput <= 24 / min(seconds)
