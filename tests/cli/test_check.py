"""`labelwire check`, as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PASSWORD = "LABELWIRE_KAFKA__CLIENT__SASL_PASSWORD"  # noqa: S105 - its name


def check(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("LABELWIRE_")}
    command = [sys.executable, "-m", "worker", "check", *arguments]
    return subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True, timeout=60, check=False)


def test_it_shows_what_takes_effect_and_hides_secrets() -> None:
    environment = {"LABELWIRE_KAFKA__GROUP_ID": "mine", PASSWORD: "hunter2"}
    ended = check("--json", **environment)
    assert ended.returncode == 0
    shown = json.loads(ended.stdout)
    assert shown["LABELWIRE_KAFKA__GROUP_ID"] == "mine"
    assert shown[PASSWORD] == "(hidden)"
    assert "hunter2" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LABELWIRE_HTTP__PORT", "eighty", "LABELWIRE_HTTP__PORT='eighty'"),
        ("LABELWIRE_TOPIC__JOBS", "x", "LABELWIRE_TOPIC__JOBS is not a setting; did you mean"),
        ("LABELWIRE_KAFKA__CLIENT__NO_SUCH_OPTION", "x", "no.such.option"),
        ("LABELWIRE_KAFKA__CLIENT__SECURITY_PROTOCOL", "hunter2", "security.protocol"),
    ],
)
def test_what_is_wrong_ends_with_2_and_one_line_that_names_it(name: str, value: str, says: str) -> None:
    ended = check(**{name: value})
    assert ended.returncode == 2
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""


def test_an_address_of_the_cache_that_its_client_does_not_take_ends_with_2_and_is_not_shown() -> None:
    given = {
        "LABELWIRE_CACHE__BACKEND": "redis",
        "LABELWIRE_CACHE__SECRET": "hunter2 hunter2 hunter2",
        "LABELWIRE_CACHE__URL": "redis://user:hunter2@redis:6379/0",
    }
    ended = check("--json", **given)
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["LABELWIRE_CACHE__URL"] == "(hidden)"
    assert "hunter2" not in ended.stdout + ended.stderr
    wrong = check(**given | {"LABELWIRE_CACHE__URL": "redis://user:hunter2@redis:6379?db=first"})
    assert wrong.returncode == 2
    assert "LABELWIRE_CACHE__URL has options" in wrong.stderr
    assert "hunter2" not in wrong.stdout + wrong.stderr


def test_it_shows_where_pictures_may_come_from_as_it_takes_effect() -> None:
    given = {
        "LABELWIRE_BLOB__ALLOWED_PREFIXES": '["HTTPS://CDN.example.com:443/labels/"]',
        "LABELWIRE_BLOB__PRIVATE_NETWORKS": '["10.1.0.0/16"]',
    }
    shown = json.loads(check("--json", **given).stdout)
    assert shown["LABELWIRE_BLOB__ALLOWED_PREFIXES"] == '["https://cdn.example.com/labels/"]'
    assert shown["LABELWIRE_BLOB__PRIVATE_NETWORKS"] == '["10.1.0.0/16"]'


@pytest.mark.parametrize(
    ("prefix", "says"), [("s3://labels", "must end in '/'"), ("az://labels/", "which cannot be used")]
)
def test_a_prefix_that_cannot_be_used_ends_with_2(prefix: str, says: str) -> None:
    ended = check(LABELWIRE_BLOB__ALLOWED_PREFIXES=json.dumps([prefix]))
    assert ended.returncode == 2
    assert says in ended.stderr


def test_it_shows_the_fields_of_the_deployment(tmp_path: Path) -> None:
    file = tmp_path / "fields.toml"
    numbers = "[hauler]\nnumbers = [{ shape = 'HL[AB]#{9}', check = 'none', needs = 'named' }]\n"
    file.write_text(f"[bay]\npattern = 'B-[0-9]{{2}}'\nlabels = ['dock']\n{numbers}")
    ended = check(LABELWIRE_FIELDS__FILE=str(file))
    assert ended.returncode == 0
    assert "B-[0-9]{2}" in ended.stdout
    assert "HL[AB]#{9}" in ended.stdout


def test_a_wrong_file_of_fields_ends_with_2(tmp_path: Path) -> None:
    file = tmp_path / "fields.toml"
    file.write_text("[bay]\npattern = '('\n")
    ended = check(LABELWIRE_FIELDS__FILE=str(file))
    assert ended.returncode == 2
    assert "the field 'bay' has pattern '('" in ended.stderr


@pytest.mark.parametrize("given", ['["phones"]', '["phone"]'])
def test_a_type_that_is_redacted_must_be_looked_for(given: str) -> None:
    """Its text would stay in the results otherwise."""
    sought = {"LABELWIRE_FIELDS__TYPES": '["sscc"]'} if given == '["phone"]' else {}
    ended = check(LABELWIRE_PRIVACY__REDACT=given, **sought)
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"LABELWIRE_PRIVACY__REDACT names {given[2:-2]}, no type of field that is looked for; there")


def test_types_lines_and_barcodes_may_be_redacted() -> None:
    ended = check("--json", LABELWIRE_PRIVACY__REDACT='["phone", "lines", "barcodes"]')
    assert ended.returncode == 0
    assert json.loads(json.loads(ended.stdout)["LABELWIRE_PRIVACY__REDACT"]) == ["phone", "lines", "barcodes"]
