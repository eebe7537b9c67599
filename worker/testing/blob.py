"""A store of pictures in memory.

Invariant: it refuses and limits as the real one does; its pictures come from `put` alone.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.uri import AllowedPrefixes, PictureUri

_NOWHERE: Final = AllowedPrefixes()


class MemoryBlobStore:
    """A `BlobStore` over a dictionary.

    `fail` lets the next fetches end in an error. `fetched` lists every URI that was requested, only allowed ones.
    """

    def __init__(self, allowed: AllowedPrefixes = _NOWHERE, *, max_bytes: int = 1024 * 1024) -> None:
        self.fetched: list[PictureUri] = []
        self.closed = False
        self._allowed = allowed
        self._max_bytes = max_bytes
        self._pictures: dict[str, bytes] = {}
        self._failures: list[JobError] = []

    def put(self, uri: str, picture: bytes) -> None:
        """Store a picture under a URI."""
        self._pictures[PictureUri.parse(uri).canonical] = picture

    def fail(self, *errors: JobError) -> None:
        """Let the next fetches raise these errors, in this order."""
        self._failures.extend(errors)

    async def fetch(self, uri: PictureUri, reserve_memory: Callable[[int], Awaitable[None]]) -> bytes:
        """Return the bytes at a URI. Raises JobError as the port says."""
        self._allowed.check(uri)
        self.fetched.append(uri)
        if self._failures:
            raise self._failures.pop(0)
        picture = self._pictures.get(uri.canonical)
        if picture is None:
            raise JobError(
                ErrorCode.URI_NOT_FOUND, f"There is no picture at {uri}; send the job after the picture is stored."
            )
        if len(picture) > self._max_bytes:
            message = f"The picture at {uri} has {len(picture)} bytes, over the limit of {self._max_bytes} bytes."
            raise JobError(ErrorCode.IMAGE_TOO_LARGE, message, stage=Stage.FETCH)
        await reserve_memory(len(picture))
        return picture

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
