"""The command `labelwire`.

Invariant: a command's module is imported only when that command is called or listed, so that a production worker needs
no more than its own packages.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Any, Final

import typer
from typer.core import TyperGroup

from worker import __version__
from worker.domain.errors import LabelwireError, SettingsError

_WRONG_SETTING: Final = 2
_FAILURE: Final = 1
_LAB: Final = "worker.lab"  # left out of the wheel
# What remains of a group where its packages are missing, and which of its commands do not.
_REMAINING: Final = {"models": ("registry", ("build", "quantize", "choose", "import"))}

_COMMANDS: Final = (
    "demo",
    "run",
    "check",
    "doctor",
    "ocr",
    "submit",
    "tail",
    "top",
    "dlq",
    "audit",
    "synth",
    "models",
    "canary",
    "topics",
    "local",
    "eval",
    "bench",
    "gpu-bench",
    "worker-bench",
    "chaos",
)


class _Commands(TyperGroup):
    """The commands, loaded when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - typer's own type is private
        """Return the names, in the order in which a new user needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 - typer's own type is private
        """Load a command; None if there is none of this name."""
        return _load(cmd_name) if cmd_name in _COMMANDS else None


def _load(name: str) -> object:
    try:
        command = typer.main.get_command(importlib.import_module(f"worker.cli.{name.replace('-', '_')}").app)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] == "worker" and not missing.startswith(_LAB):
            raise
        command = typer.main.get_command(_reduced(name, missing) if name in _REMAINING else _substitute(missing))
    command.name = name
    return command


def _reduced(name: str, package: str) -> typer.Typer:
    """Return a group with the commands that remain, and with substitutes for the others."""
    remaining, others = _REMAINING[name]
    app = typer.Typer(no_args_is_help=True, add_completion=False)
    app.add_typer(importlib.import_module(f"worker.cli.{remaining}").app)
    app.add_typer(_substitute(package, others))
    return app


def _substitute(package: str, names: Sequence[str] = ("missing",)) -> typer.Typer:
    """Return commands that say what is missing, and where the command can be run."""
    sentence = missing_package(package)
    app = typer.Typer(add_completion=False)

    def missing() -> None:
        raise LabelwireError(sentence)

    for name in names:
        app.command(name, help=sentence, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
            missing
        )
    return app


def missing_package(package: str) -> str:
    """Say what is missing, and where the command can be run."""
    return f"Needs the package {package}, which an installed worker leaves out: run it in a checkout after make setup."


def _show_version(shown: bool) -> None:  # noqa: FBT001 - typer's callback
    if shown:
        print(f"labelwire {__version__}")
        raise typer.Exit


_app = typer.Typer(
    name="labelwire", cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@_app.callback()
def _options(
    *,
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Read shipping labels from a Kafka topic with OCR models on NVIDIA Triton."""


def main() -> None:
    """Run the command; print an error of ours as one sentence; exit code 2 for settings, 1 for others."""
    try:
        _app()
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(_WRONG_SETTING)
    except LabelwireError as error:
        print(error, file=sys.stderr)
        sys.exit(_FAILURE)
    except ExceptionGroup as group:  # out of a worker's tasks
        ours, others = group.split(LabelwireError)
        if ours is None or others is not None:
            raise
        print(_first(ours), file=sys.stderr)
        sys.exit(_FAILURE)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
