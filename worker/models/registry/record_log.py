"""Records that follow one another: each has a number, and is written once.

Invariant: a number is taken by exactly one record, however many write at once; the highest number is the last record.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from worker.adapters.blob.object_folder import ObjectExistsError, ObjectFolder, ObjectMissingError, ObjectTooLargeError
from worker.models.registry.documents import MAX_DOCUMENT_BYTES, Document
from worker.models.registry.errors import DamagedError

_DIGITS: Final = 12
_NAME: Final = re.compile(rf"(\d{{{_DIGITS}}})\.json")
RecordT = TypeVar("RecordT", bound=Document)


@dataclass(frozen=True, slots=True)
class RecordLog(Generic[RecordT]):
    """The records of one kind in a folder."""

    folder: ObjectFolder
    name: str
    kind: type[RecordT]

    def numbers(self) -> list[int]:
        """Return the numbers that are taken, ascending."""
        names = (path.removeprefix(f"{self.name}/") for path in self.folder.sizes(self.name))
        return sorted(int(match[1]) for match in map(_NAME.fullmatch, names) if match is not None)

    def read(self, number: int) -> RecordT:
        """Return a record. Raises DamagedError, also if it is one that was written under another number."""
        name = f"{self._path(number)} in {self.folder}"
        try:
            record = self.kind.of_bytes(self.folder.read(self._path(number), MAX_DOCUMENT_BYTES), name)
        except ObjectTooLargeError as error:
            raise DamagedError(str(error)) from None
        if record.document().get("number", number) != number:
            raise DamagedError(f"{name} is damaged: it is the record of another number")
        return record

    def newest_first(self) -> Iterator[tuple[int, RecordT]]:
        """Give all records with their numbers, the last one first. Raises DamagedError on the way."""
        for number in reversed(self.numbers()):
            yield number, self.read(number)

    def take(self, number: int, record: RecordT) -> bool:
        """Write a record under a number; return whether this record, and no other one, has it now."""
        content = record.to_bytes()
        try:
            self.folder.create(self._path(number), content)
        except ObjectExistsError:
            # The store's first answer may have been lost, and the record that is in the way be this very one.
            try:
                return self.folder.read(self._path(number), MAX_DOCUMENT_BYTES) == content
            except ObjectMissingError:  # the other one was being written, and was not
                return False
        return True

    def problems(self) -> Iterator[str]:
        """Give a sentence for each record that is damaged, or missing before the last one."""
        for number in range(1, max(self.numbers(), default=0) + 1):
            try:
                self.read(number)
            except (DamagedError, ObjectMissingError) as error:
                yield str(error)

    def _path(self, number: int) -> str:
        return f"{self.name}/{number:0{_DIGITS}}.json"
