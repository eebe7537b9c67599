"""Pictures from https servers.

Invariants: each hop of a redirect is held to the allowed prefixes and to the addresses that may be reached; no
credentials, cookies or proxies of the environment go along; what comes is never decompressed.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from worker import __version__
from worker.adapters.blob.addresses import AddressRules, Network, PrivateAddressError, PublicResolver
from worker.adapters.blob.fetcher import ReserveMemory, collect, forbidden, not_found, refuse_encoded, unavailable
from worker.domain.errors import JobError
from worker.domain.uri import AllowedPrefixes, PictureUri

_MAX_REDIRECTS: Final = 3
_CHUNK_BYTES: Final = 256 * 1024
_CLOSING_SECONDS: Final = 0.05
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ABSENT: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_HEADERS: Final = {"Accept": "image/*, application/pdf, */*;q=0.1", "Accept-Encoding": "identity"}


class HttpsFetcher:
    """Fetches over one pool of connections."""

    def __init__(
        self,
        *,
        allowed: AllowedPrefixes,
        private_networks: Sequence[Network],
        trusted: ssl.SSLContext,
        connect_timeout_seconds: float,
        max_bytes: int,
    ) -> None:
        self._allowed = allowed
        self._address_rules = AddressRules(private_networks)
        self._trusted = trusted
        self._connect_timeout_seconds = connect_timeout_seconds
        self._max_bytes = max_bytes
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, uri: PictureUri, reserve_memory: ReserveMemory) -> bytes:
        """Try once, following redirects to other allowed URIs. Raises JobError."""
        try:
            return await self._fetch(uri, reserve_memory)
        except PrivateAddressError:
            why = "its host leads to an address that is not public; see LABELWIRE_BLOB__PRIVATE_NETWORKS"
            raise forbidden(uri, why) from None
        except (aiohttp.ClientError, OSError) as error:
            # Not the client's own message: it may hold the query.
            raise unavailable(uri, f"the connection failed ({type(error).__name__})") from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            # TLS transports close a few iterations of the loop later.
            await asyncio.sleep(_CLOSING_SECONDS)

    async def _fetch(self, uri: PictureUri, reserve_memory: ReserveMemory) -> bytes:
        hop = uri
        for _ in range(_MAX_REDIRECTS + 1):
            self._address_rules.check(hop.host)
            url = URL(f"https://{hop.authority}{hop.target}", encoded=True)
            async with self._open_session().get(url, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await self._take(uri, response, reserve_memory)
                hop = self._next_hop(uri, hop, response.headers.get("Location", ""))
        raise forbidden(uri, f"it redirects more than {_MAX_REDIRECTS} times")

    def _next_hop(self, uri: PictureUri, hop: PictureUri, location: str) -> PictureUri:
        try:
            following = PictureUri.parse(urljoin(f"https://{hop.authority}{hop.target}", location))
            self._allowed.check(following)
        except (JobError, ValueError):
            raise forbidden(uri, "it redirects to a URI under no allowed prefix") from None
        if following.scheme != "https":
            raise forbidden(uri, "it redirects away from https")
        return following

    async def _take(self, uri: PictureUri, response: aiohttp.ClientResponse, reserve_memory: ReserveMemory) -> bytes:
        status = response.status
        if status in _ABSENT:
            raise not_found(uri)
        if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise unavailable(uri, f"the server answers {status}")
        if status != HTTPStatus.OK:
            # The worker sends no credentials of its own: the same request is refused each time.
            raise forbidden(uri, f"the server answers {status}; a signature in the URI may be wrong or too old")
        refuse_encoded(uri, response.headers.get("Content-Encoding"))
        return await collect(
            uri, _chunks(response), response.content_length, max_bytes=self._max_bytes, reserve_memory=reserve_memory
        )

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self._trusted, resolver=PublicResolver(self._address_rules), use_dns_cache=False
                ),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={**_HEADERS, "User-Agent": f"labelwire/{__version__}"},
                # The caller bounds the whole fetch.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_seconds),
                trust_env=False,
            )
        return self._session


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        yield chunk
        await asyncio.sleep(0)  # a server as fast as we are must not hold up the loop
