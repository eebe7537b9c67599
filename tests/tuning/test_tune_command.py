"""`labelwire models tune`: on the real Triton once, and what it writes and refuses without one."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from worker import settings
from worker.cli.models import app
from worker.cli.tune import PipelineReader, print_tuning, write
from worker.lab.bench.bare import RecordedRequest
from worker.lab.evaluation.dataset import load
from worker.lab.evaluation.embedded import Labels, drawn
from worker.lab.evaluation.errors import DatasetError, MeasurementError
from worker.lab.synth.camera import Degradation
from worker.lab.tuning.candidates import Change
from worker.lab.tuning.embedded import EmbeddedSweep, TuneOrder, replay_all
from worker.lab.tuning.errors import SweepError
from worker.lab.tuning.judgment import SweepLimits
from worker.lab.tuning.traffic import Traffic
from worker.local.process import free_ports
from worker.models.build import build_repository
from worker.models.profiles import select_profile
from worker.models.stamp import read_stamp
from worker.models.tuning import CandidateEvidence, Tuning, read_tuning
from worker.ports import InferenceRequest

WIDTHS = (64, 320)


def _two(traffic: Traffic, widths: Sequence[int], cores: int) -> list[Change]:
    assert sum(traffic.columns.values()) > 1000
    assert sum(traffic.tiles.values()) >= 2
    assert cores == 1
    assert set(traffic.columns) <= set(widths)
    return [
        Change("2 static widths", {"static_widths": WIDTHS}),
        Change("a width of 65", {"static_widths": (65,)}),
    ]


@pytest.fixture(scope="module")
def tuning(tmp_path_factory: pytest.TempPathFactory) -> Tuning:
    """The choice for two labels on one core, between no static shapes and two widths."""
    folder = tmp_path_factory.mktemp("tuning")
    drawn(Labels(2, seed=4, degradations=(Degradation.NONE,)), folder / "labels")
    labels = load(folder / "labels")
    # Little is warmed up, or the servers' start would take most of the time.
    profile = replace(
        select_profile("embedded", cores=1),
        static_widths=(),
        static_tiles=(),
        warmup_widths=WIDTHS,
        warmup_tiles=((320, 320),),
    )
    limits = SweepLimits(max_word_f1_loss=0.03)
    order = TuneOrder(profile, "latin", {}, labels, limits, folder, turn_pictures=2, choose=_two)
    heard: list[CandidateEvidence] = []
    reader = PipelineReader(labels, settings.load({}))
    found = EmbeddedSweep(order, reader.read, heard.append, lambda _step: None).choose()
    assert found.evidence is not None
    assert list(found.evidence.candidates) == heard
    assert sorted(path.name for path in folder.glob("candidate-?")) == [], "repositories are removed"
    return found


@pytest.mark.real
def test_candidates_are_measured_on_the_real_server(tuning: Tuning) -> None:
    evidence = tuning.evidence
    assert evidence is not None
    default, widths, strange = evidence.candidates

    assert (evidence.pictures, evidence.cores, evidence.max_word_f1_loss) == (2, 1, 0.03)
    assert evidence.openvino.startswith("20")
    assert (default.outcome, default.settings.static_widths) == ("default", ())
    assert widths.settings.static_widths == WIDTHS
    assert widths.equal_lines is not None
    assert widths.equal_lines > 0.9
    for one in (default, widths):
        assert one.word_f1 is not None
        assert one.word_f1 > 0.8
        assert one.pictures_per_second is not None
        assert 0 < one.pictures_per_second.min <= one.pictures_per_second.median <= one.pictures_per_second.max
        assert one.peak_rss_mb is not None
        assert one.peak_rss_mb > 100
        assert one.cpu_seconds is not None
        assert one.cpu_seconds > 0.01
    assert widths.compared_with is not None
    assert tuning.static_widths == (WIDTHS if widths.outcome == "taken" else ())
    assert strange.outcome == "refused"
    assert "static width of 65 pixels" in strange.reason


@pytest.mark.real
def test_what_was_written_can_be_built_with(tuning: Tuning, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tuning.json"

    write(tuning, path)
    print_tuning(tuning, path)
    stamp = read_stamp(build_repository("embedded", tmp_path / "models", alphabet="latin", tuning=read_tuning(path)))

    assert stamp is not None
    assert stamp.tuning_sha256 == tuning.sha256
    assert json.loads(path.read_text(encoding="utf-8"))["schema"] == "labelwire.tuning/1"
    printed = capsys.readouterr().out
    assert tuning.sha256[:12] in printed
    assert "2 static widths" in printed
    page = path.with_suffix(".html").read_text(encoding="utf-8")
    assert "2 static widths" in page
    assert "MB of memory at its highest" in page


def test_a_server_that_died_fails_its_candidate_and_not_the_sweep() -> None:
    """A sweep refuses what raises a LabelwireError; a group of errors would end it."""
    request = InferenceRequest("text_detector", {"image": np.zeros((1, 32, 32, 3), np.uint8)}, ("probability",))
    (port,) = free_ports(1)

    with pytest.raises(MeasurementError, match="a request that was replayed was not answered"):
        replay_all(f"127.0.0.1:{port}", [RecordedRequest(0, request), RecordedRequest(1, request)])


def test_more_cores_than_there_are_cannot_be_tuned_for(tmp_path: Path) -> None:
    drawn(Labels(1, seed=4, degradations=(Degradation.NONE,)), tmp_path)

    done = CliRunner().invoke(app, ["tune", "--data", str(tmp_path), "--cores", "64", "--output", str(tmp_path / "t")])

    assert isinstance(done.exception, SweepError)
    assert "64 cores cannot be tuned for on" in str(done.exception)
    assert (done.exit_code, (tmp_path / "t").exists()) == (1, False)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["tune", "--data", str(tmp_path)])

    assert isinstance(done.exception, DatasetError)


def test_a_build_takes_cores_from_one_place(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["build", "--cores", "2", "--tuning", str(tmp_path / "tuning.json")])

    assert "both say how many cores serve" in str(done.exception)
    assert done.exit_code == 1
