"""What the worker ships, under which licenses, and whether weaknesses of it are known: `make check-deps`.

Invariant: exit code 0 means that each package was looked up. pip-audit itself ends with 0 where it found nobody to ask,
and calls the package skipped; here that is no success.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

from tests.setup.locks import ROOT, Line, read
from tests.setup.test_licences import license_of

SHIPPED_LOCKS: Final = (ROOT / "docker" / "worker.lock.txt", ROOT / "docker" / "source.lock.txt")
_SECONDS: Final = 600


class Verdict(IntEnum):
    """The exit code."""

    SOUND = 0
    BAD = 1  # a weakness is known, or a license is not
    UNCHECKED = 2  # not every package could be looked up


@dataclass(frozen=True, slots=True)
class Audit:
    """What pip-audit says: weaknesses by package, and why packages were not looked up."""

    weaknesses: dict[str, list[str]]
    unchecked: dict[str, str]


def main(arguments: Sequence[str], pip_audit: str) -> int:
    """Print packages with licenses, and weaknesses. `--json` prints the same for scripts."""
    packages = [line for lock in SHIPPED_LOCKS for line in read(lock) if line.marker is None or line.marker.evaluate()]
    licenses = {line.name: _license(line) for line in packages}
    audit = audited(pip_audit, SHIPPED_LOCKS, [line.name for line in packages])
    verdict = _verdict(licenses, audit)
    if "--json" in arguments:
        document = {"licenses": licenses, "weaknesses": audit.weaknesses, "unchecked": audit.unchecked}
        sys.stdout.write(json.dumps({**document, "exit_code": verdict}, indent=2) + "\n")
        return verdict
    for line in packages:
        found = ", ".join(audit.weaknesses.get(line.name, ()))
        row = f"{line.name:<24} {line.version!s:<14} {licenses[line.name] or 'LICENSE UNKNOWN':<32} {found}"
        sys.stdout.write(f"{row.rstrip()}\n")
    sys.stdout.write(f"{_sentence(verdict, audit, len(packages))}\n")
    return verdict


def audited(pip_audit: str, locks: Sequence[Path], names: Sequence[str]) -> Audit:
    """Let pip-audit look the packages of locks up; without it, none was."""
    command = [pip_audit, "--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"]
    for lock in locks:
        command += ["--requirement", str(lock)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        dependencies: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
    except FileNotFoundError:
        return Audit({}, dict.fromkeys(names, f"{pip_audit} is not there: install pip-audit, or name it in PIP_AUDIT"))
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return Audit({}, dict.fromkeys(names, f"{pip_audit} gave no answer: see what it says by itself"))
    told = {str(each["name"]): each for each in dependencies}
    unchecked = {
        name: str(told[name]["skip_reason"]) if name in told else f"{pip_audit} says nothing of it"
        for name in names
        if "skip_reason" in told.get(name, {"skip_reason": ""})
    }
    weaknesses = {
        name: [str(each["id"]) for each in found["vulns"]] for name, found in told.items() if found.get("vulns")
    }
    return Audit(weaknesses, unchecked)


def _license(line: Line) -> str | None:
    try:
        return license_of(distribution(line.name))
    except PackageNotFoundError:
        return None


def _verdict(licenses: dict[str, str | None], audit: Audit) -> Verdict:
    if audit.weaknesses or None in licenses.values():
        return Verdict.BAD
    return Verdict.UNCHECKED if audit.unchecked else Verdict.SOUND


def _sentence(verdict: Verdict, audit: Audit, count: int) -> str:
    if verdict is Verdict.SOUND:
        return f"All {count} packages have a known license, and no weakness of them is known."
    if verdict is Verdict.UNCHECKED:
        reason = next(iter(audit.unchecked.values())).rstrip(".")
        return (
            f"All {count} packages have a known license, but {len(audit.unchecked)} were not looked up for weaknesses"
            f" ({reason}); run it where the advisories can be reached."
        )
    return "A weakness is known, or a license is not: see the lines above, then run `make lock` for newer versions."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ.get("PIP_AUDIT") or "pip-audit"))
