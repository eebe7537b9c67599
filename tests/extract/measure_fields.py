"""Prints how well fields come out of synthetic labels: `python -m tests.extract.measure_fields --count 100`.

Without `--url` the labels' own lines and barcodes are taken as read, which tells the extraction's own mistakes; with
the address of a Triton the pictures are read.
"""
# ruff: noqa: T201 - it prints

import argparse
import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import numpy as np

from tests.pipeline.gs1_texts import parsed
from worker import bootstrap, settings
from worker.domain import barcode
from worker.domain.errors import JobError
from worker.domain.fields import Check, Field
from worker.domain.image import PageText, TextLine
from worker.lab.synth.camera import Degradation
from worker.lab.synth.dataset import generate
from worker.lab.synth.truth import SyntheticLabel
from worker.pipeline.extract.extract import extract
from worker.pipeline.extract.numbers.catalog import NUMBER_TYPES
from worker.pipeline.extract.options import FieldOptions
from worker.pipeline.layout.reading_order import reading_order

_PAUSE_SECONDS = 5.0  # while Triton is busy

ReadPage = Callable[[SyntheticLabel], Awaitable[PageText]]


def page_of_truth(label: SyntheticLabel, *, with_barcodes: bool = True) -> PageText:
    """Return the label as a perfect reader would read it."""
    lines = []
    for line in label.lines:
        quad = np.array(line.polygon)
        dx, dy = quad[1] - quad[0]
        lines.append(TextLine(line.text, 1.0, quad, math.degrees(math.atan2(dy, dx)) % 360))
    codes = tuple(
        barcode.DecodedBarcode(
            code.format.removeprefix("GS1-"),
            code.value,
            np.array(code.polygon),
            (parsed(code.value) or ()) if code.format.startswith("GS1-") else (),
        )
        for code in label.barcodes
        if with_barcodes
    )
    return PageText(label.width, label.height, tuple(reading_order(lines)), codes)


async def measure(
    pages: ReadPage, indices: Sequence[int], seed: int, degradation: Degradation, *, verbose: bool
) -> None:
    """Print exact and false fields by type."""
    printed, exact, passed, wrong = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    spent_seconds, lines, told = 0.0, 0, 0
    for index in indices:
        label = generate(seed, index, degradation=degradation)
        page = await pages(label)
        lines += len(page.lines)
        told += sum(bool(character.alternatives) for line in page.lines for character in line.characters)
        started = time.thread_time()
        fields = extract(page, FieldOptions())
        spent_seconds += time.thread_time() - started
        truth = {(field.type.value, field.value) for field in label.fields}
        found = {(field.type, field.value) for field in fields}
        printed.update(kind for kind, _ in truth)
        exact.update(kind for kind, _ in truth & found)
        proven = [field for field in fields if field.check is Check.PASSED]
        passed.update(field.type for field in proven)
        false = [field for field in proven if (field.type, field.value) not in truth]
        wrong.update(field.type for field in false)
        if verbose:
            _show(index, label, sorted(truth - found), false, page)
    for kind in sorted(printed | passed):
        print(f"{kind:14} exact {exact[kind]:4}/{printed[kind]:<4} passed {passed[kind]:4} wrong {wrong[kind]}")
    print(f"exact {exact.total() / max(printed.total(), 1):.4f}, false {wrong.total()} of {passed.total()}")
    print(
        f"{1000 * spent_seconds / len(indices):.2f} ms of CPU for {lines / len(indices):.0f} lines, {told} alternatives"
    )


def _show(index: int, label: SyntheticLabel, missed: list[tuple[str, str]], false: list[Field], page: PageText) -> None:
    missed = [(kind, value) for kind, value in missed if kind in NUMBER_TYPES]
    if missed or false:
        print(index, label.layout, "missed", missed, "false", [(field.type, field.value) for field in false])
        print("   ", " | ".join(line.text for line in page.lines))
        print("   ", [(code.format, code.text) for code in page.barcodes])


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--degradation", choices=[kind.value for kind in Degradation], default="none")
    parser.add_argument("--url")
    parser.add_argument("--no-barcodes", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args()
    async with AsyncExitStack() as stack:
        if chosen.url is None:

            async def pages(label: SyntheticLabel) -> PageText:
                return page_of_truth(label, with_barcodes=not chosen.no_barcodes)

        else:
            base = settings.load()
            triton = base.triton.model_copy(update={"url": chosen.url, "request_timeout_seconds": 300.0})
            reader = await stack.enter_async_context(
                bootstrap.open_model_client(base.model_copy(update={"triton": triton}))
            )

            async def pages(label: SyntheticLabel) -> PageText:
                header = reader.header(label.image)
                while True:
                    try:
                        reading = await reader.process(label.image, header, timeout_seconds=300, request_id="")
                    except JobError as error:
                        print(error)
                        await asyncio.sleep(_PAUSE_SECONDS)
                    else:
                        return reading.pages[0]

        degradation = Degradation(chosen.degradation)
        await measure(pages, range(chosen.count), chosen.seed, degradation, verbose=chosen.verbose)


if __name__ == "__main__":
    asyncio.run(main())
