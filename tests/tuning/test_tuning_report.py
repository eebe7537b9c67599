"""What a sweep says: evidence, the table and the page, without a server."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from worker.lab.tuning.evidence import candidate_evidence
from worker.lab.tuning.judgment import SweepComparison, SweepTurn, SweepVerdict
from worker.lab.tuning.report import candidates_table, write_page
from worker.lab.tuning.sweep import SweepTrial
from worker.models.tuning import CandidateEvidence, RateSpread, ServingSettings, Tuning, TuningEvidence

SETTINGS = ServingSettings(instances=2, threads=1, static_widths=(64, 320), static_tiles=((64, 96),))
COMPARED = SweepComparison(
    [SweepTurn(5, 0.21), SweepTurn(7, 0.2), SweepTurn(6, 0.25)],
    [SweepTurn(4, 0.3), SweepTurn(4.5, 0.31), SweepTurn(4.2, 0.29)],
)
TAKEN = SweepTrial("2 static widths", SETTINGS, SweepVerdict(taken=True, reason="+43 %"), True, COMPARED, 512.34, 0.9)
REFUSED = SweepTrial("delay 5 ms", SETTINGS, SweepVerdict(taken=False, reason="failed: it ended"))
LEFT = SweepTrial("8 lines a request", SETTINGS, SweepVerdict(taken=False, reason="the time is over"), tried=False)


def _evidence() -> TuningEvidence:
    default = CandidateEvidence(
        change="default",
        settings=SETTINGS,
        outcome="default",
        reason="what the others are measured against",
        pictures_per_second=RateSpread(median=4.2, min=4.0, max=4.5),
        peak_rss_mb=700.0,
    )
    return TuningEvidence(
        machine={"cpu": "AMD EPYC", "cores": 2},
        openvino="2026.4.1",
        labelwire="0.1.0",
        alphabet="full",
        models={"text_detector": "PP-OCR, bf16"},
        dataset="labels",
        pictures=3,
        cores=2,
        rounds=3,
        candidates=(default, *map(candidate_evidence, (TAKEN, REFUSED, LEFT))),
    )


def test_evidence_has_the_spread_of_both_sides() -> None:
    found = candidate_evidence(TAKEN)

    assert found.pictures_per_second == RateSpread(median=6, min=5, max=7)
    assert found.compared_with == RateSpread(median=4.2, min=4, max=4.5)
    assert (found.cpu_seconds, found.cpu_seconds_compared_with) == (0.21, 0.3)
    assert (found.outcome, found.peak_rss_mb, found.word_f1, found.equal_lines) == ("taken", 512.3, 0.9, None)
    assert [candidate_evidence(trial).outcome for trial in (REFUSED, LEFT)] == ["refused", "not tried"]


def test_the_table_names_every_candidate_with_its_reason() -> None:
    said = StringIO()
    console = Console(width=200, file=said)
    console.print(candidates_table(_evidence()))

    rows = [" ".join(row.split()) for row in said.getvalue().splitlines()]

    assert rows[2] == "2 static widths 6.00 5.00 to 7.00 4.20 0.210 0.300 512 0.9000 – taken: +43 %"  # noqa: RUF001
    assert rows[3].endswith("refused: failed: it ended")
    assert rows[4].endswith("not tried: the time is over")


def test_the_page_shows_what_was_taken_and_plots_what_was_measured(tmp_path: Path) -> None:
    tuning = Tuning(**SETTINGS.model_dump(), evidence=_evidence())

    page = write_page(tuning, _evidence(), tmp_path / "tuning.html").read_text(encoding="utf-8")

    assert "Taken: 2 static widths" in page
    assert "the time is over" in page
    assert "2 × 1" in page  # noqa: RUF001
    assert page.count("<svg") == 1
    assert "MB of memory at its highest" in page
