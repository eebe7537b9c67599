"""The whole bench, without a GPU: what stands in for it is named by a way of serving.

Most run on the fake server, which reads at once; ONNX Runtime on the CPU and the real Triton stand in at the end.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.bench.gpu_hosts import write_nvidia_smi, write_tritonserver
from worker import settings
from worker.adapters.clock import SystemClock
from worker.adapters.triton.statistics import ModelStatistics
from worker.cli.gpu_bench import opener
from worker.domain.errors import ErrorCode, JobError
from worker.lab.bench.gpu.budget import TimeBudget
from worker.lab.bench.gpu.load import full_load, one_at_a_time, open_loop
from worker.lab.bench.gpu.measure import Floor, GpuBench, GpuBenchPlan, GpuBenchRun
from worker.lab.bench.gpu.probe import GpuProbe
from worker.lab.bench.gpu.report import figures, meets_floor, write_report
from worker.lab.bench.gpu.ways import OpenServer, ServingWay, in_this_process, served_by
from worker.lab.evaluation.dataset import Dataset, load
from worker.lab.evaluation.errors import MeasurementError
from worker.local.triton import HostTritonServer
from worker.models.build import Progress
from worker.models.profiles import ProfileError, select_profile
from worker.testing.backend import FakeBackend
from worker.testing.block_font import BlockLine, draw_blocks, encode_png

QUICK = Floor(labels_per_second=10, p95_ms=5000)
OUT_OF_REACH = Floor(labels_per_second=10_000, p95_ms=50)


@dataclass
class Hand:
    """A clock that the test moves."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeHost:
    """A host whose server is the fake one.

    `costs` are the seconds by `clock` that building a precision takes, `turn_seconds` those of a turn. `refused` are
    precisions without a recipe. Once they were warmed up, the requests of `broken` fail, and those of `stuck` hang from
    the round `stuck_from` on.
    """

    clock: Hand = field(default_factory=Hand)
    costs: Mapping[str, float] = field(default_factory=dict)
    turn_seconds: float = 0.0
    refused: Sequence[str] = ()
    broken: str = ""
    stuck: str = ""
    stuck_from: int = 1

    @property
    def way(self) -> ServingWay:
        return ServingWay("The fake server", self._build, self._serve)

    def _build(self, precision: str, progress: Progress) -> Path:
        if precision in self.refused:
            raise ProfileError(f"no recipe of {precision} passed the gate")
        self.clock.now += self.costs.get(precision, 0)
        progress("writing", 0.5)
        return Path(precision)

    @contextmanager
    def _serve(self, repository: Path, _folder: Path, seconds: float) -> Iterator[OpenServer]:
        assert seconds > 0
        backend = FakeBackend(clock=SystemClock())
        asked = 0

        def statistics() -> dict[str, ModelStatistics]:
            nonlocal asked
            asked += 1
            # Asked at the begin and at the end of each turn's full load.
            self.clock.now += self.turn_seconds / 2
            if repository.name == self.broken:
                backend.broken = JobError(ErrorCode.INFERENCE_REJECTED, "CUDA out of memory.")
            if repository.name == self.stuck and asked >= 2 * self.stuck_from - 1:
                backend.latency_seconds = 600
            sizes = [call.shapes["image"][0] for call in backend.calls if call.model == "text_detector"]
            return {"text_detector": ModelStatistics(len(sizes), len(sizes), {1: len(sizes)})}

        yield OpenServer(backend, statistics, {"Fake": "1"})
        assert backend.closed


@pytest.fixture
def labels(tmp_path: Path) -> Dataset:
    folder = tmp_path / "labels"
    folder.mkdir()
    for number in range(2):
        drawn = draw_blocks([BlockLine(f"PARCEL {number}", 40, 40)], width=320, height=160)
        (folder / f"{number}.png").write_bytes(encode_png(drawn))
    return load(folder)


