"""What all fetchers share: how bytes are collected, and the errors of a fetch.

Invariants: no byte is kept before memory for it is reserved, and never more than the limit, whatever size a server
claims. A message names a URI without its query and quotes no server.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.uri import PictureUri

ReserveMemory = Callable[[int], Awaitable[None]]
MAX_BYTES_SETTING = "LABELWIRE_BLOB__MAX_BYTES"


class Fetcher(Protocol):
    """Fetches URIs of some schemes, after the allowed prefixes were checked."""

    async def fetch(self, uri: PictureUri, reserve_memory: ReserveMemory) -> bytes:
        """Try once. Raises JobError as a `BlobStore` does, URI_UNAVAILABLE where another try may succeed."""

    async def close(self) -> None:
        """Close the connections."""


async def collect(
    uri: PictureUri,
    chunks: AsyncIterator[bytes],
    size_bytes: int | None,
    *,
    max_bytes: int,
    reserve_memory: ReserveMemory,
) -> bytes:
    """Return all chunks as one. `size_bytes` is what the server claims; None where it claims nothing.

    Raises JobError IMAGE_TOO_LARGE over `max_bytes`, URI_UNAVAILABLE where there is more or less than was claimed.
    """
    if size_bytes is not None and size_bytes > max_bytes:
        raise too_large(uri, f"has {size_bytes} bytes", max_bytes)
    bound = max_bytes if size_bytes is None else size_bytes
    await reserve_memory(bound)
    kept: list[bytes] = []
    count = 0
    async for chunk in chunks:
        count += len(chunk)
        if count > bound:
            break
        kept.append(chunk)
    if count > max_bytes:
        raise too_large(uri, "does not end", max_bytes)
    if size_bytes is not None and count != size_bytes:
        raise unavailable(uri, f"the server sent more or fewer than the {size_bytes} bytes that it announced")
    return b"".join(kept)


def refuse_encoded(uri: PictureUri, content_encoding: str | None) -> None:
    """Raise JobError IMAGE_UNSUPPORTED for compressed bytes: they could grow without limit."""
    if (content_encoding or "identity").strip().lower() != "identity":
        raise JobError(
            ErrorCode.IMAGE_UNSUPPORTED,
            f"The picture at {uri} comes with a Content-Encoding; serve it without one.",
            stage=Stage.FETCH,
        )


def too_large(uri: PictureUri, what: str, max_bytes: int) -> JobError:
    """Return the error of a picture over the limit."""
    message = f"The picture at {uri} {what}, over the limit of {max_bytes} bytes; see {MAX_BYTES_SETTING}."
    return JobError(ErrorCode.IMAGE_TOO_LARGE, message, stage=Stage.FETCH)


def not_found(uri: PictureUri) -> JobError:
    """Return the error of a URI that names nothing."""
    return JobError(ErrorCode.URI_NOT_FOUND, f"There is no picture at {uri}; send the job after the picture is stored.")


def unavailable(uri: PictureUri, why: str) -> JobError:
    """Return the error of a fetch that may succeed later."""
    return JobError(ErrorCode.URI_UNAVAILABLE, f"The picture at {uri} could not be fetched now: {why}.")


def forbidden(uri: PictureUri, why: str) -> JobError:
    """Return the error of a fetch that would be refused each time."""
    return JobError(ErrorCode.URI_FORBIDDEN, f"The picture at {uri} is not fetched: {why}.", stage=Stage.FETCH)
