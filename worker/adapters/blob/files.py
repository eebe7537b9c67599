"""Pictures from files, of allowed folders only.

Invariants: what is opened lies under an allowed folder after every link is followed, even if links change meanwhile;
nothing but a regular file is opened, so that no pipe or device is touched.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from worker.adapters.blob.fetcher import ReserveMemory, collect, forbidden, not_found, unavailable
from worker.domain.uri import AllowedPrefixes, PictureUri

_CHUNK_BYTES: Final = 1024 * 1024
_READ_ONLY: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class FileFetcher:
    """Fetches from the file system, in threads."""

    def __init__(self, *, allowed: AllowedPrefixes, max_bytes: int) -> None:
        self._folders = tuple(Path(prefix.file_path).parent for prefix in allowed.of_scheme("file"))
        self._max_bytes = max_bytes

    async def fetch(self, uri: PictureUri, reserve_memory: ReserveMemory) -> bytes:
        """Try once. Raises JobError."""
        try:
            with _closed_at_the_end(await self._opened(uri)) as file:
                size_bytes = os.fstat(file.fileno()).st_size
                return await collect(
                    uri, _chunks(file), size_bytes, max_bytes=self._max_bytes, reserve_memory=reserve_memory
                )
        except (FileNotFoundError, NotADirectoryError):
            raise not_found(uri) from None
        except OSError as error:
            raise unavailable(uri, f"reading it failed ({os.strerror(error.errno or 0)})") from error

    async def close(self) -> None:
        """Do nothing: no file stays open."""

    async def _opened(self, uri: PictureUri) -> BinaryIO:
        opening = asyncio.ensure_future(asyncio.to_thread(self._open, uri))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread runs on, and nobody else would close the file.
            opening.add_done_callback(_close_unclaimed)
            raise

    def _open(self, uri: PictureUri) -> BinaryIO:
        resolved = Path(os.path.realpath(uri.file_path, strict=True))
        for folder in self._folders:
            root = Path(os.path.realpath(folder))
            if resolved.is_relative_to(root):
                return _open_below(uri, root, resolved.relative_to(root).parts)
        raise forbidden(uri, "its symbolic links lead out of the allowed folders")


def _open_below(uri: PictureUri, root: Path, parts: tuple[str, ...]) -> BinaryIO:
    """Open a file step by step without following links: what was resolved is what is opened, or nothing is."""
    *folders, name = parts or (".",)
    with ExitStack() as opened:
        folder = os.open(root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        opened.callback(os.close, folder)
        for step in folders:
            folder = os.open(step, _READ_ONLY | os.O_DIRECTORY, dir_fd=folder)
            opened.callback(os.close, folder)
        # Opening a device can have effects, so check first.
        _check_regular(uri, os.stat(name, dir_fd=folder, follow_symlinks=False))
        file = os.fdopen(os.open(name, _READ_ONLY, dir_fd=folder), "rb")
    try:
        _check_regular(uri, os.fstat(file.fileno()))
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def _closed_at_the_end(file: BinaryIO) -> Iterator[BinaryIO]:
    try:
        yield file
    except asyncio.CancelledError:
        # A thread may still be reading; closing the file waits for it, which the event loop must not.
        asyncio.get_running_loop().run_in_executor(None, file.close)
        raise
    except BaseException:
        file.close()
        raise
    file.close()


def _close_unclaimed(opening: "asyncio.Future[BinaryIO]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _check_regular(uri: PictureUri, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise forbidden(uri, "it is not a regular file")


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
        yield chunk
