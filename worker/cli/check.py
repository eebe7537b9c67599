"""`labelwire check`."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from worker import settings
from worker.adapters.kafka.validate import validate_options

app = typer.Typer(add_completion=False)


@app.command()
def check(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show every setting as it takes effect, secrets hidden; refuse what is unknown or wrong."""
    chosen = settings.load()
    validate_options(chosen.kafka)
    effective = settings.effective(chosen)
    if as_json:
        print(json.dumps(effective, indent=2))
        return
    descriptions = settings.known_names()
    table = Table(box=None)
    table.add_column("Setting", no_wrap=True)
    table.add_column("Value", overflow="fold")
    table.add_column("What it is", overflow="fold")
    for name, value in effective.items():
        table.add_row(name, value, descriptions.get(name, "passed through to librdkafka"))
    Console().print(table)
