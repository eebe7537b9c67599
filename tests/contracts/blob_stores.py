"""The stores of the contract: each holds pictures under names, and is opened with limits."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.adapters.blob.https_server import HttpsServer, give
from worker.adapters.blob.store import UriStore
from worker.domain.uri import AllowedPrefixes
from worker.picture_settings import BlobSettings
from worker.ports import BlobStore
from worker.testing.blob import MemoryBlobStore

MAX_BYTES = 100_000
PATIENCE_SECONDS = 20.0


class Place(Protocol):
    """Somewhere to lay pictures."""

    @property
    def allowed(self) -> str:
        """The prefix under which pictures may be fetched."""

    @property
    def forbidden(self) -> str:
        """One beside it, where pictures lie just as well."""

    def put(self, uri: str, picture: bytes) -> None:
        """Lay a picture there."""

    def open(self, timeout_seconds: float = PATIENCE_SECONDS) -> BlobStore:
        """Return the store."""


@dataclass
class Memory:
    allowed: str = "s3://labels/in/"
    forbidden: str = "s3://labels/other/"
    pictures: dict[str, bytes] = field(default_factory=dict)

    def put(self, uri: str, picture: bytes) -> None:
        self.pictures[uri] = picture

    def open(self, timeout_seconds: float = PATIENCE_SECONDS) -> BlobStore:
        del timeout_seconds
        store = MemoryBlobStore(AllowedPrefixes.of([self.allowed]), max_bytes=MAX_BYTES)
        for uri, picture in self.pictures.items():
            store.put(uri, picture)
        return store


@dataclass
class Real:
    """What a `UriStore` opens."""

    allowed: str
    forbidden: str
    root_certificates: Path | None = None

    def open(self, timeout_seconds: float = PATIENCE_SECONDS) -> BlobStore:
        return UriStore(settings((self.allowed,), self.root_certificates, timeout_seconds=timeout_seconds))


@dataclass
class Files(Real):
    def put(self, uri: str, picture: bytes) -> None:
        path = Path(uri.removeprefix("file://"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)


@dataclass
class S3(Real):
    bucket: Path = Path()

    def put(self, uri: str, picture: bytes) -> None:
        path = self.bucket / uri.removeprefix(f"s3://{self.bucket.name}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)


@dataclass
class Https(Real):
    server: HttpsServer | None = None

    def put(self, uri: str, picture: bytes) -> None:
        assert self.server is not None
        self.server.behave(uri.removeprefix(f"https://localhost:{self.server.port}"), give(picture))


def settings(prefixes: tuple[str, ...], root_certificates: Path | None, **changed: object) -> BlobSettings:
    """Return settings that let a test server on the loopback interface be reached, and end soon."""
    given = {
        "allowed_prefixes": prefixes,
        "max_bytes": MAX_BYTES,
        "connect_timeout_seconds": PATIENCE_SECONDS,
        "timeout_seconds": PATIENCE_SECONDS,
        "retries": 1,
        "retry_initial_seconds": 0.01,
        "private_networks": ("127.0.0.1/32", "::1/128"),
        "tls_root_certificates": None if root_certificates is None else str(root_certificates),
    }
    return BlobSettings.model_validate(given | changed)
