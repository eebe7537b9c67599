"""Line crops to text, on the server, and which way up the lines stand.

Invariant: no request is empty or holds more lines than its model takes, and what a line reads as does not depend on the
lines beside it. Whichever way up a line stands, the recognizer is sent it upright and padded on the right.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import Character, LineCrop, Pixels, TextRegion
from worker.pipeline.inference import PageRequests, gather_results
from worker.pipeline.models import CONFIDENCE, LINE, TOKEN, UPSIDE_DOWN, ModelSet, ServedModel
from worker.pipeline.options import PipelineOptions
from worker.pipeline.recognize.crop import rotated_180
from worker.pipeline.recognize.ctc import Spelling, decode_ctc, join_steps
from worker.pipeline.recognize.join import LinePiece, join_pieces
from worker.pipeline.recognize.upside_down import Flags, LinePositions, certain, decide, log_odds, sample, spread
from worker.ports import Tensor

CLASSIFIED_HEIGHTS: Final = 4  # of a line's beginning, in line heights: what PP-OCR's classifier was trained on
_CLASSIFIED_AT_ONCE: Final = 8
_DOUBTFUL_BELOW: Final = 0.8  # read so, a line of some length may stand upside down: 98 % of those do, 1 % of others
_TEXT_FROM: Final = 0.7
_PROBED_LINES: Final = 4
_TURNED_ABOVE: Final = 0.5  # by a recognizer's graph
_ROUNDING: Final = 0.01  # of a sum of probabilities in FP16 or TF32
_EVEN: Final = 0.5  # a confidence that speaks neither for a reading nor against it


_Answer = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]
"""Tokens and confidences [n, T, K] of the lines of a request, and how probably each is upside down [n]."""


@dataclass(frozen=True, slots=True)
class ReadLine:
    """What one region reads as. `upside_down` says whether the text stands on its head against the region."""

    region: TextRegion
    text: str
    confidence: float
    upside_down: bool
    characters: tuple[Character, ...] = ()


@dataclass(frozen=True, slots=True)
class _PageLines:
    """The lines of a page, each of one crop or of several pieces, and where they lie."""

    pieces: Sequence[Sequence[LineCrop]]
    positions: LinePositions

    @property
    def axes(self) -> list[Flags]:
        """Which lines run along the page, and which down, unless there are none."""
        return [axis for axis in (~self.positions.runs_down, self.positions.runs_down) if axis.any()]


class LineReader:
    """Reads the lines of one page."""

    def __init__(self, models: ModelSet, requests: PageRequests, options: PipelineOptions) -> None:
        self._models = models
        self._requests = requests
        self._options = options

    async def read(self, crops: Sequence[LineCrop]) -> list[ReadLine]:
        """Return what every region reads as, in the order of their crops; a region's crops follow one another.

        A few lines from all over the page are classified. If they agree, all lines are read as they say, else more are
        classified, and each line is decided by its neighborhood. Lines that then read badly are tried upside down.
        Where the server has readers, the first lines are read as they are classified, and the others with them.
        """
        lines = _lines_of(crops)
        if not lines:
            return []
        page = _PageLines(lines, LinePositions.of([pieces[0].region.quad for pieces in lines]))
        sampled = sample(page.positions, self._options.vote_lines)
        if self._models.readers:
            sides, read = await self._classify_and_read(page, sampled)
        else:
            sides, read = await self._classify(page, sampled), dict[int, ReadLine]()
        upside_down = await self._vote(page, dict(zip(sampled, log_odds(sides), strict=True)))
        left = [index for index in range(len(lines)) if index not in read or upside_down[index]]
        read.update(zip(left, await self._read(page, left, upside_down[left]), strict=True))
        await self._try_doubtful(page, read)
        return [read[index] for index in range(len(lines))]

    async def _vote(self, page: _PageLines, sampled: Mapping[int, float]) -> Flags:
        """Return which lines stand upside down by the classifier; `sampled` are the first lines' log-odds."""
        evidence = np.zeros(len(page.pieces))
        evidence[list(sampled)] = list(sampled.values())
        doubted = [axis & page.positions.telling for axis in page.axes if not certain(evidence[axis])]
        more = [int(index) for axis in doubted for index in np.flatnonzero(axis) if index not in sampled]
        if more:
            evidence[more] = log_odds(await self._classify(page, more))
        sides = [(axis, evidence[axis].sum() > 0) for axis in page.axes if certain(evidence[axis])]
        # Where each axis is of one mind, as of most pages, no line needs its neighbors' word.
        decided = len(sides) == len(page.axes)
        upside_down = np.zeros(len(page.pieces), dtype=np.bool_) if decided else decide(page.positions, evidence)
        for axis, side in sides:
            upside_down[axis] = side
        return upside_down

    async def _try_doubtful(self, page: _PageLines, read: dict[int, ReadLine]) -> None:
        """Read lines that read badly the other way up, and those too short to tell as their neighbors then stand.

        A few come first, from all over the page; if none of them reads better, the page is only hard to read.
        """
        doubtful = [index for index in np.flatnonzero(page.positions.telling).tolist() if _is_doubtful(read[index])]
        probes = spread(page.positions, np.array(doubtful, dtype=np.intp), _PROBED_LINES)
        if not await self._try_turned(page, read, probes):
            return
        await self._try_turned(page, read, [index for index in doubtful if index not in probes])
        sides = np.array([read[index].upside_down for index in range(len(page.pieces))])
        evidence = np.where(page.positions.telling, np.where(sides, 1.0, -1.0), 0.0)
        decided = decide(page.positions, evidence)
        short = np.flatnonzero(~page.positions.telling & (decided != sides)).tolist()
        read.update(zip(short, await self._read(page, short, decided[short]), strict=True))

    async def _try_turned(self, page: _PageLines, read: dict[int, ReadLine], members: Sequence[int]) -> bool:
        """Read lines the other way up, keep what reads better, and say whether any does."""
        other_way = [not read[index].upside_down for index in members]
        found = zip(members, await self._read(page, members, other_way), strict=True)
        better = {index: line for index, line in found if _is_better(line, read[index])}
        read.update(better)
        return bool(better)

    async def _classify(self, page: _PageLines, members: Sequence[int]) -> list[float]:
        """Return the probability that each line stands upside down, by its beginning."""
        model, width = self._models.orientation, CLASSIFIED_HEIGHTS * self._models.line.height
        chunks = list(cut_to_chunks(members, min(model.max_batch_size, _CLASSIFIED_AT_ONCE)))
        beginnings = [
            np.stack([_beginning(page.pieces[index][0], width, self._models.line.pad_value) for index in chunk])
            for chunk in chunks
        ]
        answers = await gather_results(
            self._requests.infer(model, {LINE: batch}, [UPSIDE_DOWN]) for batch in beginnings
        )
        return [float(side) for answer in answers for side in _probabilities(model, answer[UPSIDE_DOWN])[:, 0]]

    async def _classify_and_read(
        self, page: _PageLines, sampled: Sequence[int]
    ) -> tuple[list[float], dict[int, ReadLine]]:
        """Return the probability that each sampled line stands upside down, and what the lines of the page read as.

        All in one round trip: the others are read as if they stood upright. A sampled line that the server turned is
        left out, because it was padded on the left then.
        """
        first_crops = [page.pieces[index][0] for index in sampled]
        is_sampled = set(sampled)
        others = [piece for index, pieces in enumerate(page.pieces) for piece in pieces[index in is_sampled :]]
        of_first, of_others = await gather_results(
            [self._spell(first_crops, self._models.readers), self._spell(others, self._models.recognizers)]
        )
        firsts = dict(zip(sampled, of_first, strict=True))
        rest = iter(of_others)
        read = {}
        for index, pieces in enumerate(page.pieces):
            first = [firsts[index]] if index in firsts else []
            found = [*first, *itertools.islice(rest, len(pieces) - len(first))]
            if not any(side > _TURNED_ABOVE for _, side in first):
                spellings = [spelling for spelling, _ in found]
                read[index] = _as_line(pieces, spellings, self._models.line.height, upside_down=False)
        return [side for _, side in of_first], read

    async def _read(
        self, page: _PageLines, members: Sequence[int], upside_down: Sequence[bool] | Flags
    ) -> list[ReadLine]:
        """Read some lines of the page, each as its flag says that it stands."""
        pad_value = self._models.line.pad_value
        lines = [
            [rotated_180(piece, pad_value) for piece in reversed(page.pieces[index])] if turn else page.pieces[index]
            for index, turn in zip(members, upside_down, strict=True)
        ]
        crops = [piece for pieces in lines for piece in pieces]
        spellings = iter([spelling for spelling, _ in await self._spell(crops, self._models.recognizers)])
        return [
            _as_line(pieces, list(itertools.islice(spellings, len(pieces))), self._models.line.height, bool(turn))
            for pieces, turn in zip(lines, upside_down, strict=True)
        ]

    async def _spell(
        self, crops: Sequence[LineCrop], models: Mapping[int, ServedModel]
    ) -> list[tuple[Spelling, float]]:
        """Return what each crop reads as by the model of its bucket, and with which probability it is upside down.

        That is 0 where the models are recognizers, which are sent upright lines.
        """
        if not crops:
            return []
        chunks = self._chunks(crops, models)
        answers = await gather_results(self._ask(model, [crops[index] for index in chunk]) for model, chunk in chunks)
        members = [index for _, chunk in chunks for index in chunk]
        content_steps = np.array([crops[index].content_width for index in members]) / self._models.line.stride
        tokens = join_steps([tokens for tokens, *_ in answers])
        confidences = join_steps([confidences for _, confidences, _ in answers])
        spellings = decode_ctc(tokens, confidences, self._models.dictionary, content_steps)
        sides = [float(side) for *_, answered in answers for side in answered]
        spelled = dict(zip(members, zip(spellings, sides, strict=True), strict=True))
        return [spelled[index] for index in range(len(crops))]

    async def _ask(self, model: ServedModel, crops: Sequence[LineCrop]) -> _Answer:
        lines: Tensor = np.concatenate([crop.pixels for crop in crops]).reshape(len(crops), *crops[0].pixels.shape)
        upright: Tensor = np.zeros((len(crops), 1), dtype=np.float32)
        if model in self._models.readers.values():
            # All outputs: Triton does not answer who leaves out one that stands between two steps of an ensemble.
            outputs = await self._requests.infer(model, {LINE: lines}, [TOKEN, CONFIDENCE, UPSIDE_DOWN])
        else:
            outputs = await self._requests.infer(model, {LINE: lines, UPSIDE_DOWN: upright}, [TOKEN, CONFIDENCE])
        tokens = outputs[TOKEN].astype(np.int32, copy=False)
        confidences = _probabilities(model, outputs[CONFIDENCE])
        _check_steps(model, tokens, confidences, len(crops), len(self._models.dictionary))
        return tokens, confidences, _probabilities(model, outputs.get(UPSIDE_DOWN, upright))[:, 0]

    def _chunks(
        self, crops: Sequence[LineCrop], models: Mapping[int, ServedModel]
    ) -> list[tuple[ServedModel, list[int]]]:
        """Group by bucket, and cut each group to what one request may hold."""
        by_bucket: dict[int, list[int]] = defaultdict(list)
        for index, crop in enumerate(crops):
            by_bucket[crop.bucket].append(index)
        return [
            (models[bucket], chunk)
            for bucket, group in sorted(by_bucket.items())
            for chunk in cut_to_chunks(group, min(models[bucket].max_batch_size, self._options.max_lines_per_request))
        ]


