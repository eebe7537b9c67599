"""A process that draws one large picture in every way that there is, and prints how many bytes that took."""

import sys
import tempfile
from pathlib import Path

from tests.dlq.letters import job, standing, written
from tests.pipeline.strips_child import status_bytes
from worker.dlq.inspect.picture import draw_picture
from worker.dlq.letter import DeadLetter
from worker.dlq.payload import original_job
from worker.domain.errors import ErrorCode
from worker.domain.result import Page
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits
from worker.reporting.drawings import draw_pages
from worker.reporting.picture import figure


def _draw(picture: bytes) -> None:
    limits = ImageLimits()
    letter = DeadLetter.of(standing(written(job(1, picture), code=ErrorCode.DEADLINE_EXCEEDED), 5))
    header = read_header(picture, limits)
    width, height = header.pages[0].upright_size
    with tempfile.TemporaryDirectory() as folder:
        draw_pages(picture, header, [Page(width=width, height=height)], [()], Path(folder, "page"))
    draw_picture(letter, original_job(letter, lambda _: None), limits)
    if figure(picture).uri is None:
        raise AssertionError(width)


if __name__ == "__main__":
    encoded = Path(sys.argv[1]).read_bytes()
    before = status_bytes("VmRSS")
    _draw(encoded)
    print(status_bytes("VmHWM") - before)  # noqa: T201
