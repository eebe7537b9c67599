"""Readings of model sets as they are judged, without models."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from worker.lab.acceptance.candidate import AcceptanceCandidate, Engine
from worker.lab.acceptance.reading import SetReading
from worker.lab.evaluation.answers import Refusal
from worker.lab.evaluation.dataset import Dataset, Sample
from worker.lab.evaluation.run import SystemReading
from worker.lab.evaluation.scores import Counts
from worker.lab.evaluation.transcript import Transcript, line

BOX = [(2.0, 2.0), (60.0, 2.0), (60.0, 12.0), (2.0, 12.0)]
FAIR = Counts(
    words_true=1000,
    words_read=1000,
    words_right=900,
    lines_true=1000,
    lines_read=1000,
    lines_found=950,
    lines_right=900,
    characters_true=1000,
    character_edits=50,
)


def dataset(pictures: int) -> Dataset:
    """A set whose truth is one line a picture; the pictures are nowhere."""
    truth = Transcript((line(" ".join(["WORD"] * 300), BOX),))
    samples = [Sample(f"{number}.png", Path(f"{number}.png"), "0" * 64, truth) for number in range(pictures)]
    return Dataset("receipts", tuple(samples))


def reading(
    letter: str,
    counts: Sequence[Counts],
    stages_ms: Sequence[Mapping[str, float]] | None = None,
    refused: Sequence[int] = (),
) -> SetReading:
    """What a model set read: `counts` of each picture, of which those with the numbers `refused` were refused."""
    texts = tuple(Transcript() for _ in counts)
    refusals = tuple(
        Refusal(f"{number}.png", "IMAGE_QUALITY_POOR", "It is dark.") if number in refused else None
        for number in range(len(counts))
    )
    return SetReading(
        AcceptanceCandidate(letter, Path(f"build/{letter}"), Engine.IN_PROCESS),
        {},
        SystemReading(letter.lower(), letter, texts, tuple(0.0 for _ in counts), tuple(counts)),
        tuple(counts),
        tuple(stages_ms or [{"detect": 10.0} for _ in counts]),
        refusals,
    )
