"""The process that draws PDF: what a document does to it is the document's own affair."""

import os
import signal
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.pictures import HEIGHT, WIDTH, pdf
from worker.domain.errors import ErrorCode, JobError
from worker.pipeline.pdf.child import PdfAnswer, PdfRequest
from worker.pipeline.pdf.process import PdfProcess

SIZE = (WIDTH, HEIGHT)


@pytest.fixture
def process() -> Iterator[PdfProcess]:
    started = PdfProcess()
    yield started
    started.close()


def drawn(process: PdfProcess, data: bytes, seconds: float = 20.0) -> bytes:
    answer, pixels = process.ask(PdfRequest.PIXELS, 0, SIZE, seconds, data)
    assert answer is PdfAnswer.DONE
    return bytes(pixels)


def packed(content: bytes) -> bytes:
    """A document whose page unpacks to `content`."""
    stream = zlib.compress(content)
    return pdf(drawing=stream).replace(b"<< /Length", b"<< /Filter /FlateDecode /Length")


def test_a_document_that_takes_too_long_is_refused_and_the_next_one_drawn(process: PdfProcess) -> None:
    whole = drawn(process, pdf())
    first = process.process_id
    with pytest.raises(JobError, match=r"over 0\.1 seconds") as caught:
        drawn(process, packed(b"0 0 m 20 15 l S " * 200_000), seconds=0.1)
    assert caught.value.code is ErrorCode.IMAGE_UNSUPPORTED
    assert drawn(process, pdf()) == whole
    assert process.process_id != first


def test_a_document_that_takes_too_much_memory_is_refused(process: PdfProcess) -> None:
    with pytest.raises(JobError, match="too much memory") as caught:
        drawn(process, packed(b"0 0 m 20 15 l S " * 3_000_000))
    assert caught.value.code is ErrorCode.IMAGE_UNSUPPORTED
    assert np.frombuffer(drawn(process, pdf()), np.uint8).size == WIDTH * HEIGHT * 3


def test_a_process_that_the_system_ended_says_nothing_about_the_document(process: PdfProcess) -> None:
    drawn(process, pdf())
    assert process.process_id is not None
    os.kill(process.process_id, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(drawn, process, pdf())
        time.sleep(0.2)  # until it waits for the answer
        os.kill(process.process_id, signal.SIGKILL)
        with pytest.raises(MemoryError):
            asked.result()
    assert len(drawn(process, pdf())) == WIDTH * HEIGHT * 3


def test_a_process_that_gets_no_time_condemns_neither_the_document_nor_this_process() -> None:
    process = PdfProcess(silent_seconds=0.2)
    drawn(process, pdf())
    assert process.process_id is not None
    os.kill(process.process_id, signal.SIGSTOP)
    with pytest.raises(JobError) as caught:
        drawn(process, pdf(), seconds=0.1)
    assert caught.value.code is ErrorCode.ATTEMPT_TIMED_OUT
    assert len(drawn(process, pdf())) == WIDTH * HEIGHT * 3
    process.close()


def test_the_process_knows_nothing_of_the_workers_credentials(
    process: PdfProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    drawn(process, pdf())
    assert b"hush" not in Path(f"/proc/{process.process_id}/environ").read_bytes()


@pytest.mark.parametrize("subtype", [b"Widget", b"Stamp"])
def test_what_was_filled_into_a_form_or_stamped_is_drawn(process: PdfProcess, subtype: bytes) -> None:
    assert max(drawn(process, form(subtype))) == 0


def form(subtype: bytes) -> bytes:
    """A document with an empty page, all of which is covered by an annotation that is black."""
    mark = b"<< /Type /Annot /Subtype /%s /FT /Tx /T (a) /Rect [0 0 23.04 17.28] /F 4 /AP << /N 3 0 R >> >>" % subtype
    look = b"<< /Type /XObject /Subtype /Form /BBox [0 0 24 18] /Length"
    return (
        pdf(drawing=b"0 g 0 0 24 18 re f")
        .replace(b"/Type /Catalog", b"/Type /Catalog /AcroForm << /Fields [%s] >>" % mark)
        .replace(b"/Contents 3 0 R", b"/Annots [%s]" % mark)
        .replace(b"<< /Length", look)
    )


def test_a_process_that_does_not_become_ready_says_nothing_about_the_document(tmp_path: Path) -> None:
    program = tmp_path / "child.py"
    program.write_text("raise SystemExit(3)")
    with pytest.raises(JobError, match=r"exit status 3\)") as caught:
        drawn(PdfProcess(program=program), pdf())
    assert caught.value.code is ErrorCode.RESOURCES_EXHAUSTED


def test_many_threads_ask_in_turn(process: PdfProcess) -> None:
    documents = [pdf(drawing=b"%f g 0 0 50 50 re f" % (level / 8)) for level in range(8)]
    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(lambda document: drawn(process, document), documents * 2))
    assert [page[0] for page in pages] == [page[0] for page in pages[:8]] * 2
    assert len({page[0] for page in pages}) == 8


def test_nothing_is_started_before_it_is_asked_for_and_nothing_is_left() -> None:
    process = PdfProcess()
    assert process.process_id is None
    drawn(process, pdf())
    started = process.process_id
    assert started is not None
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(started, 0)
