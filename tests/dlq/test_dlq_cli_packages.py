"""In a production pod there are the worker's own packages only."""

import subprocess
import sys
from pathlib import Path

import pytest

EXTRA = ("matplotlib", "jinja2", "markupsafe", "scipy", "onnx", "psutil")


def outcome_of(script: str) -> subprocess.CompletedProcess[str]:
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({EXTRA!r}))\n"
    return subprocess.run([sys.executable, "-c", blocked + script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("group", "commands"),
    [("dlq", ("ls", "show", "stats", "export")), ("canary", ("start", "status", "promote", "abort"))],
)
def test_the_commands_load_without_the_extras(group: str, commands: tuple[str, ...]) -> None:
    ended = outcome_of(f"sys.argv[1:] = [{group!r}, '--help']\nimport worker.cli\nworker.cli.main()")

    assert ended.returncode == 0, ended.stderr
    assert "Needs the package" not in ended.stdout
    for command in commands:
        assert f" {command} " in ended.stdout


def test_a_command_of_the_lab_says_in_one_sentence_where_it_can_be_had() -> None:
    for command in ("demo", "eval", "bench", "chaos", "synth"):
        ended = outcome_of(
            f"sys.modules['worker.lab'] = None\nsys.argv[1:] = [{command!r}]\nimport worker.cli\nworker.cli.main()"
        )

        assert ended.returncode == 1, ended.stdout
        assert ended.stderr.startswith("Needs the package ")
        assert ended.stderr.endswith(", which an installed worker leaves out: run it in a checkout after make setup.\n")


def test_a_page_without_the_extras_is_a_sentence(tmp_path: Path) -> None:
    ended = outcome_of(
        "from pathlib import Path\n"
        "from worker.cli.dlq_output import write_page\n"
        "from worker.dlq.filters import Filters\n"
        "from worker.dlq.inspect.statistics import Statistics\n"
        "from worker.domain.errors import LabelwireError\n"
        "try:\n"
        f"    write_page(Statistics(), 'topic', Filters(), Path({str(tmp_path / 'page.html')!r}))\n"
        "except LabelwireError as error:\n"
        "    print(error)\n"
    )

    assert ended.stdout.startswith("--html needs the package ")
    assert ended.stdout.endswith(": run it in a checkout after make setup, or use --json.\n")
    assert not (tmp_path / "page.html").exists()
