"""The real Triton server on the loopback interface: out of the wheel `nvidia-pytriton`, or the one of this host.

A server keeps its ports for life: stopped or killed and started again, it is found at the same address.
"""

import http.client
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from worker.domain.errors import LocalStackError
from worker.local.process import Command, last_lines
from worker.local.provision import PythonEnvironment, check_triton_platform, python_environment, python_library_folders
from worker.local.python_backend import link_python_backend
from worker.local.server import LocalServer

_ANSWER_SECONDS = 2.0
_EXIT_TIMEOUT_SECONDS = 5
_SHOWN_LINES = 8
_SHOWN_CHARACTERS = 400


class TritonServer(LocalServer):
    """One Triton server over one or more model repositories; its Python models run in children of its process.

    The models of two repositories must have different names, as those of two model sets do. `profile` makes each model
    take `configs/<profile>.pbtxt` before its `config.pbtxt`. `arguments` are further flags.
    """

    title = "Triton"
    name = "triton"
    port_count = 3

    def __init__(
        self,
        model_repository: Path | Sequence[Path],
        *,
        run_dir: Path | None = None,
        profile: str | None = None,
        arguments: Sequence[str] = (),
        ready_timeout_seconds: float = 180.0,
    ) -> None:
        super().__init__(run_dir, ready_timeout_seconds)
        self._repositories = (model_repository,) if isinstance(model_repository, Path) else tuple(model_repository)
        self._profile = profile
        self._arguments = tuple(arguments)

    @property
    def http_url(self) -> str:
        """As `http://127.0.0.1:8000`."""
        return f"http://127.0.0.1:{self._port(0)}"

    @property
    def grpc_url(self) -> str:
        """As a gRPC client wants it: host and port."""
        return f"127.0.0.1:{self._port(1)}"

    @property
    def metrics_url(self) -> str:
        """The page of Triton's metrics."""
        return f"http://127.0.0.1:{self._port(2)}/metrics"

    def is_ready(self) -> bool:
        """Whether every model is ready now."""
        return answers_ready(self.http_url)

    def _provision(self) -> None:
        self._check_repository()
        check_triton_platform()
        python_environment("triton")

    def _command(self) -> Command:
        self._check_spaces()
        environment = python_environment("triton")
        prefix = f"labelwire-triton-{self._ports[0]}-{os.getpid()}-"
        backends = link_python_backend(environment, self._folder.path / "backends")
        argv = [
            str(environment.site_packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
            f"--backend-directory={backends}",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            *self._flags(),
        ]
        return Command(
            argv,
            self.log_path,
            environment=_server_environment(environment),
            working_folder=self._folder.path,
            grace_seconds=_EXIT_TIMEOUT_SECONDS + 5.0,
            shared_memory_prefix=prefix,
            scratch=self._folder.temporary,
        )

    def _flags(self) -> list[str]:
        """Return the flags of any Triton: what it serves, and where it answers."""
        http_port, grpc_port, metrics_port = self._ports
        return [
            *(f"--model-repository={repository.absolute()}" for repository in self._repositories),
            "--http-address=127.0.0.1",
            f"--http-port={http_port}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={grpc_port}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={metrics_port}",
            "--allow-gpu-metrics=false",
            "--model-control-mode=none",
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={_EXIT_TIMEOUT_SECONDS}",
            *([f"--model-config-name={self._profile}"] if self._profile else []),
            *self._arguments,
        ]

    def _check_repository(self) -> None:
        for repository in self._repositories:
            if not repository.is_dir():
                raise LocalStackError(f"the model repository {repository} does not exist; run `labelwire models build`")

    def _check_spaces(self) -> None:
        """Refuse folders that Triton's python backend, which starts its models by a shell, would wait for in vain."""
        repositories = [("model repository", repository) for repository in self._repositories]
        for what, path in (*repositories, ("run folder", self._folder.path)):
            if any(character.isspace() for character in str(path.absolute())):
                raise LocalStackError(
                    f"the {what} {path.absolute()} has a space in its path, which its python backend does not take: "
                    "work in a folder without one"
                )

    def _log_tail(self) -> str:
        """Return what the log says went wrong, its tables left out; else its last lines."""
        lines = last_lines(self.log_path, 500).splitlines()
        errors = [line for line in lines if line.startswith(("E", "error:"))] or lines
        return "\n".join(line[:_SHOWN_CHARACTERS] for line in errors[-_SHOWN_LINES:])


class HostTritonServer(TritonServer):
    """The `tritonserver` of this host, as Triton's container has it, with its own backends and with the host's GPU."""

    def _provision(self) -> None:
        self._check_repository()
        find_tritonserver()

    def _command(self) -> Command:
        return Command(
            [str(find_tritonserver()), *self._flags()],
            self.log_path,
            working_folder=self._folder.path,
            grace_seconds=_EXIT_TIMEOUT_SECONDS + 5.0,
            scratch=self._folder.temporary,
        )


def find_tritonserver() -> Path:
    """Return the host's own server. Raises LocalStackError if it is not on the PATH."""
    found = shutil.which("tritonserver")
    if found is None:
        raise LocalStackError("tritonserver is not on the PATH; run this in Triton's container")
    return Path(found).resolve()


def answers_ready(http_url: str) -> bool:
    """Whether a Triton at this address says that every model is ready."""
    connection = http.client.HTTPConnection(http_url.removeprefix("http://"), timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _server_environment(environment: PythonEnvironment) -> dict[str, str]:
    libraries = [environment.site_packages / "nvidia_pytriton.libs", *python_library_folders()]
    return {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        # The interpreter inside the stub ignores PYTHONPATH; it finds its environment as the first Python on the PATH.
        "PATH": os.pathsep.join([str(environment.python.parent), os.environ.get("PATH", os.defpath)]),
        # The server's log is read while it runs.
        "PYTHONUNBUFFERED": "1",
    }
