"""What is submitted: a few dozen small labels that can be read, some jobs that cannot, and pictures that kill.

Invariant: the same seed gives the same pictures, and no two pictures have the same bytes.
"""

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from PIL import Image

from worker.domain.records import CONTENT_TYPE_HEADER, JOB_ID_HEADER, OutgoingRecord
from worker.lab.chaos.poison import PoisonKind, poisonous
from worker.lab.synth.camera import Degradation
from worker.lab.synth.dataset import generate

# The upper part of a label: some ten lines, cheap enough for a steady load on two cores.
_KEPT_HEIGHT: Final = 0.25
_QUALITY: Final = 92
_NOISE_BYTES: Final = 4096


class PictureFate(StrEnum):
    """How the job of a picture has to end."""

    GOOD = "good"
    UNDECODABLE = "undecodable"
    POISON = "poison"


@dataclass(frozen=True, slots=True)
class Picture:
    """A value of the jobs' topic."""

    name: str
    content: bytes
    content_type: str
    fate: PictureFate

    def job(self, topic: str, job_id: str) -> OutgoingRecord:
        """Return the job of reading it."""
        headers = ((CONTENT_TYPE_HEADER, self.content_type.encode()), (JOB_ID_HEADER, job_id.encode()))
        return OutgoingRecord(topic, job_id.encode(), self.content, headers)


def good_pictures(seed: int, count: int) -> list[Picture]:
    """Draw labels. Raises LabelwireError if a font package is missing."""
    drawn = [generate(seed, index, degradation=Degradation.NONE).image for index in range(count)]
    return [Picture(f"label-{n:02d}", _upper_part(one), "image/jpeg", PictureFate.GOOD) for n, one in enumerate(drawn)]


def undecodable_pictures(seed: int) -> list[Picture]:
    """Return jobs that end as dead letters each time: noise, an empty value, a job that is no JSON object."""
    noise = random.Random(seed).randbytes(_NOISE_BYTES)  # noqa: S311 - noise, no secret
    contents = {"noise": ("image/jpeg", noise), "empty": ("image/png", b""), "words": ("application/json", b"[1, 2]")}
    return [Picture(name, content, kind, PictureFate.UNDECODABLE) for name, (kind, content) in contents.items()]


def poison_pictures(good: Sequence[Picture]) -> list[Picture]:
    """Return one picture for each way to kill its reader."""
    return [
        Picture(
            f"poison-{kind.name.lower()}", poisonous(picture.content, kind), picture.content_type, PictureFate.POISON
        )
        for kind, picture in zip(PoisonKind, good, strict=False)
    ]


def _upper_part(encoded: bytes) -> bytes:
    with Image.open(io.BytesIO(encoded)) as whole:
        part = whole.crop((0, 0, whole.width, round(whole.height * _KEPT_HEIGHT)))
    written = io.BytesIO()
    part.save(written, "JPEG", quality=_QUALITY)
    return written.getvalue()
