"""The folder that a server runs in: a given one, which stays, or a temporary one, which is removed with the server."""

import shutil
import tempfile
from pathlib import Path

from worker.domain.errors import LocalStackError


class RunFolder:
    """A folder given, or made at the first `open` and removed by `close`."""

    def __init__(self, given: Path | None, name: str) -> None:
        self._given = given
        self._name = name
        self._temporary: Path | None = None

    @property
    def path(self) -> Path:
        """The folder, absolute; raises LocalStackError before `open`."""
        folder = self._given or self._temporary
        if folder is None:
            raise LocalStackError(f"{self._name} has no folder yet, because it was not started; start it first")
        return folder.absolute()

    @property
    def temporary(self) -> Path | None:
        """The folder, if it is a temporary one."""
        return self._temporary

    def open(self) -> None:
        """Make the folder."""
        if self._given:
            self._given.mkdir(parents=True, exist_ok=True)
        elif self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix=f"labelwire-{self._name}-"))

    def close(self) -> None:
        """Remove the folder, if it is a temporary one."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None
