"""`labelwire topics …`: what the topics of the settings have to be, and who needs which rights on them."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from worker import settings
from worker.adapters.kafka.acls import PURPOSES, Role, role_rights
from worker.adapters.kafka.topic_changes import TopicChanges
from worker.adapters.kafka.topic_plan import Action, PropertyComparison, TopicOptions, TopicsPlan
from worker.picture_settings import MEBIBYTE
from worker.reporting.formats import DASH, quantity

app = typer.Typer(
    help="Compare the topics with what the settings need, create and change them, and list the rights on them.",
    no_args_is_help=True,
    add_completion=False,
)
# The worker's producer sends no larger ones, and a dead letter adds its headers.
_MAX_JOB_BYTES = 90 * MEBIBYTE

_Partitions = Annotated[
    int | None,
    typer.Option(min=1, help="Partitions; more for topics that exist.", show_default="the job topic's, or 8"),
]
_ReplicationFactor = Annotated[
    int | None, typer.Option(min=1, help="Replicas of each new partition.", show_default="the broker's default")
]
_MaxMessageBytes = Annotated[
    int | None,
    typer.Option(
        min=1024, max=_MAX_JOB_BYTES, help="Largest job.", show_default="the job topic's, or 16777216, which is 16 MiB"
    ),
]
_LetterRetentionDays = Annotated[
    int | None,
    typer.Option(min=1, help="Days for which dead and parked letters are kept.", show_default="14 or more"),
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.command()
def plan(
    *,
    partitions: _Partitions = None,
    replication_factor: _ReplicationFactor = None,
    max_message_bytes: _MaxMessageBytes = None,
    letter_retention_days: _LetterRetentionDays = None,
    as_json: _AsJson = False,
) -> None:
    """Show each topic as it is and as it has to be; exit code 1 unless all fit. Changes nothing."""
    options = TopicOptions(partitions, replication_factor, max_message_bytes, letter_retention_days)
    _end(TopicChanges(settings.load(), options).plan(), as_json=as_json)


@app.command()
def apply(
    *,
    partitions: _Partitions = None,
    replication_factor: _ReplicationFactor = None,
    max_message_bytes: _MaxMessageBytes = None,
    letter_retention_days: _LetterRetentionDays = None,
    as_json: _AsJson = False,
) -> None:
    """Create the topics that are missing and change what differs; deletes nothing. Exit code 1 unless all fit then."""
    options = TopicOptions(partitions, replication_factor, max_message_bytes, letter_retention_days)
    changes = TopicChanges(settings.load(), options)
    _end(changes.apply(_say_changing), as_json=as_json)


@app.command()
def acls(
    *,
    role: Annotated[
        list[Role] | None, typer.Option(help="Role; may be repeated.", show_default="all", case_sensitive=False)
    ] = None,
    principal: Annotated[
        str | None, typer.Option(help="Kafka's name for the user, for one role.", show_default="User:labelwire-ROLE")
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Print the rights that each role needs where the broker asks for them, as `kafka-acls` commands."""
    roles = tuple(dict.fromkeys(role or Role))
    if principal is not None and len(roles) > 1:
        raise typer.BadParameter("give it with one --role", param_hint="--principal")
    chosen = settings.load()
    found = [role_rights(chosen, each, principal) for each in roles]
    if as_json:
        typer.echo(json.dumps([each.to_dict() for each in found], indent=2))
        return
    for each in found:
        typer.echo(f"# {each.role}: {PURPOSES[each.role]}")
        for line in each.commands(chosen.kafka.bootstrap_servers):
            typer.echo(line)


def _say_changing(topic: str) -> None:
    typer.echo(f"setting up {topic}", err=True)


def _end(found: TopicsPlan, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        _show(found)
    raise typer.Exit(0 if found.fits else 1)


def _show(found: TopicsPlan) -> None:
    console = Console(soft_wrap=True, highlight=False)
    table = Table(box=None)
    for column in ("Topic", "Property", "Actual", "Wanted", ""):
        table.add_column(column, no_wrap=True)
    for topic in found.topics:
        for number, each in enumerate(topic.comparisons):
            name = "" if number else topic.wanted.name
            table.add_row(name, each.name, DASH if each.actual is None else each.actual, each.wanted, _word(each))
    console.print(table)
    for sentence in found.decisions:
        console.print(sentence, markup=False)
    console.print(_verdict(found), markup=False)


def _word(comparison: PropertyComparison) -> str:
    if comparison.action is Action.DECIDE:
        return "[red]decide[/]"
    return "" if comparison.action is Action.NONE else f"[yellow]{comparison.action}[/]"


def _verdict(found: TopicsPlan) -> str:
    if found.fits:
        return f"All {len(found.topics)} topics fit."
    parts = [
        (f"{quantity(len(found.missing), 'topic')} to create", found.missing),
        (f"{quantity(len(found.changed), 'topic')} to change", found.changed),
        (f"{quantity(len(found.decisions), 'decision')} to take", found.decisions),
    ]
    said = ", ".join(sentence for sentence, count in parts if count)
    remedy = "." if found.is_done else "; `labelwire topics apply` creates and changes."
    return f"{said}{remedy}"
