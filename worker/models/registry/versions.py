"""The versions of a registry: publish, find, verify and fetch them.

Invariants: a version is there whole or not at all, because its document is written last. What is fetched has the
digests of the version's document, whose content has the version's id; nothing is read beyond the sizes that it names.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.adapters.blob.object_folder import (
    ObjectExistsError,
    ObjectFolder,
    ObjectMissingError,
    ObjectTooLargeError,
)
from worker.models.files import locked, replaced_whole
from worker.models.registry.documents import MAX_DOCUMENT_BYTES, Release, ReleaseFile, short
from worker.models.registry.errors import DamagedError, RegistryError, UnknownVersionError
from worker.models.stamp import holds_something_else

_VERSIONS: Final = "versions"
_RELEASE: Final = "release.json"
_PREFIX: Final = re.compile(r"[0-9a-f]{1,64}")
_ID_CHARACTERS: Final = 64
_MAX_NAMED: Final = 5

Reached = Callable[[int], None]
"""Called with the number of bytes that are done."""

Progress = Callable[[str, int], AbstractContextManager[Reached]]
"""Called with what is being done and how many bytes that are; yields what is told how many are done."""


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """A version by its id, with its document, or with the sentence that says why that cannot be used."""

    version: str
    release: Release | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions in a folder."""

    folder: ObjectFolder

    def publish(self, release: Release, repository: Path, progress: Progress) -> bool:
        """Write a built repository, as `read_build` described it; return False if this version is there already.

        A publication that was interrupted goes on. Raises DamagedError if another file is in the way, RegistryError if
        the repository was changed meanwhile, ObjectFolderError if the registry cannot be written.
        """
        version = release.version
        if self.folder.has(_document(version)):
            self.release(version)
            return False
        done = 0
        with progress(f"Publishing {short(version)}", release.size_bytes) as reached:
            for file in release.files:
                self._publish_file(version, file, repository / file.path)
                done += file.size_bytes
                reached(done)
        try:
            self.folder.create(_document(version), release.to_bytes())
        except ObjectExistsError:  # somebody else published the same meanwhile
            return False
        return True

    def _publish_file(self, version: str, file: ReleaseFile, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RegistryError(f"{path} cannot be read ({error.strerror}): build the repository again") from error
        if (len(content), hashlib.sha256(content).hexdigest()) != (file.size_bytes, file.sha256):
            raise RegistryError(f"{path} was changed while it was published: publish it again")
        try:
            self.folder.create(_path(version, file), content)
        except ObjectExistsError:
            for problem in self._problems_of(version, file):
                raise DamagedError(f"{problem}: remove it and publish again") from None

    def listed(self) -> Iterator[ListedVersion]:
        """Give all versions that are there whole, by their ids."""
        for version in self.folder.folders(_VERSIONS):
            try:
                yield ListedVersion(version, self.release(version))
            except UnknownVersionError:  # a publication that goes on, or was interrupted
                continue
            except DamagedError as error:
                yield ListedVersion(version, None, str(error))

    def find(self, prefix: str) -> str:
        """Return the id that begins like this. Raises UnknownVersionError if there is none, or more than one."""
        if _PREFIX.fullmatch(prefix) is None:
            raise UnknownVersionError(
                f"{prefix[:80]!r} is no version: give the beginning of an id, as `labelwire models list` shows it"
            )
        whole = len(prefix) == _ID_CHARACTERS
        candidates = [prefix] if whole else [name for name in self.folder.folders(_VERSIONS) if name.startswith(prefix)]
        found = [version for version in candidates if self.folder.has(_document(version))]
        if not found:
            raise UnknownVersionError(
                f"{self.folder} holds no version {short(prefix)}: `labelwire models list` shows those that it holds"
            )
        if len(found) > 1:
            named = " or ".join(short(version) for version in found[:_MAX_NAMED])
            raise UnknownVersionError(f"the version {prefix} is ambiguous in {self.folder}: give {named}")
        return found[0]

    def release(self, version: str) -> Release:
        """Return a version's document. Raises UnknownVersionError or DamagedError."""
        name = f"{_document(version)} in {self.folder}"
        try:
            stored = self.folder.read(_document(version), MAX_DOCUMENT_BYTES)
        except ObjectMissingError:
            raise UnknownVersionError(f"{self.folder} holds no version {short(version)}") from None
        except ObjectTooLargeError as error:
            raise DamagedError(str(error)) from None
        release = Release.of_bytes(stored, name)
        if release.version != version:
            raise DamagedError(f"{name} is damaged: its content is that of version {short(release.version)}")
        return release

    def problems(self, version: str, progress: Progress) -> list[str]:
        """Read a version as a whole; return a sentence for each file that is changed, missing or too many."""
        try:
            release = self.release(version)
        except DamagedError as error:
            return [str(error)]
        expected = {_document(version), *(_path(version, file) for file in release.files)}
        problems = [
            f"{name} in {self.folder} belongs to no file of its version"
            for name in self.folder.sizes(f"{_VERSIONS}/{version}")
            if name not in expected
        ]
        done = 0
        with progress(f"Verifying {short(version)}", release.size_bytes) as reached:
            for file in release.files:
                problems += self._problems_of(version, file)
                done += file.size_bytes
                reached(done)
        return problems

    def check(self, version: str, progress: Progress) -> None:
        """Read a version as a whole. Raises DamagedError with its first problem."""
        problems = self.problems(version, progress)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise DamagedError(f"version {short(version)} is not as it was published: {problems[0]}{more}")

    def fetch(self, release: Release, output: Path, progress: Progress) -> None:
        """Write a version to the folder `output`, which it replaces as a whole.

        Raises DamagedError if a file is not what was published, RegistryError if the folder cannot be written or holds
        what is no built repository, ObjectFolderError if the registry cannot be read.
        """
        output = output.absolute()
        try:
            with locked(output):
                if holds_something_else(output):
                    raise RegistryError(
                        f"{output} holds something that is no built repository: give another folder or remove it"
                    )
                with replaced_whole(output) as new:
                    self._fetch_files(release, new, progress)
        except OSError as error:
            raise RegistryError(f"{output} cannot be written ({error.strerror}): give another folder") from error

    def _fetch_files(self, release: Release, folder: Path, progress: Progress) -> None:
        version = release.version
        for name, manifest in release.models.items():
            # Triton wants the folder of an ensemble's version too, in which there is nothing.
            (folder / name / str(manifest.version)).mkdir(parents=True)
        done = 0
        with progress(f"Fetching {short(version)}", release.size_bytes) as reached:
            for file in release.files:
                state = hashlib.sha256()
                with (folder / file.path).open("xb") as target:
                    for chunk in self._chunks(version, file):
                        state.update(chunk)
                        target.write(chunk)
                if state.hexdigest() != file.sha256:
                    raise DamagedError(self._changed(version, file))
                done += file.size_bytes
                reached(done)
        release.build.write(folder)

    def _problems_of(self, version: str, file: ReleaseFile) -> list[str]:
        state = hashlib.sha256()
        try:
            for chunk in self._chunks(version, file):
                state.update(chunk)
        except DamagedError as error:
            return [str(error)]
        return [] if state.hexdigest() == file.sha256 else [self._changed(version, file)]

    def _chunks(self, version: str, file: ReleaseFile) -> Iterator[bytes]:
        """Give a file, never more than its size. Raises DamagedError if it is missing or larger."""
        try:
            yield from self.folder.chunks(_path(version, file), file.size_bytes)
        except (ObjectMissingError, ObjectTooLargeError) as error:
            raise DamagedError(str(error)) from None

    def _changed(self, version: str, file: ReleaseFile) -> str:
        return f"{_path(version, file)} in {self.folder} does not have the SHA-256 of the file that was published"


def _document(version: str) -> str:
    return f"{_VERSIONS}/{version}/{_RELEASE}"


def _path(version: str, file: ReleaseFile) -> str:
    return f"{_VERSIONS}/{version}/files/{file.path}"
