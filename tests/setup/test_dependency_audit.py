"""`make check-deps` says what it did not look up, and its exit code is honest."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.setup.dependency_audit import SHIPPED_LOCKS, Verdict, audited, main
from tests.setup.locks import read

NAMES = [line.name for lock in SHIPPED_LOCKS for line in read(lock) if line.marker is None or line.marker.evaluate()]


def pip_audit(folder: Path, dependencies: list[dict[str, Any]], code: int = 0) -> str:
    """Return a command that answers as pip-audit does."""
    answer = folder / "answer.json"
    answer.write_text(json.dumps({"dependencies": dependencies, "fixes": []}))
    command = folder / "pip-audit"
    command.write_text(f"#!/bin/sh\ncat {answer}\nexit {code}\n")
    command.chmod(0o755)
    return str(command)


def sound(name: str) -> dict[str, Any]:
    return {"name": name, "version": "1", "vulns": []}


def told(capsys: pytest.CaptureFixture[str], command: str) -> tuple[int, dict[str, Any]]:
    code = main(["--json"], command)
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert printed["exit_code"] == code
    return code, printed


def test_packages_that_were_all_looked_up_are_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = pip_audit(tmp_path, [sound(name) for name in NAMES])
    assert main([], command) == Verdict.SOUND
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"All {len(NAMES)} packages have a known license, and no weakness of them is known."
    assert [line.split()[0] for line in lines[:-1]] == NAMES


def test_a_weakness_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weak = {"name": NAMES[0], "version": "1", "vulns": [{"id": "CVE-2026-1"}]}
    code, printed = told(capsys, pip_audit(tmp_path, [weak, *map(sound, NAMES[1:])], code=1))
    assert code == Verdict.BAD
    assert printed["weaknesses"] == {NAMES[0]: ["CVE-2026-1"]}


def test_a_package_that_was_skipped_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """pip-audit ends with 0 all the same."""
    skipped = {"name": NAMES[0], "skip_reason": "Dependency not found on PyPI and could not be audited"}
    code, printed = told(capsys, pip_audit(tmp_path, [skipped, *map(sound, NAMES[2:])]))
    assert code == Verdict.UNCHECKED
    assert set(printed["unchecked"]) == set(NAMES[:2]), "of the second one nothing was said"


def test_without_pip_audit_nothing_was_looked_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], str(tmp_path / "none")) == Verdict.UNCHECKED
    assert (
        f"but {len(NAMES)} were not looked up for weaknesses ({tmp_path}/none is not there" in capsys.readouterr().out
    )


def test_an_answer_that_is_none_looked_nothing_up(tmp_path: Path) -> None:
    command = tmp_path / "pip-audit"
    command.write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    command.chmod(0o755)
    assert set(audited(str(command), SHIPPED_LOCKS, NAMES).unchecked) == set(NAMES)