def plan(labels: Dataset, *, rounds: int = 1, floor: Floor = QUICK) -> GpuBenchPlan:
    return GpuBenchPlan(labels, at_once=2, floor=floor, rounds=rounds, load_seconds=0.05, open_seconds=0.4)


async def measured(
    chosen: GpuBenchPlan, *hosts: FakeHost, folder: Path, seconds: float = 480, probe: GpuProbe | None = None
) -> GpuBenchRun:
    budget = TimeBudget(seconds, hosts[0].clock)
    return await GpuBench(chosen, opener(settings.load({})), budget, probe, folder).run([host.way for host in hosts])


def absences(run: GpuBenchRun) -> dict[str, str]:
    return {result.precision: result.absent for result in run.results}


async def test_each_precision_is_measured_in_each_round(
    labels: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nvidia_smi(tmp_path, "37, 4512, 143771")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    run = await measured(plan(labels, rounds=2), FakeHost(), folder=tmp_path, probe=GpuProbe())

    report = figures(run)
    assert report["floor_met"]
    assert list(report["precisions"]) == ["fp32", "fp16", "int8"]
    assert report["configuration"]["gpu_memory_mib"] == 143771
    for row in report["precisions"].values():
        assert row["absent"] is None
        assert row["floor_met"]
        assert row["texts_as_fp32"] == 1.0
        assert row["gpu_busy_percent"]["median"] == row["models_gpu_busy_percent"]["median"] == 37
        assert row["models_per_second"]["median"] > row["labels_per_second"]["median"]
        assert row["gpu_memory_mib"] == 0
        assert [one["round"] for one in row["rounds"]] == [1, 2]
        assert all(one["alone_labels"] == 2 and one["open_loop_labels"] >= 2 for one in row["rounds"])
        loaded = sum(one["labels"] for one in row["rounds"])
        assert row["batch_histogram"] == {"text_detector": {"1": loaded}}
    assert {result.texts for result in run.results} == {(("PARCEL 0",), ("PARCEL 1",))}


async def test_a_precision_without_a_recipe_is_a_row_with_the_reason(labels: Dataset, tmp_path: Path) -> None:
    run = await measured(plan(labels), FakeHost(refused=["int8"]), folder=tmp_path)

    assert absences(run) == {"fp32": "", "fp16": "", "int8": "no recipe of int8 passed the gate"}
    page = write_report(run, tmp_path).read_text()
    assert "Not measured: no recipe of int8 passed the gate" in page
    row = json.loads((tmp_path / "gpu-bench.json").read_text())["precisions"]["int8"]
    assert (row["absent"], row["floor_met"], row["labels_per_second"]) == (absences(run)["int8"], None, None)


async def test_builds_stop_where_the_time_to_measure_begins(labels: Dataset, tmp_path: Path) -> None:
    host = FakeHost(costs={"fp32": 100, "fp16": 250})

    run = await measured(plan(labels), host, folder=tmp_path)

    sentence = (
        "what follows building the models in {} needs 192 s, and 130 s of 480 s are left: build the models before, or "
        "give more time with --minutes"
    )
    assert absences(run) == {"fp32": "", "fp16": sentence.format("fp16"), "int8": sentence.format("int8")}


async def test_rounds_that_do_not_fit_are_left_out_and_named(labels: Dataset, tmp_path: Path) -> None:
    run = await measured(plan(labels, rounds=9, floor=OUT_OF_REACH), FakeHost(turn_seconds=50), folder=tmp_path)

    assert [len(result.turns) for result in run.results] == [3, 3, 3]
    assert run.notes == ["3 of 9 rounds were run, because another one takes 150 s and 30 s of 480 s were left."]
    assert run.notes[0] in write_report(run, tmp_path).read_text()


async def test_a_turn_that_does_not_fit_the_first_round_is_a_row_with_the_reason(
    labels: Dataset, tmp_path: Path
) -> None:
    run = await measured(plan(labels, floor=OUT_OF_REACH), FakeHost(turn_seconds=240), folder=tmp_path)

    assert [len(result.turns) for result in run.results] == [1, 1, 0]
    assert re.match(r"Round 1: a turn of int8 needs \d+ s, and 0 s of 480 s are left: build", absences(run)["int8"])


async def test_a_precision_that_fails_does_not_stop_the_others(labels: Dataset, tmp_path: Path) -> None:
    run = await measured(plan(labels), FakeHost(broken="fp16"), folder=tmp_path)

    assert absences(run) == {"fp32": "", "fp16": "Round 1: CUDA out of memory.", "int8": ""}


@pytest.mark.parametrize(("stuck_from", "turns"), [(1, 0), (2, 1)])
async def test_a_gpu_that_hangs_does_not_take_the_time_of_all(
    labels: Dataset, tmp_path: Path, stuck_from: int, turns: int
) -> None:
    host = FakeHost(stuck="fp16", stuck_from=stuck_from)

    run = await measured(plan(labels, rounds=2, floor=OUT_OF_REACH), host, folder=tmp_path, seconds=4)

    sentence = (
        f"Round {stuck_from}: a turn of fp16 was not done in the 4 s of 4 s that it had: give more time with --minutes"
    )
    assert [len(result.turns) for result in run.results] == [2, turns, 2]
    assert absences(run) == {"fp32": "", "fp16": "" if turns else sentence, "int8": ""}
    assert run.notes == ([sentence] if turns else [])


async def test_a_way_without_fp32_is_passed_over(labels: Dataset, tmp_path: Path) -> None:
    run = await measured(plan(labels), FakeHost(refused=["fp32"]), FakeHost(), folder=tmp_path)

    assert run.notes == ["The fake server: passed over, because no recipe of fp32 passed the gate"]
    assert not any(absences(run).values())
    with pytest.raises(MeasurementError, match=r"^Nothing was measured\. The fake server: passed over, because no"):
        await measured(plan(labels), FakeHost(refused=["fp32"]), folder=tmp_path)


async def test_a_better_way_that_takes_too_long_leaves_time_for_the_next(labels: Dataset, tmp_path: Path) -> None:
    clock = Hand()

    run = await measured(plan(labels), FakeHost(clock, {"fp32": 200}), FakeHost(clock, {"fp32": 40}), folder=tmp_path)

    sentence = (
        "what follows building the models in fp32 needs 288 s, and 280 s of 480 s are left: build the models before"
    )
    assert [note.partition(", or give")[0] for note in run.notes] == [
        f"The fake server: passed over, because {sentence}"
    ]
    assert absences(run)["fp32"] == ""


async def test_a_throughput_under_the_floor_is_missed_without_an_open_loop(labels: Dataset, tmp_path: Path) -> None:
    run = await measured(plan(labels, floor=OUT_OF_REACH), FakeHost(), folder=tmp_path)

    row = figures(run)["precisions"]["fp32"]
    assert not meets_floor(run)
    assert row["open_loop"] == dict.fromkeys(["p50_ms", "p95_ms", "p99_ms"])
    assert "missed" in row["verdict"]
    assert "10000 are needed" in row["verdict"]


async def test_a_latency_over_the_limit_is_missed(labels: Dataset, tmp_path: Path) -> None:
    run = await measured(plan(labels, floor=replace(QUICK, p95_ms=0.1)), FakeHost(), folder=tmp_path)

    row = figures(run)["precisions"]["fp32"]
    assert not meets_floor(run)
    assert row["open_loop"]["p95_ms"]["median"] > 0.1
    assert "under 0.1 ms is needed" in row["verdict"]


async def _nothing(_number: int) -> Mapping[str, float]:
    return {}


async def test_the_open_loop_counts_from_when_a_label_was_due() -> None:
    async def read(number: int) -> Mapping[str, float]:
        if number == 0:
            time.sleep(0.3)  # noqa: ASYNC251  all others are held up, as by a stalled process
        return {}

    late = await open_loop(read, [0.0, 0.1, 0.2])

    assert late[0] >= 300
    assert late[1] >= 200
    assert late[2] >= 100
    assert max(await open_loop(_nothing, [0.0, 0.1, 0.2])) < 100


async def test_full_load_reads_each_label_once_with_so_many_under_way() -> None:
    asked: list[int] = []

    async def read(number: int) -> Mapping[str, float]:
        asked.append(number)
        return {}

    assert await full_load(read, 7, at_once=3) > 0
    assert asked == list(range(7))
    milliseconds, stages = await one_at_a_time(_nothing, 3)
    assert (len(milliseconds), stages) == (3, [{}, {}, {}])


def _repository(built: Callable[[], Path], precision: str, _progress: Progress) -> Path:
    select_profile("onnx", device="gpu", precision="fp4" if precision == "fp4" else "fp32")
    return built()


@pytest.fixture
def written(tmp_path: Path) -> Dataset:
    """One small picture of a line that real models read."""
    pixels = np.full((120, 480, 3), 255, np.uint8)
    cv2.putText(pixels, "PARCEL 12345", (30, 75), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (0, 0, 0), 3, cv2.LINE_AA)
    picture = encode_png(pixels)
    folder = tmp_path / "written"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture)
    truth = {"polygon": [[28, 35], [400, 35], [400, 80], [28, 80]], "text": "PARCEL 12345"}
    row = {"image": "a.png", "sha256": hashlib.sha256(picture).hexdigest(), "lines": [truth]}
    (folder / "truth.jsonl").write_text(json.dumps(row) + "\n")
    return load(folder)


