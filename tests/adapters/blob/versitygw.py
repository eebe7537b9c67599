"""Versity's S3 gateway on the loopback interface: an S3 server over a folder, one folder a bucket.

It is built once by Go from a pinned version and kept in the cache.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.local.go_tool import GoTool
from worker.local.process import Command
from worker.local.server import LocalServer

GATEWAY: Final = GoTool("github.com/versity/versitygw/cmd/versitygw@v1.8.0", "versitygw", "the S3 gateway")
_REGION = "us-east-1"
_READY_SECONDS = 20.0
_ANSWER_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of a server's certificate and its key."""

    certificate: Path
    key: Path


class S3Gateway(LocalServer):
    """One server; its folder holds its buckets, too."""

    title = "The S3 gateway"
    name = "versitygw"

    def __init__(self, certificate: Certificate, *, run_dir: Path | None = None, is_read_only: bool = False) -> None:
        super().__init__(run_dir, _READY_SECONDS)
        self._certificate = certificate
        self._is_read_only = is_read_only

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which S3 clients find it and prove who they are."""
        return {
            "AWS_ENDPOINT_URL": f"https://localhost:{self._port()}",
            "AWS_ACCESS_KEY_ID": "labelwire",
            "AWS_SECRET_ACCESS_KEY": "labelwire-on-loopback",
            "AWS_REGION": _REGION,
        }

    def make_bucket(self, name: str) -> Path:
        """Make a bucket, and return the folder of its objects."""
        bucket = self._buckets / name
        bucket.mkdir(parents=True)
        return bucket

    def is_ready(self) -> bool:
        """Whether it takes connections now."""
        try:
            socket.create_connection(("127.0.0.1", self._port()), _ANSWER_SECONDS).close()
        except OSError:
            return False
        return True

    @property
    def _buckets(self) -> Path:
        return self._folder.path / "buckets"

    def _provision(self) -> None:
        GATEWAY.provide()

    def _command(self) -> Command:
        self._buckets.mkdir(exist_ok=True)
        argv = [str(GATEWAY.provide()), "--port", f"127.0.0.1:{self._port()}", "--region", _REGION, "--quiet"]
        argv += ["--cert", str(self._certificate.certificate), "--key", str(self._certificate.key)]
        argv += ["--readonly"] if self._is_read_only else []
        argv += ["posix", str(self._buckets)]
        given = self.environment
        environment = {
            **os.environ,
            "ROOT_ACCESS_KEY": given["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_KEY": given["AWS_SECRET_ACCESS_KEY"],
        }
        return Command(argv, self.log_path, environment, scratch=self._folder.temporary)
