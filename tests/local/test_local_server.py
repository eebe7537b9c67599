"""The life of a local server, on one that any Python runs."""

import os
import sys
from pathlib import Path

import pytest

from tests.go_tools import demand_go_tool
from worker.domain.errors import LocalStackError
from worker.local.cache import content_key, provide
from worker.local.go_tool import GoTool
from worker.local.process import Command, free_ports
from worker.local.server import LocalServer


class Script(LocalServer):
    """Runs a script, and is ready when that has written a file."""

    title = "The script"
    name = "script"

    def __init__(self, script: str, *, run_dir: Path | None = None, ready_timeout_seconds: float = 20.0) -> None:
        super().__init__(run_dir, ready_timeout_seconds)
        self._script = script
        self.port = 0

    @property
    def folder(self) -> Path:
        return self._folder.path

    def is_ready(self) -> bool:
        self.port = self._port()
        return (self.folder / "ready").exists()

    def _provision(self) -> None:
        if not self._script:
            raise LocalStackError("there is no script")

    def _command(self) -> Command:
        return Command([sys.executable, "-c", self._script], self.log_path, working_folder=self.folder)


SERVES = "import pathlib, time; pathlib.Path('ready').touch(); time.sleep(60)"


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_it_runs_inside_its_context_and_leaves_nothing() -> None:
    with Script(SERVES) as server:
        pid, folder = server.pid, server.folder
        assert alive(pid)
    assert not alive(pid)
    assert not folder.exists()


def test_it_keeps_its_port_and_its_folder_through_a_kill() -> None:
    with Script(SERVES) as server:
        first, port, folder = server.pid, server.port, server.folder
        server.kill()
        assert not alive(first)
        with pytest.raises(LocalStackError, match="The script is not running"):
            _ = server.pid
        server.restart()
        assert (server.port, server.folder) == (port, folder)
        assert server.pid != first


@pytest.mark.parametrize(
    ("script", "seconds", "said"),
    [
        ("print('no disk'); raise SystemExit(3)", 20.0, r"The script ended; its log ends with:\nno disk"),
        (
            "import time; print('slow', flush=True); time.sleep(60)",
            1.0,
            r"was not ready in 1 s; its log ends with:\nslow",
        ),
    ],
)
def test_one_that_does_not_get_ready_is_stopped_and_quoted(
    script: str, seconds: float, said: str, tmp_path: Path
) -> None:
    server = Script(script, run_dir=tmp_path / "run", ready_timeout_seconds=seconds)
    with pytest.raises(LocalStackError, match=said):
        server.start()
    with pytest.raises(LocalStackError, match="is not running"):
        _ = server.pid


def test_what_is_missing_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="there is no script"):
        Script("", run_dir=tmp_path / "run").start()
    assert not (tmp_path / "run").exists()


def test_a_server_needs_no_port() -> None:
    assert free_ports(0) == []


def test_a_go_tool_is_not_built_without_go(tmp_path: Path) -> None:
    before = {name: os.environ.get(name) for name in ("PATH", "LABELWIRE_CACHE_DIR")}
    os.environ.update(PATH="/nowhere", LABELWIRE_CACHE_DIR=str(tmp_path))
    try:
        with pytest.raises(LocalStackError, match=r"install Go 1\.24 or newer, which builds the tool"):
            GoTool("example.com/tool@v1", "tool", "the tool").provide()
    finally:
        os.environ.update({name: value for name, value in before.items() if value is not None})
        if before["LABELWIRE_CACHE_DIR"] is None:
            del os.environ["LABELWIRE_CACHE_DIR"]


@pytest.mark.parametrize(("ci", "ends_in"), [("", pytest.skip.Exception), ("true", LocalStackError)])
def test_without_go_a_test_is_skipped_but_fails_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, ends_in: type[BaseException]
) -> None:
    for name, value in {"PATH": "/nowhere", "LABELWIRE_CACHE_DIR": str(tmp_path), "CI": ci}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ends_in, match=r"install Go 1\.24 or newer, which builds the tool"):
        demand_go_tool(GoTool("example.com/tool@v1", "tool", "the tool"))


def test_a_go_tool_that_is_in_the_cache_needs_no_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELWIRE_CACHE_DIR", str(tmp_path))
    tool = GoTool("example.com/tool@v1", "tool", "the tool")
    provide(tool.name, content_key(tool.module), lambda folder: folder.joinpath("tool").touch())
    monkeypatch.setenv("PATH", "/nowhere")
    assert demand_go_tool(tool).name == "tool"


def test_a_go_tool_that_is_built_otherwise_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELWIRE_CACHE_DIR", str(tmp_path))
    tool = GoTool("example.com/tool@v1", "tool", "the tool", tags="small")
    provide(tool.name, content_key(tool.module), lambda folder: folder.joinpath("tool").touch())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LocalStackError, match="which builds the tool"):
        tool.provide()
