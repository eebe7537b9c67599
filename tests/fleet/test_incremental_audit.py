"""Audits with a state after each of several rounds of jobs: each reads what is new, and says what a full one does."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.docs.scale_page import SERIES_PER_WORKER
from tests.fleet.workers import Fleet, WorkerProcess, read_until, wait_until
from worker.adapters.kafka.offline.group_view import KafkaGroupView
from worker.audit.report import AuditReport
from worker.audit.run import audit
from worker.cli import _app
from worker.domain.records import OutgoingRecord
from worker.local.triton import TritonServer
from worker.settings import KafkaSettings, TopicSettings

ROUNDS = 3
JOBS = 10  # in a round; the first one has a line of text, the last one is no picture
PAGE = np.full((64, 160, 3), 255, np.uint8)
BLANK = bytes(cv2.imencode(".png", PAGE)[1].tobytes())


def jobs_of(fleet: Fleet, number: int) -> list[OutgoingRecord]:
    line = cv2.putText(PAGE.copy(), f"BOX {number}", (9, 42), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    pictures = [cv2.imencode(".png", line)[1].tobytes(), *[BLANK] * (JOBS - 2), b"no picture"]
    names = [f"round-{number}-{each}".encode() for each in range(JOBS)]
    return [
        OutgoingRecord(fleet.jobs_topic, name, picture, (("content-type", b"image/png"), ("job-id", name)))
        for name, picture in zip(names, pictures, strict=True)
    ]


def all_is_committed(view: KafkaGroupView, topic: str) -> bool:
    """Say whether the group is done with the topic, so that no repeat of an outcome is to come."""
    ends = view.ends(view.partitions([topic]), stable=False)
    positions = view.positions(list(ends))
    return all(end == 0 or (p in positions and positions[p].offset == end) for p, end in ends.items())


def series(worker: WorkerProcess) -> int:
    """Return how many series a worker exposes, without those of its partitions."""
    lines = worker.probe("/metrics")[1].splitlines()
    return sum(not line.startswith(("#", "labelwire_partition_lag")) for line in lines)


def counts(report: AuditReport) -> dict[str, object]:
    of_the_run = ("seconds", "since", "until", "records_read", "state")
    return {name: value for name, value in report.to_dict().items() if name not in of_the_run}


@pytest.mark.real
@pytest.mark.timeout(300)
def test_each_audit_reads_what_came_since_the_last_one_though_a_worker_is_killed(
    make_fleet: Callable[[str], Fleet], triton: TritonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, state = make_fleet(triton.grpc_url), tmp_path / "state"
    fleet.create_topics()
    kafka = KafkaSettings(bootstrap_servers=fleet.bootstrap_servers, group_id=fleet.prefix)
    topics = TopicSettings(jobs=fleet.jobs_topic, results=fleet.results_topic, dead_letters=fleet.dead_letters_topic)
    worker = fleet.add_worker()
    wait_until(lambda: worker.probe("/readyz")[0] == 200)
    view, read, ended = KafkaGroupView(kafka), 0, 0
    with fleet.reader(fleet.results_topic, fleet.dead_letters_topic) as reader:
        for number in range(ROUNDS):
            fleet.submit(*jobs_of(fleet, number))
            if number == 1:
                assert series(worker) == pytest.approx(SERIES_PER_WORKER, rel=0.1)
                read_until(reader, lambda seen: len(seen) >= 2)
                worker.kill()
                fleet.add_worker()
            wait_until(lambda: all_is_committed(view, fleet.jobs_topic))

            report = audit(kafka, topics, state_folder=state)
            full = audit(kafka, topics)

            outcomes = report.result_records + report.dead_letter_records - ended
            ended += outcomes
            assert report.records_read == JOBS + outcomes
            assert JOBS <= outcomes < 2 * JOBS
            read += report.records_read
            assert (report.records, full.records_read) == (read, read)
            assert counts(report) == counts(full)
            done = JOBS * (number + 1)
            assert (report.jobs, report.completed, report.dead_lettered) == (done, done - number - 1, number + 1)
            assert report.is_sound

    environment = fleet.workers[-1].environment
    for name in (name for name in environment if name.startswith(("LABELWIRE_KAFKA", "LABELWIRE_TOPICS"))):
        monkeypatch.setenv(name, environment[name])
    command = CliRunner().invoke(_app, ["audit", "--json", "--state", str(state), "--complete", "--wait", "60"])
    assert command.exit_code == 0
    shown = json.loads(command.stdout)
    assert (shown["records_read"], shown["jobs"], shown["state"]["forgotten"]["completed"]) == (0, JOBS * ROUNDS, 0)
    assert shown["since"] < shown["until"]
    spoken = CliRunner().invoke(_app, ["audit", "--state", str(state)])
    assert "Read 0 records that came up to" in spoken.output
