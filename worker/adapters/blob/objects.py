"""Pictures from object stores: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.

Invariants: there is one client for each allowed bucket, made at the start, so that no job can name another; endpoint
and credentials come from the stores' own environment variables.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from worker.adapters.blob.fetcher import ReserveMemory, collect, not_found, refuse_encoded, unavailable
from worker.domain.errors import SettingsError
from worker.domain.uri import PREFIXES_SETTING, AllowedPrefixes, PictureUri

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

OBJECT_SCHEMES: Final = ("s3", "gs", "az")
_CHUNK_BYTES: Final = 256 * 1024
# The caller bounds the whole fetch; a timeout here would also count the wait for memory.
_NO_TIMEOUT: Final = timedelta(hours=1)
_NO_RETRIES: "Final[RetryConfig]" = {"max_retries": 0}


class ObjectFetcher:
    """Fetches from the allowed buckets and containers. Raises SettingsError where one cannot be used at all."""

    def __init__(
        self,
        *,
        allowed: AllowedPrefixes,
        root_certificates: str,
        connect_timeout_seconds: float,
        max_bytes: int,
    ) -> None:
        options: ClientConfig = {
            "connect_timeout": timedelta(seconds=connect_timeout_seconds),
            "timeout": _NO_TIMEOUT,
        }
        if root_certificates:
            options["root_certificate"] = root_certificates
        self._stores = {
            (prefix.scheme, prefix.authority): _opened(prefix, options)
            for scheme in OBJECT_SCHEMES
            for prefix in allowed.of_scheme(scheme)
        }
        self._max_bytes = max_bytes

    async def fetch(self, uri: PictureUri, reserve_memory: ReserveMemory) -> bytes:
        """Try once. Raises JobError."""
        store = self._stores[uri.scheme, uri.authority]
        with _translated(uri):
            found = await obstore.get_async(store, uri.key)
            refuse_encoded(uri, found.attributes.get("Content-Encoding"))
            return await collect(
                uri, _chunks(found), found.meta["size"], max_bytes=self._max_bytes, reserve_memory=reserve_memory
            )

    async def close(self) -> None:
        """Drop the clients, which close their connections then."""
        self._stores.clear()


def open_bucket(
    scheme: str, bucket: str, options: "ClientConfig", retries: "RetryConfig", *, folder: str | None = None
) -> ObjectStore:
    """Return the client of a bucket or container, or of a folder in it. Raises BaseError or ValueError of obstore's."""
    if scheme == "gs":
        return GCSStore(bucket, prefix=folder, client_options=options, retry_config=retries)
    # Options that are given here make the clients look past the variable that allows endpoints without TLS.
    vendor = "AWS" if scheme == "s3" else "AZURE"
    if os.environ.get(f"{vendor}_ALLOW_HTTP", "").lower() in {"1", "true"}:
        options = {**options, "allow_http": True}
    make = S3Store if scheme == "s3" else AzureStore
    return make(bucket, prefix=folder, client_options=options, retry_config=retries)


def _opened(prefix: PictureUri, options: "ClientConfig") -> ObjectStore:
    try:
        return open_bucket(prefix.scheme, prefix.authority, options, _NO_RETRIES)
    except (exceptions.BaseError, ValueError) as error:
        why = str(error).partition("\n")[0][:200].rstrip(".")
        raise SettingsError(
            f"{PREFIXES_SETTING} allows {prefix.scheme}://{prefix.authority}/, which cannot be used: {why}; "
            f"see the store's own variables in the environment."
        ) from None


@contextmanager
def _translated(uri: PictureUri) -> Iterator[None]:
    """Turn each failure into a JobError, without the client's message, which may hold a signed request."""
    try:
        yield
    except FileNotFoundError:
        raise not_found(uri) from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        # The credentials are the deployment's, not the job's: once they are put right, the job succeeds.
        why = "the store refuses this worker's credentials, or hides that nothing is there"
        raise unavailable(uri, why) from None
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise unavailable(uri, f"the store failed ({type(error).__name__})") from None


async def _chunks(found: "obstore.GetResult") -> AsyncIterator[bytes]:
    async for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
        yield bytes(chunk)
