"""Two servers side by side: what their detectors and recognizers take to read the same pages.

Invariant: both read every page, in the order A B B A, so that a machine that grows slower or faster meanwhile favors
neither. What lies within the spread of the readings is not called a difference.
"""

import statistics
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.adapters.triton.serving import Shape
from worker.adapters.triton.statistics import ModelTimes
from worker.doctor.examine import ExaminedServer, page_seconds, read_counts, read_pages, texts, times_between
from worker.doctor.findings import ExaminedModel, Finding
from worker.doctor.golden import draw_golden_page
from worker.doctor.observed import SentRequest
from worker.domain.errors import LabelwireError
from worker.domain.manifest import ModelRole

COMPARED: Final = (ModelRole.DETECTOR, ModelRole.RECOGNIZER)
_TURNS: Final = (0, 1, 1, 0) * 2
_NAMED_SIZES: Final = 4
# A reader hands its lines on to a recognizer.
_SENT_TO: Final = {
    ModelRole.DETECTOR: {ModelRole.DETECTOR},
    ModelRole.RECOGNIZER: {ModelRole.RECOGNIZER, ModelRole.READER},
}


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of what was measured several times, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of one value or more."""
        return cls(statistics.median(values), min(values), max(values))

    def differs(self, other: "Spread") -> bool:
        """Whether the values of the one all lie on one side of those of the other."""
        return self.high < other.low or other.high < self.low


@dataclass(frozen=True, slots=True)
class PageReading:
    """One reading of a page: seconds in all stages, its lines, what was sent, and what each model did for it."""

    seconds: float
    lines: tuple[str, ...]
    sent: tuple[SentRequest, ...]
    times: Mapping[str, ModelTimes]


@dataclass(frozen=True, slots=True)
class ComparedServer:
    """One of the two servers: its models, and its readings of each page, of which every page has as many."""

    name: str
    models: tuple[ExaminedModel, ...]
    pages: tuple[tuple[PageReading, ...], ...]

    @property
    def rounds(self) -> list[tuple[PageReading, ...]]:
        """One reading of every page, as often as they were read."""
        return list(zip(*self.pages, strict=True))

    @property
    def lines(self) -> list[tuple[str, ...]]:
        """The lines of each page, as they were read last."""
        return [readings[-1].lines for readings in self.pages]

    def page(self) -> Spread:
        """Return the seconds in all stages of a page."""
        return Spread.of([sum(reading.seconds for reading in one) / len(one) for one in self.rounds])

    def of_role(self, *roles: ModelRole) -> list[ExaminedModel]:
        """Return the models of roles; where a width is a model of its own, there are several."""
        return [model for model in self.models if model.manifest.role in roles]

    def computing(self, role: ModelRole) -> Spread | None:
        """Return the seconds for which a tile or a line was computed, None if a round had none."""
        rounds = [self._times(role, one) for one in self.rounds]
        if not all(sum(times.items for times in one) for one in rounds):
            return None
        return Spread.of([sum(each.computed for each in one) / sum(each.items for each in one) for one in rounds])

    def batch(self, role: ModelRole) -> float | None:
        """Return how many tiles or lines were computed at a time, None if there were none."""
        times = [each for one in self.rounds for each in self._times(role, one)]
        executions = sum(each.executions for each in times)
        return sum(each.items for each in times) / executions if executions else None

    def shapes(self, role: ModelRole) -> set[Shape]:
        """Return the shapes of the tiles or lines that were sent."""
        names = {model.serving.model for model in self.of_role(*_SENT_TO[role])}
        every = (request for one in self.rounds for reading in one for request in reading.sent)
        return {request.shape for request in every if request.model in names}

    def devices(self, role: ModelRole) -> frozenset[str]:
        """Return what the models of a role run on."""
        return frozenset(device for model in self.of_role(role) for device in model.serving.devices)

    def precisions(self, role: ModelRole) -> frozenset[str]:
        """Return what the models of a role compute in."""
        return frozenset(model.precision for model in self.of_role(role))

    def _times(self, role: ModelRole, readings: Sequence[PageReading]) -> list[ModelTimes]:
        names = [model.serving.model for model in self.of_role(role)]
        return [reading.times[name] for reading in readings for name in names if name in reading.times]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides. `differences` say in what they are no equals, `findings` what is wrong beside that."""

    a: ComparedServer
    b: ComparedServer
    differences: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def equal_pages(self) -> int:
        """How many pages both read as the same lines."""
        return sum(one == other for one, other in zip(self.a.lines, self.b.lines, strict=True))

    def only(self, side: ComparedServer) -> list[str]:
        """Return the lines that this side read and the other did not, page by page."""
        other = self.b if side is self.a else self.a
        pages = zip(side.lines, other.lines, strict=True)
        return [line for mine, theirs in pages for line in mine if line not in theirs]


