"""A job alone is compared with its own picture's models; loads are told by percentiles of what their jobs waited."""

import json
from pathlib import Path

import pytest

from worker.lab.bench.job_stream import AnsweredJob
from worker.lab.bench.latency.loads import AloneJob, BacklogLoad, OpenLoopLoad
from worker.lab.bench.latency.model_times import PictureModelTimes
from worker.lab.bench.latency.processing_times import ProcessingLog
from worker.lab.bench.latency.report import LatencyRun, write_report
from worker.lab.evaluation.errors import MeasurementError


def answered(waited_ms: int, *, late_ms: int = 0) -> AnsweredJob:
    stages = {"decode": 10.0, "detect": 60.0, "barcodes": 50.0}
    return AnsweredJob("a", 1000.0, 1000 + late_ms, 1000 + late_ms + waited_ms, stages)


def test_a_job_alone_is_compared_with_its_own_models(tmp_path: Path) -> None:
    models = [PictureModelTimes(4, 50.0, 80.0), PictureModelTimes(8, 100.0, 160.0)]
    alone = [AloneJob(0, answered(100)), AloneJob(1, answered(130)), AloneJob(1, answered(150))]
    backlogs = [BacklogLoad(4, 2.0, [100.0, 200.0, 300.0, 400.0], 3.0)]
    open_loops = [OpenLoopLoad(0.75, 1.5, [answered(100, late_ms=160)] * 20)]

    page = write_report(LatencyRun(models, alone, backlogs, open_loops, {}), tmp_path)

    measured = json.loads((tmp_path / "latency.json").read_text())
    found = measured["alone"]
    assert (found["p50_ms"], found["p95_ms"], found["models_ms"], found["requests_ms"]) == (130, 150, 100, 160)
    assert (found["over_models"], found["over_requests"]) == (1.5, 0.938)
    assert found["outside_ms"] == 60
    assert list(found["stages_ms"]) == ["decode", "detect", "barcodes"]
    assert measured["backlogs"] == [
        {"jobs": 4, "jobs_per_second": 2, "model_cores": 1.5, "p50_ms": 200, "p95_ms": 400, "p99_ms": 400}
    ]
    [load] = measured["open_loops"]
    assert (load["p95_ms"], load["p95_over_alone_p50"], load["p95_over_aim"]) == (260, 2, 2)
    assert "1.50" in page.read_text()


def test_the_time_of_each_job_is_read_off_the_log(tmp_path: Path) -> None:
    lines = [
        "Traceback of something that is no JSON: job finished",
        json.dumps({"event": "job finished", "job_id": "a-1", "duration_seconds": 0.25}),
        json.dumps({"event": "job finished", "job_id": "b-1", "duration_seconds": 9.0}),
        json.dumps({"event": "job finished", "job_id": "a-2", "duration_seconds": 0.5}),
    ]
    path = tmp_path / "worker.log"
    path.write_text("\n".join(lines) + '\n{"event": "job finished", "job_id": "a-3"')

    assert sorted(ProcessingLog(path).milliseconds_of({"a-1", "a-2"})) == [250, 500]
    with pytest.raises(MeasurementError, match=r"1 of 2 jobs were finished, the first of them a-3\."):
        ProcessingLog(path, wait_seconds=0.2).milliseconds_of({"a-1", "a-3"})
