"""Versity's S3 gateway on the loopback interface: an S3 server over a folder, one folder a bucket.

It is built once by Go from a pinned version and kept in the cache.
"""

import os
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from worker.domain.errors import LocalStackError
from worker.local.cache import content_key, entry_path, provide
from worker.local.folder import RunFolder
from worker.local.process import Command, SupervisedProcess, free_ports, last_lines, start
from worker.local.progress import progress
from worker.local.provision import run_tool

# Go checks the module's hash against the public checksum database, where it can be reached.
_MODULE = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
_KEY = content_key(_MODULE)
_REGION = "us-east-1"
_READY_SECONDS = 20.0
_POLL_SECONDS = 0.05


def provision_versitygw() -> Path:
    """Return the gateway, built if it is not there.

    Raises LocalStackError without Go, or if the build fails.
    """
    if not entry_path("versitygw", _KEY).exists() and shutil.which("go") is None:
        raise LocalStackError("Go is not on the PATH; install Go 1.24 or newer, which builds the S3 gateway")
    return provide("versitygw", _KEY, _build) / "versitygw"


def _build(folder: Path) -> None:
    with progress("Building the S3 gateway (once)") as report:
        run_tool(["go", "install", _MODULE], folder / "build.log", report, {**os.environ, "GOBIN": str(folder)})


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of a server's certificate and its key."""

    certificate: Path
    key: Path


class S3Gateway:
    """One server; a context manager. `run_dir` takes its log and its buckets; without one a temporary folder does."""

    def __init__(self, certificate: Certificate, *, run_dir: Path | None = None) -> None:
        self._certificate = certificate
        self._folder = RunFolder(run_dir, "versitygw")
        self._port = 0
        self._process: SupervisedProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log_path(self) -> Path:
        """What the server says."""
        return self._folder.path / "versitygw.log"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which S3 clients find it and prove who they are."""
        return {
            "AWS_ENDPOINT_URL": f"https://localhost:{self._port}",
            "AWS_ACCESS_KEY_ID": "labelwire",
            "AWS_SECRET_ACCESS_KEY": "labelwire-on-loopback",
            "AWS_REGION": _REGION,
        }

    def make_bucket(self, name: str) -> Path:
        """Make a bucket, and return the folder of its objects."""
        bucket = self._folder.path / "buckets" / name
        bucket.mkdir(parents=True)
        return bucket

    def start(self) -> None:
        """Start and wait until it answers; raises LocalStackError if it does not."""
        server = provision_versitygw()
        self._folder.open()
        self._port = self._port or free_ports(1)[0]
        buckets = self._folder.path / "buckets"
        buckets.mkdir(exist_ok=True)
        argv = [str(server), "--port", f"127.0.0.1:{self._port}", "--region", _REGION, "--quiet"]
        argv += ["--cert", str(self._certificate.certificate), "--key", str(self._certificate.key)]
        given = self.environment
        environment = {
            **os.environ,
            "ROOT_ACCESS_KEY": given["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_KEY": given["AWS_SECRET_ACCESS_KEY"],
        }
        argv += ["posix", str(buckets)]
        self._process = start(Command(argv, self.log_path, environment, scratch=self._folder.temporary))
        self._wait()

    def stop(self) -> None:
        """Stop."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._folder.close()

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self._listens():
            if self._process is None or self._process.exit_status is not None or time.monotonic() > deadline:
                said = last_lines(self.log_path, 5)
                self.stop()
                raise LocalStackError(f"The S3 gateway did not answer in {_READY_SECONDS:.0f} s; it said:\n{said}")
            time.sleep(_POLL_SECONDS)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), _POLL_SECONDS).close()
        except OSError:
            return False
        return True
