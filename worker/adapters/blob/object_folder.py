"""Objects in a folder: one of this machine, or one in a bucket or container of an object store.

Invariants: an object is written whole, and only if none of its name is there, so that of many who write the same name
at once exactly one succeeds. Nothing is read that is larger than was allowed. Endpoint and credentials come from the
stores' own environment variables, and no message quotes a store's answer, which may hold a signed request.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Self

import obstore
from obstore import exceptions
from obstore.store import LocalStore, ObjectStore

from worker.adapters.blob.objects import OBJECT_SCHEMES, open_bucket
from worker.domain.errors import LabelwireError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_CHUNK_BYTES: Final = 1024 * 1024
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_PLACE: Final = re.compile(r"([a-z0-9$][a-z0-9._-]{0,221})(?:/([A-Za-z0-9._/-]*))?")
_CONNECT_TIMEOUT: Final = timedelta(seconds=5)
# A whole file in one request; a connection on which nothing comes is given up much earlier.
_REQUEST_TIMEOUT: Final = timedelta(minutes=30)
_READ_TIMEOUT: Final = timedelta(seconds=60)
_RETRIES: "Final[RetryConfig]" = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}


class ObjectFolderError(LabelwireError):
    """A folder of objects cannot be opened, read or written."""


class ObjectExistsError(ObjectFolderError):
    """An object of this name is there already."""


class ObjectMissingError(ObjectFolderError):
    """There is no object of this name."""


class ObjectTooLargeError(ObjectFolderError):
    """An object is larger than what may be read."""


class ObjectFolder:
    """One folder; names are relative to it, with slashes between their parts."""

    def __init__(self, store: ObjectStore, address: str) -> None:
        self._store = store
        self._address = address

    @classmethod
    def open(cls, address: str, *, root_certificates: str = "", create: bool = False) -> Self:
        """Open the folder at a path, or at `s3://`, `gs://` or `az://`, a bucket or container, and a folder in it.

        `root_certificates` are PEM certificates that are trusted besides the system's. With `create`, a folder of this
        machine is made if it is missing; a bucket never is. Raises ObjectFolderError.
        """
        url = _URL.fullmatch(address)
        if url is None:
            return cls(_local(address, create=create), address)
        scheme, rest = url.groups()
        place = _PLACE.fullmatch(rest)
        parts = (place[2] or "").removesuffix("/").split("/") if place is not None else []
        if scheme not in OBJECT_SCHEMES or place is None or (parts != [""] and {"", ".", ".."} & set(parts)):
            raise ObjectFolderError(
                f"{address[:200]!r} names no folder: give a path, or s3://, gs:// or az:// with a bucket or container "
                "and a folder in it"
            )
        options: ClientConfig = {
            "connect_timeout": _CONNECT_TIMEOUT,
            "read_timeout": _READ_TIMEOUT,
            "timeout": _REQUEST_TIMEOUT,
        }
        if root_certificates:
            options["root_certificate"] = root_certificates
        try:
            return cls(open_bucket(scheme, place[1], options, _RETRIES, folder="/".join(parts) or None), address)
        except (exceptions.BaseError, ValueError) as error:
            why = str(error).partition("\n")[0][:200].rstrip(".")
            raise ObjectFolderError(
                f"{address} cannot be used ({why}): see the store's own variables in the environment"
            ) from None

    def __str__(self) -> str:
        return self._address

    def create(self, name: str, content: bytes) -> None:
        """Write an object whole if none of this name is there. Raises ObjectExistsError or ObjectFolderError.

        If the store's answer is lost, the request is sent again, and then fails for the very object that it wrote.
        """
        with self._translated(name, "written"):
            obstore.put(self._store, name, content, mode="create")

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return an object. Raises ObjectMissingError, ObjectTooLargeError or ObjectFolderError."""
        return b"".join(self.chunks(name, max_bytes))

    def chunks(self, name: str, max_bytes: int) -> Iterator[bytes]:
        """Give an object in parts of about a mebibyte. Raises as `read` does, also on the way."""
        with self._translated(name, "read"):
            found = obstore.get(self._store, name)
            size_bytes = found.meta["size"]
            if size_bytes > max_bytes:
                self._refuse_size(name, max_bytes)
            count = 0
            for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                count += len(chunk)
                if count > max_bytes:
                    self._refuse_size(name, max_bytes)
                yield bytes(chunk)
            if count != size_bytes:
                raise ObjectFolderError(f"{name} in {self} was cut off after {count} bytes: try again")

    def has(self, name: str) -> bool:
        """Tell whether there is an object of this name. Raises ObjectFolderError."""
        try:
            with self._translated(name, "read"):
                obstore.head(self._store, name)
        except ObjectMissingError:
            return False
        return True

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of all objects under a folder, by their names, in order. Raises ObjectFolderError."""
        with self._translated(folder, "listed"):
            found = [entry for page in obstore.list(self._store, f"{folder}/") for entry in page]
        return {entry["path"]: entry["size"] for entry in sorted(found, key=lambda entry: entry["path"])}

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders that lie directly in a folder, in order. Raises ObjectFolderError."""
        with self._translated(folder, "listed"):
            found = obstore.list_with_delimiter(self._store, f"{folder}/")
        return sorted(path.rpartition("/")[2] for path in found["common_prefixes"])

    def _refuse_size(self, name: str, max_bytes: int) -> NoReturn:
        raise ObjectTooLargeError(
            f"{name} in {self} is larger than the {max_bytes} bytes that it may have: it is damaged"
        )

    @contextmanager
    def _translated(self, name: str, done: str) -> Iterator[None]:
        """Turn each failure into an ObjectFolderError, without the client's message."""
        try:
            yield
        except FileNotFoundError:
            if done == "written":
                raise ObjectFolderError(
                    f"{name} cannot be written in {self}, whose bucket or folder does not exist: create it first"
                ) from None
            raise ObjectMissingError(f"there is no {name} in {self}") from None
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            raise ObjectExistsError(f"{name} in {self} is there already") from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, PermissionError):
            raise ObjectFolderError(
                f"{name} in {self} cannot be {done}, because the store refuses these credentials: allow them to do it"
            ) from None
        except (exceptions.BaseError, OSError, ValueError) as error:
            raise ObjectFolderError(f"{name} in {self} cannot be {done}: {self._reason(error)}") from None

    def _reason(self, error: Exception) -> str:
        """Say why, in the words of this machine's own file system, or without those of a store."""
        if isinstance(self._store, LocalStore):
            said = re.search(r": ([A-Z][^:\n]*) \(os error \d+\)", str(error))
            return f"{said[1] if said else type(error).__name__}; look at the folder and its permissions"
        code = re.search(r"<Code>([A-Za-z]{1,64})</Code>", str(error))
        return (
            f"the store failed ({code[1] if code else type(error).__name__}); look at its address, the "
            "bucket's name and the credentials"
        )


def _local(address: str, *, create: bool) -> LocalStore:
    path = Path(address).absolute()
    if not create and not path.is_dir():
        raise ObjectFolderError(f"the folder {address} does not exist: give another, or publish to it first")
    try:
        path.mkdir(parents=True, exist_ok=True)
        next(path.iterdir(), None)  # may it be read at all?
        return LocalStore(path)
    except (exceptions.BaseError, OSError) as error:
        why = (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "") or type(error).__name__
        raise ObjectFolderError(f"the folder {address} cannot be used: {why}") from None
