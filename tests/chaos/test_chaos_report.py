import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.test_judging import LABEL, RIGHT, SOUND
from worker.lab.chaos.answers import WorkerAnswer
from worker.lab.chaos.faults import Restart
from worker.lab.chaos.fleet import WorkerExit
from worker.lab.chaos.judging import Verdict
from worker.lab.chaos.report import figures, page, sentences, write_report
from worker.lab.chaos.run import ChaosPlan, ChaosRun, InjectedFault
from worker.lab.chaos.schedule import FaultKind

KEYS = {"jobs", "faults", "lost", "duplicates_after_dedup", "wrong", "recovery_seconds", "seed", "delivery"}
BEGAN_MS = 1_000_000


@pytest.fixture
def run() -> ChaosRun:
    plan = ChaosPlan(seed=4, duration_seconds=20, kinds=(FaultKind.TRITON_SIGKILL,))
    faults = tuple(
        InjectedFault(fault.kind, BEGAN_MS + round(fault.at_seconds * 1000), BEGAN_MS + 14_000, "back <after> a while")
        for fault in plan.schedule
    )
    answers = tuple(replace(answer, at_ms=BEGAN_MS + 1000 * n) for n, answer in enumerate(RIGHT))
    later = WorkerAnswer("a", "result-a", BEGAN_MS + 15_500, ("SHIP TO",), None)
    return ChaosRun(
        plan=plan,
        jobs_per_second=2.5,
        began_at_ms=BEGAN_MS,
        ended_at_ms=BEGAN_MS + 20_000,
        drained_at_ms=BEGAN_MS + 25_000,
        faults=faults,
        restarts=(Restart("triton", BEGAN_MS + 3000, BEGAN_MS + 14_000),),
        exits=(WorkerExit(0, BEGAN_MS, 137, ""), WorkerExit(1, BEGAN_MS, 137, "killed")),
        answers=(*answers, later),
        submitted={"a": LABEL},
        verdict=Verdict(3, 1, 2, 0, 1, 0, 0, ()),
        audited=SOUND,
        description={"broker": "Apache Kafka"},
    )


def test_the_keys_are_those_of_the_contract(run: ChaosRun) -> None:
    report = figures(run)
    assert set(report) >= KEYS
    assert report["faults"] == {"triton_sigkill": len(run.faults)}
    assert report["passed"]


def test_recovery_runs_from_tritons_readiness_to_the_next_result(run: ChaosRun) -> None:
    report = figures(run)
    assert report["recovery_seconds"] == pytest.approx(1.5)
    assert report["triton_start_seconds"] == pytest.approx(11)


def test_without_a_killed_triton_there_is_no_recovery(run: ChaosRun) -> None:
    calm = replace(run, restarts=())
    assert figures(calm)["recovery_seconds"] is None
    assert "Neither Triton nor the broker was killed" in page(calm)


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"lost": 2}, "2 jobs were lost"),
        ({"wrong": 1}, "1 answers are wrong"),
        ({"duplicates_after_dedup": 3}, "3 duplicates remain after dedup"),
    ],
)
def test_a_run_that_lost_something_does_not_pass(run: ChaosRun, counts: dict[str, int], says: str) -> None:
    failed = replace(run, verdict=replace(run.verdict, **counts))  # type: ignore[arg-type]
    assert failed.shortcomings == [says]
    assert not figures(failed)["passed"]
    assert says in page(failed)
    assert f"- {says}" in list(sentences(failed))


def test_duplicates_count_where_delivery_is_exactly_once(run: ChaosRun) -> None:
    assert run.verdict.duplicates == 1
    assert replace(run, plan=replace(run.plan, delivery="exactly-once")).shortcomings


def test_a_fault_that_could_not_be_done_fails_the_run(run: ChaosRun) -> None:
    broken = replace(run.faults[0], failure="Triton ended", words="")
    failed = replace(run, faults=(broken, *run.faults[1:]))
    assert failed.shortcomings == ["1 faults could not be done"]
    assert "could not be done: Triton ended" in page(failed)


def test_a_fault_that_was_left_out_fails_the_run(run: ChaosRun) -> None:
    assert replace(run, faults=()).shortcomings == [f"{len(run.faults)} scheduled faults were left out"]


def test_the_report_is_written_as_json_and_page(run: ChaosRun, tmp_path: Path) -> None:
    shown = write_report(run, tmp_path).read_text()
    assert json.loads((tmp_path / "chaos.json").read_text())["seed"] == 4
    assert "back &lt;after&gt; a while" in shown
    assert "<svg" in shown
    assert "labelwire chaos --seed 4 --duration 20 --delivery at-least-once" in shown
