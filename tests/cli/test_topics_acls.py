"""`labelwire topics acls`, which asks no broker."""

import json
import shlex

from typer.testing import CliRunner

from worker.adapters.kafka.acls import Role
from worker.cli import _app


def run(*arguments: str, **environment: str) -> str:
    ended = CliRunner().invoke(_app, ["topics", "acls", *arguments], env=environment)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_the_commands_grant_what_the_json_lists() -> None:
    documents = json.loads(run("--json"))
    assert [each["role"] for each in documents] == [str(role) for role in Role]
    listed = {
        (each["principal"], right["operation"], right["pattern"], f"--{right['resource']}", right["name"])
        for each in documents
        for right in each["rights"]
    }
    granted = set()
    for line in run().splitlines():
        if line.startswith("#"):
            continue
        words = shlex.split(line)
        assert words[:5] == ["kafka-acls", "--bootstrap-server", "localhost:9092", "--add", "--allow-principal"]
        pattern = "prefixed" if "--resource-pattern-type" in words else "literal"
        resources = words[10:] if pattern == "prefixed" else words[8:]
        if resources == ["--cluster"]:
            resources.append("kafka-cluster")
        for option, name in zip(resources[::2], resources[1::2], strict=True):
            granted.add((words[5], words[7], pattern, option, name))
    assert granted == listed


def test_settings_and_the_principal_decide() -> None:
    environment = {"LABELWIRE_RUNTIME__DELIVERY": "exactly-once", "LABELWIRE_RUNTIME__ORDERING": "key"}
    printed = run("--role", "worker", "--principal", "User:CN=ocr worker", **environment)
    assert "--allow-principal 'User:CN=ocr worker'" in printed
    assert "--operation Write --resource-pattern-type prefixed --transactional-id labelwire-" in printed
    writes = next(line for line in printed.splitlines() if "--operation Write --topic" in line)
    assert "retry" not in writes, "jobs of a key that are in order are tried again in place"
    assert "transactional-id" not in run("--role", "worker")


def test_one_principal_for_several_roles_is_refused() -> None:
    ended = CliRunner().invoke(_app, ["topics", "acls", "--principal", "User:x"])
    assert ended.exit_code == 2
    assert "give it with one --role" in ended.output