async def test_onnx_runtime_stands_in_for_the_gpu(written: Dataset, onnx_on_gpu: Path, tmp_path: Path) -> None:
    way = replace(in_this_process("cpu"), build=partial(_repository, lambda: onnx_on_gpu))
    slow = Floor(labels_per_second=0.01, p95_ms=600_000)
    chosen = GpuBenchPlan(
        written, 2, precisions=("fp32", "fp4"), floor=slow, rounds=1, load_seconds=0.1, open_seconds=0.1
    )

    run = await GpuBench(chosen, opener(settings.load({})), TimeBudget(480), None, tmp_path).run([way])

    report = figures(run)
    row = report["precisions"]["fp32"]
    assert row["served"] == dict.fromkeys(["text_detector", "line_orientation", "text_recognizer"], "fp32")
    assert row["word_f1"] == 1.0
    assert sum(row["batch_histogram"]["text_detector"].values()) >= 1
    assert report["precisions"]["fp4"]["absent"].startswith("the profile onnx on a gpu has no precision 'fp4'")
    assert run.way == "ONNX Runtime with the CPU in this process"


@pytest.mark.real
async def test_the_hosts_own_triton_is_started_asked_and_stopped(
    written: Dataset, model_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tritonserver(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    chosen = settings.load({})
    way = ServingWay(
        "Triton", lambda _precision, _progress: model_repository, partial(served_by, HostTritonServer, chosen.triton)
    )
    small = GpuBenchPlan(
        written, 2, precisions=("fp32",), floor=Floor(0.01, 600_000), rounds=1, load_seconds=0.1, open_seconds=0.1
    )

    run = await GpuBench(small, opener(chosen), TimeBudget(480), None, tmp_path / "run").run([way])

    row = figures(run)["precisions"]["fp32"]
    assert row["absent"] is None
    assert row["word_f1"] == 1.0
    assert run.configuration["versions"] == {"Triton": "2.51.0"}
    sizes = row["batch_histogram"]["text_detector"]
    assert sum(int(size) * count for size, count in sizes.items()) == row["rounds"][0]["labels"]
    assert "tritonserver" not in _running(tmp_path / "run")


def _running(folder: Path) -> str:
    """Return the command lines of the processes that know this folder."""
    commands = [path.read_text() for path in Path("/proc").glob("[0-9]*/cmdline")]
    return " ".join(command for command in commands if str(folder) in command)
