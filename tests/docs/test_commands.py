"""Each call of `labelwire` on a page is one that the command takes: it exists, and so do its options."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
import typer.main
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from tests.docs.pages import PAGES, ROOT, Block, blocks, invocations, name_of, spans
from worker.cli import _app

OPTION = re.compile(r"--[a-z][a-z0-9-]*")
# A span may name a command that has several, as `labelwire topics plan, apply`.
WORD = re.compile(r"[a-z][a-z-]*")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_call_in_a_block_parses(page: Path) -> None:
    for block in blocks(page):
        for call in invocations(block):
            _parse(call)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_command_in_a_sentence_is_there_with_its_options(page: Path) -> None:
    for span in spans(page):
        program, _, rest = span.partition(" ")
        if program in {"labelwire", ".venv/bin/labelwire"} and rest:
            command = _named(rest.split())
            unknown = set(OPTION.findall(rest)) - {option for found in command for option in _options(found)}
            assert not unknown, f"`{span}` names {unknown}, and the command has no such option"


def test_calls_are_found_and_wrong_ones_refused() -> None:
    assert len([call for block in blocks(ROOT / "README.md") for call in invocations(block)]) > 15
    assert invocations(Block("sh", 'eval "$(.venv/bin/labelwire local up | grep x)"\nA=1 labelwire run > log &')) == [
        ["local", "up"],
        ["run"],
    ]
    assert invocations(Block("", "$ labelwire tail\nlabelwire is output here")) == [["tail"]]
    for wrong in (["dlq", "list"], ["audit", "--waiting"], ["audit", "--wait"], ["canary", "promote", "v2"]):
        with pytest.raises((TyperException, AssertionError)):
            _parse(wrong)


def _parse(call: Sequence[str]) -> None:
    command, arguments = _resolve(call)
    assert isinstance(command, TyperCommand), f"labelwire {' '.join(call)} names a group and no command"
    given, left, _ = command.make_parser(typer.Context(command)).parse_args(list(arguments))
    assert not left, f"labelwire {' '.join(call)}: {left} is too much"
    missing = [each.name for each in command.params if each.required and not given.get(each.name or "")]
    assert not missing, f"labelwire {' '.join(call)} lacks {missing}"


def _commands() -> TyperGroup:
    commands = typer.main.get_command(_app)
    assert isinstance(commands, TyperGroup)
    return commands


def _resolve(call: Sequence[str]) -> tuple[TyperCommand | TyperGroup, Sequence[str]]:
    command: TyperCommand | TyperGroup = _commands()
    while isinstance(command, TyperGroup) and call and not call[0].startswith("-"):
        command, call = _command(command, call[0]), call[1:]
    return command, call


def _named(words: Sequence[str]) -> list[TyperCommand | TyperGroup]:
    """Return the command that the words begin with, and those that a list of a group's commands names."""
    command: TyperCommand | TyperGroup = _commands()
    found: list[TyperCommand | TyperGroup] = []
    for word in words:
        name = word.rstrip(",…")
        if not isinstance(command, TyperGroup) or not WORD.fullmatch(name):
            break
        found.append(_command(command, name))
        if not word.endswith(","):
            command = found[-1]
    return found


def _command(group: TyperGroup, name: str) -> TyperCommand | TyperGroup:
    found = group.get_command(typer.Context(group), name)
    assert isinstance(found, TyperCommand | TyperGroup), f"{group.name} has no command {name}"
    return found


def _options(command: TyperCommand | TyperGroup) -> set[str]:
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help", "--version"}
