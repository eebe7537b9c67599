"""An evaluation as text for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.lab.acceptance.reading import SetReading
from worker.lab.acceptance.report import ScoreRow, StageRow, score_rows, stage_rows
from worker.lab.acceptance.verdict import ModelEvaluation
from worker.reporting import formats

_SHOWN_NAMES: Final = 10


def report_evaluation(evaluation: ModelEvaluation) -> RenderableType:
    """Return scores, refused pictures, times and the verdict."""
    parts: list[RenderableType] = [Text(f"{len(evaluation.dataset.samples)} pictures of {evaluation.dataset.name}")]
    parts += [Text(_identity(one)) for one in evaluation.readings]
    compared = evaluation.b is not None
    parts += [Text(), _scores(score_rows(evaluation), evaluation.readings, compared=compared)]
    parts += [Text(sentence) for one in evaluation.readings for sentence in _refused(one)]
    parts += [Text(), _times(stage_rows(evaluation), compared=compared)]
    if evaluation.slowdown is not None:
        low, high = evaluation.slowdown.low, evaluation.slowdown.high
        parts.append(Text(f"A / B of the total lies between {low:.2f} and {high:.2f} in 95 % of the resamples."))
    parts += [Text(), *_verdict(evaluation)]
    return Group(*parts)


def _identity(one: SetReading) -> str:
    letter, candidate = one.candidate.letter, one.candidate
    return f"{letter}: {candidate.title}, read by {candidate.read_by}"


def _scores(rows: Sequence[ScoreRow], readings: Sequence[SetReading], *, compared: bool) -> Table:
    names = ("A", "B", "A - B", "95 % interval", "A better in", "may lose") if compared else ("A",)
    table = _table("score", names)
    for row in rows:
        cells = [row.title, formats.decimals(row.a, 4)]
        if compared:
            cells += [formats.decimals(row.b, 4), formats.signed(row.difference, 4)]
            cells += [_interval(row), formats.percent(row.share_better)]
            cells += [formats.DASH if row.limit is None else f"{row.limit:g}"]
        table.add_row(*cells, style="bold red" if row.is_lost else "")
    refused = [len(one.refused) for one in readings]
    difference = [formats.signed(refused[0] - refused[1], 0)] if compared else []
    table.add_row("refused pictures", *map(str, refused), *difference)
    return table


def _interval(row: ScoreRow) -> str:
    return f"{formats.signed(row.low, 4)} to {formats.signed(row.high, 4)}"


def _refused(one: SetReading) -> Iterator[str]:
    refused = one.refused
    if refused:
        names = ", ".join(f"{refusal.job_id} ({refusal.code})" for refusal in refused[:_SHOWN_NAMES])
        more = f" and {len(refused) - _SHOWN_NAMES} more" if len(refused) > _SHOWN_NAMES else ""
        yield formats.printable(f"{one.candidate.letter} refused {names}{more}: counted as pictures with nothing read.")


def _times(rows: Sequence[StageRow], *, compared: bool) -> Table:
    table = _table(
        "ms a picture", ("A median", "A p95", "B median", "B p95", "A / B") if compared else ("median", "p95")
    )
    for row in rows:
        cells = [row.stage]
        for time in (row.a, row.b) if compared else (row.a,):
            cells += [formats.decimals(time.median_ms if time else None, 1)]
            cells += [formats.decimals(time.p95_ms if time else None, 1)]
        if compared:
            cells.append(formats.decimals(row.ratio, 2))
        table.add_row(*cells)
    return table


def _verdict(evaluation: ModelEvaluation) -> Iterator[Text]:
    if evaluation.b is None:
        yield Text("A was scored alone: give B, the repository in use, to see what A would lose.", style="yellow")
    elif evaluation.verdict.passed:
        yield Text("A passed: it loses no more than it may.", style="green")
    else:
        yield Text("A failed:", style="bold red")
        yield from (Text(f"- {reason}") for reason in evaluation.verdict.reasons)


def _table(name: str, numbers: Sequence[str]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column(name)
    for number in numbers:
        table.add_column(number, justify="right")
    return table
