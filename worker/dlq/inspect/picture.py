"""The picture of a dead letter, decoded as the worker decodes it.

Invariant: the limits are checked before any pixel is decoded, and a picture that crashed workers is not decoded here.
"""

from typing import Final

import cv2

from worker.dlq.letter import DeadLetter
from worker.dlq.payload import OriginalJob
from worker.domain.content import Content, content_of
from worker.domain.errors import ErrorCode, JobError, LabelwireError
from worker.domain.job import parse_job
from worker.domain.records import Record
from worker.pipeline.decode.encoded import EncodedPage
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

LONG_SIDE_PIXELS: Final = 2000


def draw_picture(letter: DeadLetter, job: OriginalJob, limits: ImageLimits) -> bytes:
    """Return the picture as PNG, upright, scaled down to a long side of `LONG_SIDE_PIXELS` if it is larger.

    Raises LabelwireError where it cannot be decoded, with the decoder's reason.
    """
    if letter.code == str(ErrorCode.POISON):
        raise LabelwireError(
            "The picture crashed the workers that decoded it, so it is not decoded here; save its bytes with --save."
        )
    try:
        encoded = _encoded(letter, job)
        page = EncodedPage(encoded, read_header(encoded, limits), 0).reduced(LONG_SIDE_PIXELS)
    except JobError as error:
        raise LabelwireError(f"The picture of {letter.record.coordinate} cannot be drawn: {error}") from error
    written, png = cv2.imencode(".png", page.pixels)
    if not written:
        raise LabelwireError(f"The picture of {page.width} x {page.height} pixels cannot be written as PNG.")
    return png.tobytes()


def _encoded(letter: DeadLetter, job: OriginalJob) -> bytes:
    """Return the encoded picture. A job that is no JSON is taken for one, also where its header does not say so."""
    record = Record(letter.record.coordinate, job.key, job.value, job.headers, letter.record.timestamp_ms)
    if content_of(record) is not Content.JSON:
        return job.value or b""
    parsed = parse_job(record)
    if parsed.uri is not None:
        raise LabelwireError(f"The picture of {letter.record.coordinate} is at {parsed.uri}; fetch it from there.")
    return parsed.picture
