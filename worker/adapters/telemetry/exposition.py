"""Reads pages of metrics in Prometheus' text format, of workers and of Triton.

Names stay as they stand on the page: the library's parser would add `_total` to Triton's counters, which have none.
"""

import http.client
import math
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from worker.domain.errors import ExpositionError

_MAX_PAGE_BYTES: Final = 16 * 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_MAX_REASON_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class MetricSample:
    """One line of a page."""

    name: str
    labels: Mapping[str, str]
    value: float


def fetch_page(url: str, timeout_seconds: float) -> str:
    """Return the page at an http address. Raises ExpositionError if there is none, or not all of it in time.

    A connection and each of its pieces may take `timeout_seconds`, and all pieces together twice that.
    """
    if not url.startswith(("http://", "https://")):
        raise ExpositionError(f"{url!r} is no address of a page of metrics: give one as http://127.0.0.1:8080/metrics.")
    try:
        with urllib.request.urlopen(url, timeout=timeout_seconds) as answer:  # noqa: S310 - its scheme is checked above
            page = _whole(answer, time.monotonic() + 2 * timeout_seconds)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ExpositionError(f"{url} does not answer: {_reason(error)}.") from error
    if len(page) > _MAX_PAGE_BYTES:
        raise ExpositionError(f"{url} answers with more than {_MAX_PAGE_BYTES} bytes: give the address of /metrics.")
    return page.decode("utf-8", "replace")


def _whole(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """Return what an answer holds, up to a byte more than a page may have.

    Raises TimeoutError at the deadline: a process that half works may send a byte now and then, for ever.
    """
    page = bytearray()
    while len(page) <= _MAX_PAGE_BYTES and (piece := answer.read1(_PIECE_BYTES)):
        page += piece
        if time.monotonic() > deadline:
            raise TimeoutError("timed out")
    return bytes(page)


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    strerror = cause.strerror if isinstance(cause, OSError) else None
    return _short(strerror or str(cause)) or type(cause).__name__


def _short(text: str) -> str:
    """Return the beginning of what a stranger may have written, on one line."""
    return " ".join(text[:_MAX_REASON_CHARACTERS].split())


def parse_page(page: str) -> list[MetricSample]:
    """Return the samples of a page, without values that are no number. Raises ExpositionError if it is no page."""
    # Without the lines that tell types every name stays as it is.
    lines = "\n".join(line for line in page.splitlines() if not line.startswith("#"))
    try:
        return [
            MetricSample(sample.name, sample.labels, float(sample.value))
            for family in text_string_to_metric_families(lines)
            for sample in family.samples
            if math.isfinite(sample.value)
        ]
    except (ValueError, IndexError, KeyError) as error:
        raise ExpositionError(f"The page is not in Prometheus' text format: {_short(str(error))}.") from error
