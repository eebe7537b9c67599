"""Servers written in Go, each built once from a pinned version and kept in the cache."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import LocalStackError
from worker.local.cache import content_key, entry_path, provide
from worker.local.progress import progress
from worker.local.provision import run_tool


@dataclass(frozen=True, slots=True)
class GoTool:
    """A program of a Go `module` with its version; `title` is what messages call it, `name` the cache.

    `tags` are build tags, comma-separated, that leave out what is not needed.
    """

    module: str
    name: str
    title: str
    tags: str = ""

    def provide(self) -> Path:
        """Return the program, built if it is not there.

        Raises LocalStackError without Go, or if the build fails.
        """
        key = content_key(*filter(None, (self.module, self.tags)))
        if not entry_path(self.name, key).exists() and shutil.which("go") is None:
            raise LocalStackError(f"Go is not on the PATH; install Go 1.24 or newer, which builds {self.title}")
        program = self.module.partition("@")[0].rpartition("/")[2]
        return provide(self.name, key, self._build) / program

    def _build(self, folder: Path) -> None:
        # Go checks the module's hash against the public checksum database, where it can be reached.
        with progress(f"Building {self.title} (once)") as report:
            environment = {**os.environ, "GOBIN": str(folder)}
            command = ["go", "install", f"-tags={self.tags}", self.module]
            run_tool(command, folder / "build.log", report, environment)
