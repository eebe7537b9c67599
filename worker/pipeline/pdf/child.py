"""The process that PDFium lives in: a program of its own, which knows nothing of the rest.

A document may hold a program for drawing that never ends, or a stream that unpacks to anything: there is no limit in
PDFium to ask before. So this process has one of memory, and of the processor's time for each answer; whoever breaks
one ends with it. Requests come on standard input, answers go to standard output, until the input ends.
"""

import ctypes
import resource
import signal
import struct
import sys
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO, Final

REQUEST: Final = struct.Struct(">BIIIdQ")  # kind, page or most pages, width, height, seconds, bytes of the document
ANSWER: Final = struct.Struct(">BQ")  # kind, bytes that follow
SIZE: Final = struct.Struct(">2d")  # of a page, in points
READY: Final = b"!"  # said once, before the first request is read
MEMORY_BYTES: Final = 512 * 1024 * 1024


class PdfRequest(IntEnum):
    """What is asked for: the sizes of all pages, or the pixels of one."""

    SIZES = 0
    PIXELS = 1


class PdfAnswer(IntEnum):
    """What comes back: sizes or BGR pixels, or why not."""

    DONE = 0
    DAMAGED = 1
    LOCKED = 2
    TOO_MANY_PAGES = 3


def main() -> None:
    """PdfAnswer requests until there are no more."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415 - whoever starts this process needs only its words

    pdfium.FPDF_InitLibrary()
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, held + MEMORY_BYTES))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(READY)
    answers.flush()
    while head := requests.read(REQUEST.size):
        kind, number, width, height, seconds, size_bytes = REQUEST.unpack(head)
        data = requests.read(size_bytes)
        signal.setitimer(signal.ITIMER_PROF, seconds)  # its signal ends the process
        answer, found = _answer(pdfium, data, PdfRequest(kind), number, (width, height))
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(answers, answer, found)


def _write(answers: BinaryIO, answer: PdfAnswer, found: bytes | bytearray) -> None:
    answers.write(ANSWER.pack(answer, len(found)))
    answers.write(found)
    answers.flush()


def _answer(
    pdfium: Any,  # noqa: ANN401 - bindings without types
    data: bytes,
    kind: PdfRequest,
    number: int,
    size: tuple[int, int],
) -> tuple[PdfAnswer, bytes | bytearray]:
    document = pdfium.FPDF_LoadMemDocument64(data, len(data), None)
    if not document:
        locked = pdfium.FPDF_GetLastError() in {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}
        return (PdfAnswer.LOCKED if locked else PdfAnswer.DAMAGED), b""
    try:
        return (
            _sizes(pdfium, document, number) if kind is PdfRequest.SIZES else _pixels(pdfium, document, number, *size)
        )
    finally:
        pdfium.FPDF_CloseDocument(document)


def _sizes(pdfium: Any, document: Any, most: int) -> tuple[PdfAnswer, bytes]:  # noqa: ANN401
    count = pdfium.FPDF_GetPageCount(document)
    if count > most:
        return PdfAnswer.TOO_MANY_PAGES, b""
    sizes = b""
    for number in range(count):
        size = pdfium.FS_SIZEF()
        if not pdfium.FPDF_GetPageSizeByIndexF(document, number, size):
            return PdfAnswer.DAMAGED, b""
        sizes += SIZE.pack(size.width, size.height)
    return (PdfAnswer.DONE if count > 0 else PdfAnswer.DAMAGED), sizes


def _pixels(
    pdfium: Any,  # noqa: ANN401
    document: Any,  # noqa: ANN401
    number: int,
    width: int,
    height: int,
) -> tuple[PdfAnswer, bytes | bytearray]:
    page = pdfium.FPDF_LoadPage(document, number)
    if not page:
        return PdfAnswer.DAMAGED, b""
    pixels = bytearray(width * height * 3)
    start = (ctypes.c_char * len(pixels)).from_buffer(pixels)
    bitmap = pdfium.FPDFBitmap_CreateEx(width, height, pdfium.FPDFBitmap_BGR, start, width * 3)
    try:
        pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, 0xFFFFFFFF)
        pdfium.FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, height, 0, pdfium.FPDF_ANNOT)
        _draw_form(pdfium, document, page, bitmap, (width, height))
    finally:
        pdfium.FPDFBitmap_Destroy(bitmap)
        pdfium.FPDF_ClosePage(page)
    return PdfAnswer.DONE, pixels


def _draw_form(pdfium: Any, document: Any, page: Any, bitmap: Any, size: tuple[int, int]) -> None:  # noqa: ANN401
    """Draw what was filled into a form, which PDFium takes for no part of the page. No script is run."""
    if pdfium.FPDF_GetFormType(document) == pdfium.FORMTYPE_NONE:
        return
    surroundings = pdfium.FPDF_FORMFILLINFO(version=2)
    form = pdfium.FPDFDOC_InitFormFillEnvironment(document, surroundings)
    if not form:
        return
    try:
        pdfium.FPDF_SetFormFieldHighlightAlpha(form, 0)
        pdfium.FORM_OnAfterLoadPage(page, form)
        pdfium.FPDF_FFLDraw(form, bitmap, page, 0, 0, *size, 0, pdfium.FPDF_ANNOT)
        pdfium.FORM_OnBeforeClosePage(page, form)
    finally:
        pdfium.FPDFDOC_ExitFormFillEnvironment(form)


if __name__ == "__main__":
    main()