async def compare(
    servers: tuple[ExaminedServer, ExaminedServer],
    models: tuple[Sequence[ExaminedModel], Sequence[ExaminedModel]],
    pictures: Sequence[Path] = (),
    advance: Callable[[], None] = lambda: None,
) -> Comparison:
    """Read `pictures`, or the golden page if there are none, by two servers whose models were examined.

    `advance` is called after each page. Raises LabelwireError if one of them cannot read a page.
    """
    with tempfile.TemporaryDirectory() as folder:
        golden = Path(folder) / "golden.png"
        golden.write_bytes(draw_golden_page())
        read = []
        for page in pictures or (golden,):
            read.append(await _take_turns(servers, page))
            advance()
    a = ComparedServer("A", tuple(models[0]), tuple(by_a for by_a, _ in read))
    b = ComparedServer("B", tuple(models[1]), tuple(by_b for _, by_b in read))
    return Comparison(a, b, tuple(find_differences(a, b)), tuple(find_slow_gpus(a, b)))


def find_differences(a: ComparedServer, b: ComparedServer) -> Iterator[str]:
    """Yield in what two sides differ that is the same in a fair comparison."""
    for role in COMPARED:
        for what, of_a, of_b in (
            ("device", a.devices(role), b.devices(role)),
            ("precision", a.precisions(role), b.precisions(role)),
        ):
            if of_a != of_b:
                yield f"{what} of {role}: A {spelled(of_a)}, B {spelled(of_b)}"
        only_a, only_b = a.shapes(role) - b.shapes(role), b.shapes(role) - a.shapes(role)
        if only_a or only_b:
            yield f"input size of {role}: only A {sized(role, only_a)}; only B {sized(role, only_b)}"


def find_slow_gpus(a: ComparedServer, b: ComparedServer) -> Iterator[Finding]:
    """Yield a finding where a model is no faster on the GPU of one side than on the CPU of the other."""
    for gpu, cpu in ((a, b), (b, a)):
        for role in COMPARED:
            slow, fast = gpu.computing(role), cpu.computing(role)
            on_both = gpu.devices(role) == {"gpu"} and cpu.devices(role) == {"cpu"}
            if on_both and slow is not None and fast is not None and slow.median >= fast.median:
                models = gpu.of_role(role)
                yield Finding(
                    f"takes {slow.median * 1000:.1f} ms for one of its {models[0].items} on the GPU of {gpu.name}, no"
                    f" less than the {fast.median * 1000:.1f} ms on the CPU of {cpu.name}",
                    f"mend what was found on {gpu.name} first: small batches, sizes that were not warmed up, precision",
                    models=tuple(model.serving.model for model in models),
                )


def spelled(names: Collection[str]) -> str:
    """Return names in a row."""
    return " and ".join(sorted(name.upper() for name in names))


def sized(role: ModelRole, shapes: Collection[Shape]) -> str:
    """Return sizes in pixels, or "none": height x width of tiles, the width of lines."""
    named = [
        f"{height} x {width}" if role is ModelRole.DETECTOR else f"{width}" for height, width, *_ in sorted(shapes)
    ]
    more = f" and {len(named) - _NAMED_SIZES} more" if len(named) > _NAMED_SIZES else ""
    return (", ".join(named[:_NAMED_SIZES]) or "none") + more


async def _take_turns(
    servers: tuple[ExaminedServer, ExaminedServer], page: Path
) -> tuple[tuple[PageReading, ...], tuple[PageReading, ...]]:
    """Return the readings of a page by each server; the first by each, which may prepare a new size, do not count."""
    for server in servers:
        await _read(server, page)
    readings: tuple[list[PageReading], list[PageReading]] = ([], [])
    for turn in _TURNS:
        readings[turn].append(await _read(servers[turn], page))
    return tuple(readings[0]), tuple(readings[1])


async def _read(server: ExaminedServer, page: Path) -> PageReading:
    before = await read_counts(server.settings)
    [reading] = await read_pages(server.reader, [page], at_once=1)
    after = await read_counts(server.settings)
    if reading.result is None:
        raise LabelwireError(f"{server.settings.url} did not read {reading.error}")
    return PageReading(
        page_seconds(reading.result),
        tuple(texts(reading.result)),
        tuple(server.backend.take()),
        times_between(before, after),
    )
