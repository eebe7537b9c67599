"""The cache of what is fetched once and kept outside the project's tree.

An entry is complete or absent: it is built in a folder beside its place and renamed when done, under a file lock
that the kernel drops if the builder dies. Its name carries a hash of what it was built from.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

CACHE_VARIABLE = "LABELWIRE_CACHE_DIR"


def cache_root() -> Path:
    """Return the cache's folder: what LABELWIRE_CACHE_DIR says, else ~/.cache/labelwire."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".cache" / "labelwire"


def content_key(*parts: str) -> str:
    """Return a short name for contents: 16 hexadecimal digits of their SHA-256."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def entry_path(name: str, key: str) -> Path:
    """Where an entry is, or would be."""
    return cache_root() / f"{name}-{key}"


def provide(name: str, key: str, build: Callable[[Path], None]) -> Path:
    """Return the entry's folder; `build` fills a new folder first if there is none.

    Of several processes that ask at once one builds and the others wait for it.
    """
    entry = entry_path(name, key)
    if entry.exists():
        return entry
    with _locked(cache_root() / f".{name}-{key}.lock"):
        if entry.exists():
            return entry
        partial = cache_root() / f".{name}-{key}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        build(partial)
        partial.rename(entry)
    return entry


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
