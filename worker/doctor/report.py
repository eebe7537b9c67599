"""Examinations and comparisons as text for a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.doctor.compare import COMPARED, Comparison, Spread, sized, spelled
from worker.doctor.examine import Examination, PageShares
from worker.doctor.findings import ExaminedModel, Finding
from worker.domain.manifest import ModelRole
from worker.reporting.explain import explain

_SHOWN_LINES: Final = 5
_NONE: Final = ""


def report_examination(found: Examination) -> RenderableType:
    """Return the models, where the time went, and the findings."""
    parts: list[RenderableType] = []
    if found.models:
        parts += [_models(found.models), Text(), _work(found.models), Text()]
    if found.result is not None and found.seconds is not None:
        parts.append(explain(f"golden page, alone: {found.seconds * 1000:.0f} ms", found.result, found.searches))
        if found.shares is not None:
            parts.append(Text(_shared(found.shares)))
        parts.append(Text())
    return Group(*parts, report_findings(found.findings))


def report_findings(findings: Sequence[Finding]) -> RenderableType:
    """Return the findings, numbered, each with its remedy."""
    if not findings:
        return Text("Nothing was found.", style="green")
    table = Table.grid(padding=(0, 1))
    for number, finding in enumerate(findings, start=1):
        table.add_row(f"{number}.", Text.assemble(*_weight(finding), f"{finding.sentence}."))
        table.add_row(_NONE, Text(f"→ {finding.remedy}."))
    return table


def report_comparison(found: Comparison) -> RenderableType:
    """Return both sides beside each other; in what they are no equals comes first."""
    parts: list[RenderableType] = []
    if found.differences:
        parts.append(Text("This is no comparison of equals:", style="bold yellow"))
        parts += [Text(f"- {difference}") for difference in found.differences]
    else:
        parts.append(Text("Device, precision and input size are the same."))
    return Group(*parts, Text(), _beside(found), Text(), *_reading(found), *_beyond(found))


def _weight(finding: Finding) -> Iterator[Text | str]:
    if finding.is_broken:
        yield Text("broken promise", style="bold red")
    elif finding.is_first:
        yield "only the first requests"
    elif finding.share is not None:
        yield f"{finding.share:.0%} of the server's time"
    else:
        return
    yield ": "


def _table(names: Iterable[str], numbers: Iterable[str]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for number in numbers:
        table.add_column(number, justify="right")
    return table


def _models(models: Sequence[ExaminedModel]) -> Table:
    """Return what each model is."""
    table = _table(("model", "backend", "device", "precision"), ("instances", "largest batch", "sizes warmed up"))
    for model in models:
        serving = model.serving
        alone = not serving.members
        table.add_row(
            serving.model,
            serving.backend if alone else " → ".join(serving.members),
            ", ".join(sorted(serving.devices)),
            model.precision,
            str(serving.instances) if alone else _NONE,
            str(serving.max_batch_size),
            str(len(serving.warmed_shapes)) if alone else _NONE,
        )
    return table


def _work(models: Sequence[ExaminedModel]) -> Table:
    """Return what each model did while several pages were read at once."""
    whole = sum(model.busy_seconds for model in models)
    columns = ("requests", "in a batch", "ms waiting", "ms copying", "ms computing", "of the time")
    table = _table(("eight pages at once",), columns)
    for model in models:
        times = model.times
        if model.serving.members or not times.requests or not times.executions:
            continue
        table.add_row(
            model.serving.model,
            str(times.requests),
            f"{times.items / times.executions:.1f}",
            f"{times.queued / times.requests * 1000:.1f}",
            f"{times.copied / times.executions * 1000:.1f}",
            f"{times.computed / times.executions * 1000:.1f}",
            f"{model.busy_seconds / whole:.0%}" if whole else _NONE,
        )
    return table


def _shared(shares: PageShares) -> str:
    return (
        f"the page's time: worker {shares.worker:.0%}, transfer {shares.transfer:.0%}, in queue {shares.queue:.0%},"
        f" copying {shares.copying:.0%}, computing {shares.computing:.0%}"
    )


def _beside(found: Comparison) -> Table:
    sides = (found.a, found.b)
    table = _table((_NONE, "A", "B"), ("A / B",))
    for role in COMPARED:
        is_detector = role is ModelRole.DETECTOR
        item = "tile" if is_detector else "line"
        rows = {
            "made from": [", ".join(sorted({one.manifest.source for one in side.of_role(role)})) for side in sides],
            "device": [spelled(side.devices(role)) for side in sides],
            "precision": [spelled(side.precisions(role)) for side in sides],
            "sizes" if is_detector else "widths": [sized(role, side.shapes(role)) for side in sides],
            f"{item}s at a time": [_number(side.batch(role)) for side in sides],
            f"ms computing a {item}": _measured(*(side.computing(role) for side in sides)),
        }
        table.add_row(Text(role.value, style="bold"))
        for what, cells in rows.items():
            table.add_row(f"  {what}", *cells)
    table.add_row(Text("page", style="bold"))
    table.add_row("  ms in all", *_measured(*(side.page() for side in sides)))
    return table


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1f}"


def _measured(a: Spread | None, b: Spread | None) -> tuple[str, str, str]:
    if a is None or b is None:
        return _milliseconds(a), _milliseconds(b), _NONE
    return _milliseconds(a), _milliseconds(b), f"{a.median / b.median:.2f}" if a.differs(b) else "no difference"


def _milliseconds(spread: Spread | None) -> str:
    if spread is None:
        return _NONE
    return f"{spread.median * 1000:.1f} ({spread.low * 1000:.1f} to {spread.high * 1000:.1f})"


def _reading(found: Comparison) -> Iterator[Text]:
    yield Text(f"The text is the same on {found.equal_pages} of {len(found.a.lines)} pages.")
    for side in (found.a, found.b):
        lines = found.only(side)
        for line in lines[:_SHOWN_LINES]:
            yield Text(f"  only {side.name} read {line!r}")
        if len(lines) > _SHOWN_LINES:
            yield Text(f"  and {len(lines) - _SHOWN_LINES} more lines only {side.name} read")


def _beyond(found: Comparison) -> Iterator[RenderableType]:
    if found.findings:
        yield Text()
        yield report_findings(found.findings)
