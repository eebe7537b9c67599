"""The labels on which quality is calibrated: from clean to hopeless, by everything at once and by one thing at a time.

Invariant: a sample depends on its own figures alone, and labels that are fitted on share no seed with those that the
fit is checked on.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from PIL import Image

from worker.lab.evaluation.quality.degradation import Factor, degrade
from worker.lab.synth.camera import Degradation
from worker.lab.synth.chance import Chance
from worker.lab.synth.dataset import generate
from worker.lab.synth.truth import SyntheticLabel

FIT_SEED: Final = 5101
CHECK_SEED: Final = 6202
_QUALITY: Final = 92
_CHANCE: Final = 9

# From hardly seen to hopeless.
AMOUNTS: Final[Mapping[Factor, tuple[float, ...]]] = {
    Factor.DEFOCUS: (1.0, 1.75, 2.5, 4.0, 5.0, 6.5, 8.0),
    Factor.MOTION: (4.0, 6.0, 7.0, 9.0, 11.0, 13.0, 17.0),
    Factor.OVER_EXPOSURE: (1.5, 2.5, 3.3, 4.0, 4.5, 5.0, 5.3),
    Factor.UNDER_EXPOSURE: (0.4, 0.15, 0.07, 0.05, 0.04, 0.03, 0.02),
    Factor.CONTRAST: (0.4, 0.2, 0.1, 0.05, 0.04, 0.03, 0.02),
    Factor.NOISE: (15.0, 35.0, 60.0, 90.0, 120.0, 140.0, 160.0),
    Factor.RESOLUTION: (0.6, 0.45, 0.35, 0.25, 0.2, 0.17, 0.14),
    Factor.GLARE: (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5),
    Factor.OCCLUSION: (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5),
}


@dataclass(frozen=True, slots=True)
class CalibrationSample:
    """A label of a series as it is photographed, and what else is wrong with the picture, by which amount."""

    seed: int
    index: int
    degradation: Degradation
    factor: Factor | None = None
    amount: float = 0.0

    @property
    def fitted(self) -> bool:
        """Whether the curves are fitted to it."""
        return self.seed == FIT_SEED

    @property
    def kind(self) -> str:
        """What is wrong, in a word."""
        return self.factor or self.degradation.value


def plan(labels_each: int) -> Iterator[CalibrationSample]:
    """Name the samples: for each way of photographing and each amount of a factor `labels_each` in two series.

    One series is to fit on, the other to check.
    """
    for seed in (FIT_SEED, CHECK_SEED):
        index = 0
        for round_number in range(labels_each):
            for degradation in Degradation:
                yield CalibrationSample(seed, index, degradation)
                index += 1
            for factor, amounts in AMOUNTS.items():
                for number, amount in enumerate(amounts):
                    ground = Degradation.MILD if (number + round_number) % 3 else Degradation.STRONG
                    yield CalibrationSample(seed, index, ground, factor, amount)
                    index += 1


def picture(sample: CalibrationSample) -> tuple[bytes, SyntheticLabel]:
    """Return the picture as JPEG, and the label; polygons of the label hold for the picture before any factor."""
    label = generate(sample.seed, sample.index, degradation=sample.degradation)
    if sample.factor is None:
        return label.image, label
    pixels = np.asarray(cv2.imdecode(np.frombuffer(label.image, np.uint8), cv2.IMREAD_COLOR_RGB), dtype=np.uint8)
    spoilt = degrade(pixels, sample.factor, sample.amount, Chance(sample.seed, sample.index, _CHANCE))
    encoded = io.BytesIO()
    Image.fromarray(spoilt).save(encoded, "JPEG", quality=_QUALITY)
    return encoded.getvalue(), label
