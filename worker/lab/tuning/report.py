"""The report of a sweep: a table for a terminal, and a page with a plot."""

from pathlib import Path
from typing import Final

from rich.table import Table
from rich.text import Text

from worker.models.tuning import CandidateEvidence, RateSpread, Tuning, TuningEvidence
from worker.reporting import formats, plots
from worker.reporting.render import render, write

_STYLES: Final = {"default": "bold", "taken": "green", "refused": "", "not tried": "dim"}
DEFINITIONS: Final = {
    "pictures a second": "The requests that the worker sends for the pictures, replayed at full load without a worker: "
    "median of the rounds, and the lowest and highest.",
    "before": "What was best until then, in the same rounds in turn. Compare rates within a row: rows were measured at "
    "different times.",
    "CPU s": "CPU seconds of the server's processes for a picture, median of the rounds. It is not judged, and "
    "what else the machine does moves it less than rates.",
    "MB": "Resident memory of the server and its models at its highest, from its start, in 10⁶ bytes; shared pages "
    "count for each process.",
    "equal lines": "Share of the lines that are read as with the default.",
    "taken": "Read as well as the default, within the memory, and in each round faster than the one before in any.",
}


def candidates_table(evidence: TuningEvidence) -> Table:
    """Return all candidates as a table."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("candidate")
    for name in ("pictures/s", "min to max", "before", "CPU s", "before", "MB", "word F1", "equal lines"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in evidence.candidates:
        table.add_row(
            one.change,
            _median(one.pictures_per_second),
            _range(one.pictures_per_second),
            _median(one.compared_with),
            formats.decimals(one.cpu_seconds, 3),
            formats.decimals(one.cpu_seconds_compared_with, 3),
            formats.decimals(one.peak_rss_mb, 0),
            formats.decimals(one.word_f1, 4),
            _share(one.equal_lines),
            Text(f"{one.outcome}: {one.reason}"),
            style=_STYLES[one.outcome],
        )
    return table


def write_page(tuning: Tuning, evidence: TuningEvidence, path: Path) -> Path:
    """Write the page and return where."""
    measured = [one for one in evidence.candidates if one.pictures_per_second is not None]
    series = {
        outcome: [
            (one.peak_rss_mb, one.pictures_per_second.median)
            for one in measured
            if one.outcome == outcome and one.peak_rss_mb is not None and one.pictures_per_second is not None
        ]
        for outcome in ("default", "taken", "refused")
    }
    page = render(
        "tuning",
        kind="tuning",
        title=_headline(evidence),
        lead=f"{evidence.pictures} pictures of {evidence.dataset} on {evidence.cores} cores, {evidence.rounds} rounds.",
        tuning=tuning,
        rows=[_page_row(one) for one in evidence.candidates],
        plot=plots.against(series, "MB of memory at its highest", "pictures a second"),
        facts=[
            ("Processor", f"{evidence.machine.get('cpu', formats.DASH)}, {evidence.machine.get('cores')} cores"),
            ("OpenVINO", evidence.openvino),
            ("Alphabet", evidence.alphabet),
            *((role, words) for role, words in evidence.models.items()),
        ],
        definitions=DEFINITIONS,
    )
    return write(path, page)


def _headline(evidence: TuningEvidence) -> str:
    taken = [one.change for one in evidence.candidates if one.outcome == "taken"]
    return f"Taken: {', '.join(taken)}" if taken else "The default stays: nothing was faster beyond the spread"


def _page_row(one: CandidateEvidence) -> dict[str, str]:
    return {
        "change": one.change,
        "rate": _median(one.pictures_per_second),
        "range": _range(one.pictures_per_second),
        "before": _median(one.compared_with),
        "cpu": formats.decimals(one.cpu_seconds, 3),
        "cpu_before": formats.decimals(one.cpu_seconds_compared_with, 3),
        "memory": formats.decimals(one.peak_rss_mb, 0),
        "word_f1": formats.decimals(one.word_f1, 4),
        "equal_lines": _share(one.equal_lines),
        "outcome": one.outcome,
        "reason": one.reason,
    }


def _median(rates: RateSpread | None) -> str:
    return formats.decimals(None if rates is None else rates.median, 2)


def _range(rates: RateSpread | None) -> str:
    return formats.DASH if rates is None else f"{rates.min:.2f} to {rates.max:.2f}"


def _share(share: float | None) -> str:
    return formats.DASH if share is None else f"{share:.1%}"
