"""`labelwire check`."""

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker import bootstrap, settings
from worker.adapters.kafka.validate import validate_options
from worker.pipeline.extract.custom.fields_file import CustomFields
from worker.pipeline.extract.numbers.carriers import check_name

app = typer.Typer(add_completion=False)


@app.command()
def check(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
    connect: Annotated[
        bool, typer.Option("--connect", help="Also check Kafka: user, certificate, permissions, topics, replicas.")
    ] = False,
) -> None:
    """Show the effective settings and your own fields; fail if a setting is unknown or wrong."""
    chosen = settings.load()
    validate_options(chosen.kafka)
    if connect:
        asyncio.run(bootstrap.check_cluster(chosen))
    bootstrap.check_blob_store(chosen)
    bootstrap.check_cache(chosen)
    bootstrap.redaction(chosen)
    own = bootstrap.own_fields(chosen)
    effective = settings.effective(chosen)
    if as_json:
        print(json.dumps(effective, indent=2))
        return
    descriptions = settings.known_names()
    table = Table(box=None)
    table.add_column("Setting", no_wrap=True)
    table.add_column("Value", overflow="fold")
    table.add_column("Meaning", overflow="fold")
    for name, value in effective.items():
        table.add_row(name, value, descriptions.get(name, "passed through to librdkafka"))
    console = Console()
    console.print(table)
    if own.patterns or own.numbers:
        console.print(_table_of(own))


def _table_of(own: CustomFields) -> Table:
    table = Table(box=None)
    for column in ("Field", "Pattern", "Check", "Labels"):
        table.add_column(column, overflow="fold")
    for field in own.patterns:
        # Brackets of a pattern are no mark-up.
        table.add_row(field.name, Text(field.pattern), field.check, ", ".join(field.labels))
    for form in own.numbers:
        labels = [form.carrier or "", *sorted(form.topics)]
        table.add_row(form.type, Text(form.template), check_name(form.check), ", ".join(filter(None, labels)))
    return table
