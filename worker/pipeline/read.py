"""Line crops to text, on the server, and which way up the page stands.

Invariant: no request is empty or holds more lines than its model takes, and what a line reads as does not depend on the
lines beside it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import LineCrop
from worker.pipeline.inference import PageRequests, together
from worker.pipeline.models import CONFIDENCE, LINE, TOKEN, UPSIDE_DOWN, ModelSet, ServedModel
from worker.pipeline.options import PipelineOptions
from worker.ports import Tensor

_HALF = 0.5


@dataclass(frozen=True, slots=True)
class ReadLine:
    """What one crop reads as. `upside_down` is the probability, or the vote, that it was read turned by 180°."""

    crop: LineCrop
    text: str
    confidence: float
    upside_down: float


class LineReader:
    """Reads the lines of one page."""

    def __init__(self, models: ModelSet, requests: PageRequests, options: PipelineOptions) -> None:
        self._models = models
        self._requests = requests
        self._options = options

    async def read(self, crops: Sequence[LineCrop]) -> list[ReadLine]:
        """Return every crop's text, in the order of the crops.

        The longest lines are classified and read; by their vote the others are read, and those again that the vote
        contradicts. Lines that run along the page and lines that run down vote apart.
        """
        lines: dict[int, ReadLine] = {}
        for runs_down in (False, True):
            members = [index for index, crop in enumerate(crops) if _runs_down(crop) is runs_down]
            lines.update(await self._read_alike(crops, members))
        return [lines[index] for index in range(len(crops))]

    async def _read_alike(self, crops: Sequence[LineCrop], members: Sequence[int]) -> dict[int, ReadLine]:
        sample = sorted(members, key=lambda index: -crops[index].content_width)[: self._options.vote_lines]
        lines = await self._classify_and_read(crops, sample)
        vote = float(np.mean([line.upside_down for line in lines.values()]) > _HALF) if lines else 0.0
        agreeing = {index: line for index, line in lines.items() if (line.upside_down > _HALF) == (vote > _HALF)}
        rest = [index for index in members if index not in agreeing]
        return agreeing | await self._read_turned(crops, rest, vote)

    async def _classify_and_read(self, crops: Sequence[LineCrop], members: Sequence[int]) -> dict[int, ReadLine]:
        chunks = self._chunks(crops, members, self._models.readers)
        read = await together(self._ask_reader(model, [crops[i] for i in chunk]) for model, chunk in chunks)
        return _by_member(chunks, read)

    async def _read_turned(self, crops: Sequence[LineCrop], members: Sequence[int], vote: float) -> dict[int, ReadLine]:
        chunks = self._chunks(crops, members, self._models.recognizers)
        read = await together(self._ask_recognizer(model, [crops[i] for i in chunk], vote) for model, chunk in chunks)
        return _by_member(chunks, read)

    async def _ask_reader(self, model: ServedModel, crops: Sequence[LineCrop]) -> list[ReadLine]:
        # Triton fails if an ensemble's output that is also an edge inside it is not asked for: ask for all.
        outputs = await self._requests.infer(model.name, {LINE: _batch(crops)}, [TOKEN, CONFIDENCE, UPSIDE_DOWN])
        return self._decode(model, crops, outputs, outputs[UPSIDE_DOWN].astype(np.float32, copy=False))

    async def _ask_recognizer(self, model: ServedModel, crops: Sequence[LineCrop], vote: float) -> list[ReadLine]:
        upside_down = np.full((len(crops), 1), vote, dtype=np.float32)
        inputs: Mapping[str, Tensor] = {LINE: _batch(crops), UPSIDE_DOWN: upside_down}
        outputs = await self._requests.infer(model.name, inputs, [TOKEN, CONFIDENCE])
        return self._decode(model, crops, outputs, upside_down)

    def _decode(
        self,
        model: ServedModel,
        crops: Sequence[LineCrop],
        outputs: Mapping[str, Tensor],
        upside_down: NDArray[np.float32],
    ) -> list[ReadLine]:
        tokens = outputs[TOKEN].astype(np.int32, copy=False)
        confidences = outputs[CONFIDENCE].astype(np.float32, copy=False)
        _check_steps(model, tokens, confidences, len(crops), len(self._models.dictionary))
        decoded = decode_ctc(tokens[..., 0], confidences[..., 0], self._models.dictionary)
        return [
            ReadLine(crop, text, confidence, float(side))
            for crop, (text, confidence), side in zip(crops, decoded, upside_down[:, 0], strict=True)
        ]

    def _chunks(
        self, crops: Sequence[LineCrop], members: Sequence[int], models: Mapping[int, ServedModel]
    ) -> list[tuple[ServedModel, list[int]]]:
        """Group by bucket, and cut each group to what one request may hold."""
        by_bucket: dict[int, list[int]] = defaultdict(list)
        for index in members:
            by_bucket[crops[index].bucket].append(index)
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


def decode_ctc(
    tokens: NDArray[np.int32], confidences: NDArray[np.float32], dictionary: Sequence[str]
) -> list[tuple[str, float]]:
    """Return the text and mean confidence of each line, by best-path decoding (Graves et al., ICML 2006).

    `tokens` and `confidences` are [n, T]; a token that repeats its predecessor, or is the blank 0, counts for nothing.
    A line of blanks is ("", 0.0).
    """
    kept = tokens != 0
    kept[:, 1:] &= tokens[:, 1:] != tokens[:, :-1]
    counts = kept.sum(axis=1)
    means = np.where(kept, confidences, 0).sum(axis=1) / np.maximum(counts, 1)
    texts = ("".join([dictionary[token] for token in row[keep]]) for row, keep in zip(tokens, kept, strict=True))
    return list(zip(texts, means.tolist(), strict=True))


def _runs_down(crop: LineCrop) -> bool:
    dx, dy = crop.region.quad[1] - crop.region.quad[0]
    return bool(abs(dy) > abs(dx))


def _batch(crops: Sequence[LineCrop]) -> NDArray[np.uint8]:
    return np.stack([crop.pixels for crop in crops])


def _by_member(chunks: Sequence[tuple[ServedModel, list[int]]], read: Sequence[list[ReadLine]]) -> dict[int, ReadLine]:
    return {
        index: line
        for (_, chunk), lines in zip(chunks, read, strict=True)
        for index, line in zip(chunk, lines, strict=True)
    }


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
