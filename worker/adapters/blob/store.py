"""Fetches pictures that jobs name by URI.

Invariants: only URIs under an allowed prefix are requested. A fetch ends within its timeout, retries included; the
timeout is paused while the fetch waits for memory.
"""

import asyncio
import itertools
import random
import ssl
from pathlib import Path
from typing import Self

from worker.adapters.blob.fetcher import Fetcher, ReserveMemory, unavailable
from worker.adapters.blob.files import FileFetcher
from worker.adapters.blob.https import HttpsFetcher
from worker.adapters.blob.objects import OBJECT_SCHEMES, ObjectFetcher
from worker.domain.errors import ErrorCode, JobError, SettingsError
from worker.domain.uri import AllowedPrefixes, PictureUri
from worker.picture_settings import BlobSettings


class UriStore:
    """A `BlobStore` over whatever lies under the allowed prefixes.

    Raises SettingsError for a bucket that cannot be used in this environment, and for a file without certificates.
    """

    def __init__(self, settings: BlobSettings) -> None:
        self._settings = settings
        self._allowed = AllowedPrefixes(settings.allowed_prefixes)
        root_certificates, trusted = trusted_certificates(settings.tls_root_certificates)
        objects = ObjectFetcher(
            allowed=self._allowed,
            root_certificates=root_certificates,
            connect_timeout_seconds=settings.connect_timeout_seconds,
            max_bytes=settings.max_bytes,
        )
        self._fetchers: dict[str, Fetcher] = dict.fromkeys(OBJECT_SCHEMES, objects)
        self._fetchers["file"] = FileFetcher(allowed=self._allowed, max_bytes=settings.max_bytes)
        self._fetchers["https"] = HttpsFetcher(
            allowed=self._allowed,
            private_networks=settings.private_networks,
            trusted=trusted,
            connect_timeout_seconds=settings.connect_timeout_seconds,
            max_bytes=settings.max_bytes,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def fetch(self, uri: PictureUri, reserve_memory: ReserveMemory) -> bytes:
        """Return the bytes that lie there. Raises JobError as the port says."""
        self._allowed.check(uri)
        seconds = self._settings.timeout_seconds
        try:
            async with asyncio.timeout(seconds) as timer:
                return await self._fetch(uri, _PausedWhileReserving(timer, reserve_memory).reserve_memory)
        except TimeoutError:
            raise unavailable(uri, f"it did not arrive within {seconds:g} seconds") from None

    async def close(self) -> None:
        """Close the connections."""
        for fetcher in set(self._fetchers.values()):
            await fetcher.close()

    async def _fetch(self, uri: PictureUri, reserve_memory: ReserveMemory) -> bytes:
        for attempt in itertools.count():
            try:
                return await self._fetchers[uri.scheme].fetch(uri, reserve_memory)
            except JobError as error:
                if error.code is not ErrorCode.URI_UNAVAILABLE or attempt >= self._settings.retries:
                    raise
            bound = self._settings.retry_initial_seconds * 2**attempt
            await asyncio.sleep(bound * random.uniform(0.5, 1))  # noqa: S311 - jitter is no secret
        raise AssertionError


def trusted_certificates(root_certificates: str | None) -> tuple[str, ssl.SSLContext]:
    """Return the certificates of a PEM file, and a context that trusts them besides those of the system.

    Raises SettingsError if it is no such file.
    """
    context = ssl.create_default_context()
    if root_certificates is None:
        return "", context
    try:
        pem = Path(root_certificates).read_text("ascii")
        context.load_verify_locations(cadata=pem)
    except (OSError, ValueError) as error:
        name = "LABELWIRE_BLOB__TLS_ROOT_CERTIFICATES"
        raise SettingsError(f"{name}={root_certificates!r} is no PEM file of certificates: {error}.") from error
    return pem, context


class _PausedWhileReserving:
    """Pauses a timer while memory is reserved."""

    def __init__(self, timer: asyncio.Timeout, reserve_memory: ReserveMemory) -> None:
        self._timer = timer
        self._reserve_memory = reserve_memory

    async def reserve_memory(self, size_bytes: int) -> None:
        """Wait for memory."""
        loop, due = asyncio.get_running_loop(), self._timer.when()
        self._timer.reschedule(None)
        begun = loop.time()
        await self._reserve_memory(size_bytes)
        if due is not None:
            self._timer.reschedule(due + loop.time() - begun)