def cut_to_chunks(members: Sequence[int], largest: int) -> Iterator[list[int]]:
    """Cut into chunks of at most `largest`, of sizes that differ by one at most; none is empty."""
    count = -(-len(members) // largest)
    for chunk in range(count):
        yield list(members[len(members) * chunk // count : len(members) * (chunk + 1) // count])


def _lines_of(crops: Sequence[LineCrop]) -> list[list[LineCrop]]:
    """Group crops by line: each begins with the piece that shows its start."""
    lines: list[list[LineCrop]] = []
    for crop in crops:
        if not crop.span[0]:
            lines.append([])
        lines[-1].append(crop)
    return lines


def _as_line(
    pieces: Sequence[LineCrop],
    spellings: Sequence[Spelling],
    height: int,
    upside_down: bool,  # noqa: FBT001
) -> ReadLine:
    """Put the pieces of a line together."""
    spelling = spellings[0]
    if len(pieces) > 1:
        start, stop = pieces[0].span
        joined = [LinePiece(found, piece.span) for piece, found in zip(pieces, spellings, strict=True)]
        spelling = join_pieces(joined, height / pieces[0].content_width * (stop - start))
    return ReadLine(pieces[0].region, spelling.text, spelling.confidence, upside_down, spelling.characters)


def _beginning(crop: LineCrop, width: int, pad_value: int) -> Pixels:
    beginning = np.full((len(crop.pixels), width, 3), pad_value, dtype=np.uint8)
    shown = min(width, crop.content_width)
    beginning[:, :shown] = crop.pixels[:, :shown]
    return beginning


def _is_doubtful(line: ReadLine) -> bool:
    return line.confidence < _DOUBTFUL_BELOW or line.text.isspace()


def _is_better(line: ReadLine, other: ReadLine) -> bool:
    """Say whether a line reads better the other way up, and well enough that it is text at all."""
    return line.confidence >= _TEXT_FROM and _evidence(line) > _evidence(other)


def _evidence(line: ReadLine) -> float:
    """Return how much speaks for a reading: print on its head reads as fewer characters, and less sure ones."""
    return sum([character.confidence - _EVEN for character in line.characters if not character.text.isspace()])


def _probabilities(model: ServedModel, values: Tensor) -> NDArray[np.float32]:
    """Return probabilities FP32, of the same shape; what rounding added to them is cut off.

    Raises JobError INFERENCE_FAILED for what is none: a model that overflows answers with NaN, and lines without a
    confidence would be left out as if nothing stood there.
    """
    if values.size and not (values.min() > -_ROUNDING and values.max() < 1 + _ROUNDING):  # not so for NaN either
        raise JobError(
            ErrorCode.INFERENCE_FAILED,
            f"{model.name} answered with {values.min():g} to {values.max():g} where probabilities belong: if it "
            "computes in FP16 or INT8, build it in FP32.",
        )
    return np.clip(values, 0, 1).astype(np.float32, copy=False)


def _check_steps(
    model: ServedModel, tokens: NDArray[np.int32], confidences: NDArray[np.float32], lines: int, classes: int
) -> None:
    if tokens.ndim != 3 or tokens.shape != confidences.shape or tokens.shape[0] != lines:  # noqa: PLR2004 - [n, T, K]
        raise JobError(
            ErrorCode.INFERENCE_FAILED,
            f"{model.name} answered {lines} lines with tokens {tokens.shape} and confidences {confidences.shape}.",
        )
    if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < classes:
        raise JobError(
            ErrorCode.INFERENCE_FAILED,
            f"{model.name} answered with a token outside its dictionary of {classes}: was it replaced while serving?",
        )
