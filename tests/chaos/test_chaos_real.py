"""A short chaos run on a Kafka and a Triton of its own."""

from pathlib import Path

import pytest

from tests.go_tools import demand_go_tool
from tests.real_kafka import demand_real_kafka
from worker.lab.chaos.embedded import run_embedded_chaos
from worker.lab.chaos.report import figures, page
from worker.lab.chaos.run import ChaosPlan
from worker.lab.chaos.schedule import FaultKind
from worker.local.toxiproxy import TOXIPROXY

PLAN = ChaosPlan(
    seed=3,
    duration_seconds=34,
    kinds=(FaultKind.WORKER_SIGKILL, FaultKind.TRITON_SIGKILL, FaultKind.KAFKA_CONNECTIONS_DROPPED),
    pictures=6,
    jobs_per_second=1.5,
    drain_seconds=120,
)


def _provisioned() -> None:
    demand_real_kafka()
    demand_go_tool(TOXIPROXY)


@pytest.mark.real
@pytest.mark.timeout(400)
def test_nothing_is_lost_wrong_or_repeated_while_everything_fails(model_repository: Path, tmp_path: Path) -> None:
    _provisioned()
    said: list[str] = []

    run = run_embedded_chaos(PLAN, tmp_path / "chaos", said.append, model_repository)

    report = figures(run)
    assert run.shortcomings == [], report["problems"]
    assert set(report["faults"]) == {kind.value for kind in PLAN.kinds}, said
    assert report["jobs"] >= 45
    assert report["recovery_seconds"] is not None
    assert "killed" in {worker.asked for worker in run.exits}
    assert "nothing lost" in page(run)
