"""Files that are never overwritten, and names that are safe whatever a header says.

Invariant: a name made here is one path component out of a closed alphabet, and a file has all of its content or does
not exist.
"""

import hashlib
import re
from pathlib import Path
from typing import Final

from worker.dlq.letter import DeadLetter
from worker.domain.content import content_type
from worker.domain.errors import LabelwireError
from worker.domain.records import Record

_ID: Final = re.compile(r"[0-9a-f]{32}")
_EXTENSIONS: Final = {
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/tiff": ".tif",
    "image/bmp": ".bmp",
    "application/pdf": ".pdf",
    # The letter's own file has the plain extension.
    "application/json": ".payload.json",
}
_UNKNOWN_EXTENSION: Final = ".bin"


def stem_of(letter: DeadLetter) -> str:
    """Return the letter's id where it is one that a worker writes, else one made of its coordinate."""
    return letter.id if _ID.fullmatch(letter.id) else f"letter-{_coordinate_name(letter)}"


def longer_stem_of(letter: DeadLetter) -> str:
    """Return a stem for a letter whose id another letter has as well."""
    return f"{stem_of(letter)}-{_coordinate_name(letter)}"


def extension_of(record: Record) -> str:
    """Return the extension of a payload by its content type."""
    return _EXTENSIONS.get(content_type(record), _UNKNOWN_EXTENSION)


def save_new(path: Path, content: bytes) -> Path:
    """Write a file that must not exist yet. Raises LabelwireError if it does, or cannot be written."""
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        raise LabelwireError(f"{path} exists already; choose another file, or remove it.") from error
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def put(path: Path, content: bytes) -> None:
    """Write a complete file, in place of any that is there. Raises LabelwireError if it cannot be written."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> LabelwireError:
    """Return the sentence for a file that cannot be written."""
    return LabelwireError(f"{path} cannot be written: {error.strerror or error}.")


def _coordinate_name(letter: DeadLetter) -> str:
    topic, partition, offset = letter.record.coordinate
    # A topic's name can be as long as a file's may be.
    return f"{hashlib.sha256(topic.encode()).hexdigest()[:8]}-{partition}-{offset}"
