"""Dead letters as files: for each its payload, a JSON file with all that the letter says, and a line in the manifest.

Invariant: the manifest names a letter only when its files are complete, so an export that was interrupted can be
resumed. Letters in the manifest are not written again, and no file is overwritten but an incomplete one of the same
letter.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self

from worker.dlq.inspect.files import extension_of, longer_stem_of, put, stem_of, unwritable
from worker.dlq.inspect.show import letter_document
from worker.dlq.letter import DeadLetter
from worker.dlq.payload import Fetch, OriginalJob, PayloadMissingError, original_job
from worker.domain.errors import LabelwireError
from worker.domain.records import Record

MANIFEST: Final = "letters.jsonl"
_PRIVATE: Final = 0o700  # payloads are customers' data


class _Identity(NamedTuple):
    """What tells a letter from all others: coordinates and ids repeat on a topic that was created again."""

    coordinate: str
    id: str
    failed_at_ms: int

    @classmethod
    def of(cls, letter: DeadLetter) -> Self:
        return cls(str(letter.record.coordinate), letter.id, letter.failed_at_ms)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Self:
        return cls(document["coordinate"], document["id"], document["failed_at_ms"])


@dataclass(slots=True)
class ExportResult:
    """The letters that an export wrote and those that were there already, and a sentence for each missing payload."""

    written: int = 0
    present: int = 0
    missing: list[str] = field(default_factory=list)


def export(letters: Iterable[DeadLetter], folder: Path, fetch: Fetch, *, resume: bool) -> ExportResult:
    """Write letters into a folder and return how many, and which payloads are missing.

    The folder must be empty or new, or with `resume` hold an export. It is made when the first letter comes. Raises
    LabelwireError if it may not or cannot be written to, and what `fetch` raises.
    """
    present = _exported_before(folder, resume=resume)
    exported = ExportResult(missing=[sentence for sentence in present.values() if sentence is not None])
    manifest: IO[bytes] | None = None
    try:
        for letter in letters:
            if _Identity.of(letter) in present:
                exported.present += 1
                continue
            manifest = manifest or _opened(folder)
            line = _write(letter, folder, fetch, exported)
            manifest.write(_json(line) + b"\n")
            manifest.flush()
            exported.written += 1
    except OSError as error:
        raise unwritable(folder / MANIFEST, error) from error
    finally:
        if manifest is not None:
            manifest.close()
    return exported


def _exported_before(folder: Path, *, resume: bool) -> dict[_Identity, str | None]:
    """Return the letters that the folder holds, and what is said of payloads that were missing.

    Raises LabelwireError if it is not a folder to write to.
    """
    try:
        names = {each.name for each in folder.iterdir()} if folder.exists() else set[str]()
        if not names:
            return {}
        if not resume:
            raise LabelwireError(
                f"The folder {folder} is not empty; choose another, or continue its export with --resume."
            )
        if MANIFEST not in names:
            raise LabelwireError(f"The folder {folder} holds no export to resume: it has no {MANIFEST}.")
        return _present(folder / MANIFEST)
    except OSError as error:
        raise LabelwireError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error


def _present(manifest: Path) -> dict[_Identity, str | None]:
    """Read the manifest, and cut a last line off that was not written to its end."""
    found: dict[_Identity, str | None] = {}
    whole_bytes = 0
    with manifest.open("r+b") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                listed = json.loads(line)
                found[_Identity.of_document(listed)] = listed["payload_missing"]
            except (ValueError, KeyError, TypeError) as error:
                raise LabelwireError(f"{manifest}, line {number}, is not a letter of an export.") from error
            whole_bytes += len(line)
        file.truncate(whole_bytes)
    return found


def _opened(folder: Path) -> IO[bytes]:
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    return (folder / MANIFEST).open("ab")


def _write(letter: DeadLetter, folder: Path, fetch: Fetch, exported: ExportResult) -> dict[str, Any]:
    """Write a letter's files and return its line of the manifest."""
    job, sentence = _job(letter, fetch)
    if sentence is not None:
        exported.missing.append(sentence)
    stem = _free_stem(letter, folder)
    payload = None
    if job is not None and job.value is not None:
        # By the letter's own headers unless those stayed behind with the payload.
        payload = stem + extension_of(_with_headers(letter.record, job))
        put(folder / payload, job.value)
    document = letter_document(letter, with_values=True) | {"payload_file": payload, "payload_missing": sentence}
    put(folder / f"{stem}.json", json.dumps(document, indent=2).encode() + b"\n")
    return {
        "coordinate": str(letter.record.coordinate),
        "id": letter.id,
        "code": letter.code,
        "stage": letter.stage,
        "fingerprint": letter.fingerprint,
        "failed_at_ms": letter.failed_at_ms,
        "job_id": document["job_id"],
        "letter_file": f"{stem}.json",
        "payload_file": payload,
        "payload_missing": sentence,
    }


def _job(letter: DeadLetter, fetch: Fetch) -> tuple[OriginalJob | None, str | None]:
    try:
        return original_job(letter, fetch), None
    except PayloadMissingError as error:
        return None, str(error)


def _with_headers(record: Record, job: OriginalJob) -> Record:
    return Record(record.coordinate, job.key, job.value, job.headers, record.timestamp_ms)


def _free_stem(letter: DeadLetter, folder: Path) -> str:
    """Return a stem that no other letter has.

    After a crash the same letter can stand on the topic twice, and on a topic that was made anew another one can stand
    in the same place.
    """
    stems = (stem_of(letter), longer_stem_of(letter))
    free = (stem for stem in stems if _is_free(folder / f"{stem}.json", letter))
    return next(free, f"{longer_stem_of(letter)}-{letter.failed_at_ms}")


def _is_free(path: Path, letter: DeadLetter) -> bool:
    if not path.exists():
        return True
    try:
        return _Identity.of_document(json.loads(path.read_bytes())) == _Identity.of(letter)
    except (ValueError, KeyError, TypeError):
        return False


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()
