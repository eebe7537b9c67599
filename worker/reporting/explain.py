"""Why a picture reads as it does: how its pages were searched, how good they are, and where the time went."""

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.domain.result import LabelText, Page
from worker.pipeline.explanation import PageSearch

_BAR_CHARACTERS: Final = 30


def explain(name: str, result: LabelText, searches: Sequence[PageSearch]) -> RenderableType:
    """Return the pages' searches and qualities as sentences, and the stages' times as a table."""
    pages = zip(result.pages, searches, strict=True)
    lines = [
        sentence
        for number, (page, search) in enumerate(pages, start=1)
        for sentence in (_searched(number, page, search), _quality(page))
    ]
    return Group(Text(name, style="bold"), *map(Text, lines), _stages(result))


def _searched(number: int, page: Page, search: PageSearch) -> str:
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in search.tiles)
    turned = ", turned by 90 degrees because the text runs down" if search.sideways else ""
    decoded = ", decoded strip by strip" if search.streamed else ""
    return (
        f"page {number}: {page.width} x {page.height} pixels{decoded}, searched at scale {search.scale:.2f}{turned} in "
        f"{len(search.tiles)} tiles that show {area / (page.width * page.height):.0%} of it, {len(page.lines)} lines"
    )


def _quality(page: Page) -> str:
    if page.quality is None:
        return "  quality: not measured"
    measures = ", ".join(f"{name} {value:g}" for name, value in sorted(page.quality.measures.items()))
    problems = f"; under their floor: {', '.join(page.quality.problems)}" if page.quality.problems else ""
    return f"  quality: {page.quality.score:.2f} ({measures}){problems}"


def _stages(result: LabelText) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("stage")
    table.add_column("ms", justify="right")
    table.add_column("")
    longest = max(result.timing_ms.values(), default=0.0) or 1.0
    for stage, milliseconds in result.timing_ms.items():
        bar = "█" * round(_BAR_CHARACTERS * milliseconds / longest)
        table.add_row(stage, f"{milliseconds:.1f}", Text(bar, style="cyan"))
    return table
