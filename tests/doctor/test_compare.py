"""Two sides beside each other, from readings that are made up here."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.doctor.test_findings import DETECTOR, RECOGNIZER, healthy
from worker.adapters.triton.statistics import ModelTimes
from worker.cli.doctor import app
from worker.doctor.compare import ComparedServer, Comparison, PageReading, Spread, find_differences, find_slow_gpus
from worker.doctor.findings import ExaminedModel
from worker.doctor.observed import SentRequest, seconds_under_way
from worker.doctor.report import report_comparison
from worker.domain.manifest import ModelRole

TILE = (608, 1056, 3)


def reading(seconds: float, tile_seconds: float = 0.1, shape: tuple[int, ...] = TILE) -> PageReading:
    """Return a reading of one tile, and of four lines in two batches that took 0.08 s."""
    return PageReading(
        seconds=seconds,
        lines=("PARCEL 8 OF 20", "4711"),
        sent=(
            SentRequest("text_detector", shape, 1, 0.0, tile_seconds),
            SentRequest("text_reader", (48, 320, 3), 2, 0.2, 0.3),
            SentRequest("text_recognizer", (48, 96, 3), 2, 0.2, 0.3),
        ),
        times={
            "text_detector": ModelTimes(requests=1, items=1, executions=1, computed=tile_seconds),
            "text_recognizer": ModelTimes(requests=2, items=4, executions=2, computed=0.08),
        },
    )


def side(name: str, *readings: PageReading, device: str = "cpu", precision: str = "fp32") -> ComparedServer:
    def on_device(model: ExaminedModel) -> ExaminedModel:
        serving = replace(model.serving, devices=frozenset({device}))
        return replace(model, serving=serving, manifest=model.manifest.model_copy(update={"precision": precision}))

    models = (on_device(DETECTOR), on_device(RECOGNIZER), healthy(ModelRole.READER))
    return ComparedServer(name, models, (readings,))


def printed(a: ComparedServer, b: ComparedServer) -> str:
    found = Comparison(a, b, tuple(find_differences(a, b)), tuple(find_slow_gpus(a, b)))
    console = Console(file=io.StringIO(), width=200)
    console.print(report_comparison(found))
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def test_equal_sides_are_called_equal_and_their_figures_are_medians_with_their_spread() -> None:
    a = side("A", reading(0.2, 0.10), reading(0.4, 0.12), reading(0.3, 0.14))
    b = side("B", reading(0.1, 0.05), reading(0.2, 0.06), reading(0.15, 0.07))
    lines = [" ".join(line.split()) for line in printed(a, b).splitlines()]
    assert "Device, precision and input size are the same." in lines
    assert "ms computing a tile 120.0 (100.0 to 140.0) 60.0 (50.0 to 70.0) 2.00" in lines
    assert "ms computing a line 20.0 (20.0 to 20.0) 20.0 (20.0 to 20.0) no difference" in lines
    assert "ms in all 300.0 (200.0 to 400.0) 150.0 (100.0 to 200.0) no difference" in lines
    assert "lines at a time 2.0 2.0" in lines
    assert "widths 96, 320 96, 320" in lines
    assert "The text is the same on 1 of 1 pages." in lines


def test_what_is_not_equal_is_said_first() -> None:
    a, b = side("A", reading(0.2)), side("B", reading(0.2, shape=(960, 960, 3)), device="gpu", precision="fp16")
    first, *others = printed(a, b).splitlines()
    assert first == "This is no comparison of equals:"
    assert others[:5] == [
        "- device of text_detector: A CPU, B GPU",
        "- precision of text_detector: A FP32, B FP16",
        "- input size of text_detector: only A 608 x 1056; only B 960 x 960",
        "- device of text_recognizer: A CPU, B GPU",
        "- precision of text_recognizer: A FP32, B FP16",
    ]
    assert not others[5].startswith("-")


def test_sizes_that_only_one_side_was_sent_are_named_among_many() -> None:
    both = [SentRequest("text_recognizer", (48, width, 3), 1, 0.0, 0.1) for width in range(32, 320, 32)]
    a = side("A", replace(reading(0.2), sent=tuple(both)))
    b = side("B", replace(reading(0.2), sent=(*both, SentRequest("text_recognizer", (48, 640, 3), 1, 0.0, 0.1))))
    assert "- input size of text_recognizer: only A none; only B 640" in printed(a, b).splitlines()


def test_lines_that_only_one_side_read_are_shown() -> None:
    b = side("B", replace(reading(0.2), lines=("PARCEL 8 OF 2O", "4711")))
    said = printed(side("A", reading(0.2)), b)
    assert "The text is the same on 0 of 1 pages." in said
    assert "  only A read 'PARCEL 8 OF 20'" in said
    assert "  only B read 'PARCEL 8 OF 2O'" in said
    assert "4711" not in said


@pytest.mark.parametrize(("gpu_seconds", "found"), [(0.1, 1), (0.12, 1), (0.09, 0)])
def test_a_gpu_no_faster_than_the_cpu_is_found_in_readings_that_are_made_up(gpu_seconds: float, found: int) -> None:
    cpu, gpu = side("A", reading(0.2)), side("B", reading(0.2, gpu_seconds), device="gpu")
    of_tiles = [one for one in find_slow_gpus(cpu, gpu) if one.models == ("text_detector",)]
    assert len(of_tiles) == found
    assert all("on the GPU of B, no less than the 100.0 ms on the CPU of A" in one.sentence for one in of_tiles)
    # The lines take as long on both.
    assert [one.models for one in find_slow_gpus(cpu, gpu) if one not in of_tiles] == [("text_recognizer",)]
    assert [*find_slow_gpus(cpu, cpu)] == [*find_slow_gpus(gpu, gpu)] == []


def test_what_was_not_read_has_no_figure() -> None:
    empty = replace(reading(0.2), lines=(), times={})
    assert side("A", empty).computing(ModelRole.RECOGNIZER) is None
    assert side("A", empty).batch(ModelRole.RECOGNIZER) is None
    assert "ms computing a line" in printed(side("A", empty), side("B", reading(0.2)))


def test_values_that_overlap_are_no_difference() -> None:
    assert Spread(2.0, 1.0, 3.0).differs(Spread(4.0, 3.1, 5.0))
    assert Spread(4.0, 3.1, 5.0).differs(Spread(2.0, 1.0, 3.0))
    assert not Spread(2.0, 1.0, 3.0).differs(Spread(4.0, 3.0, 5.0))


def test_time_under_way_counts_once() -> None:
    spans = [(0.0, 1.0), (0.2, 0.5), (0.9, 1.5), (3.0, 4.0)]
    requests = [SentRequest("text_detector", TILE, 1, start, end) for start, end in spans]
    assert seconds_under_way(requests[::-1]) == pytest.approx(2.5)
    assert seconds_under_way([]) == 0.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "{folder}"], "give it with --compare A B"),
        (["--url", "localhost:1", "--compare", "localhost:1", "localhost:2"], "--compare already names both servers"),
        (["--compare", "localhost:1", "localhost:2", "--data", "{folder}"], "holds no pictures"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments: list[str], said: str, tmp_path: Path) -> None:
    ended = CliRunner().invoke(
        app, [argument.format(folder=tmp_path) for argument in arguments], env={"COLUMNS": "300"}
    )
    assert ended.exit_code == 2
    assert said in ended.output
