"""The options that all commands of `labelwire dlq` share."""

from typing import Annotated

import typer

from worker.dlq.filters import Filters

Codes = Annotated[list[str] | None, typer.Option("--code", help="Only this error code; may be repeated.")]
Stages = Annotated[list[str] | None, typer.Option("--stage", help="Only this stage; may be repeated.")]
OlderThan = Annotated[str | None, typer.Option("--older-than", metavar="AGE", help="Only failures older than 90m, 7d…")]
NewerThan = Annotated[str | None, typer.Option("--newer-than", metavar="AGE", help="Only failures newer than 90m, 7d…")]
Keys = Annotated[list[str] | None, typer.Option("--key", help="Only this record key; may be repeated.")]
HeaderValues = Annotated[
    list[str] | None, typer.Option("--header", metavar="NAME=VALUE", help="Only with this header; all must match.")
]
Fingerprints = Annotated[
    list[str] | None, typer.Option("--fingerprint", help="Only this fingerprint or its beginning; may be repeated.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many letters, the oldest first.")]
TopicName = Annotated[str | None, typer.Option("--topic", help="The dead-letter topic, else the settings'.")]
AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]


def filters_of(
    codes: list[str] | None,
    stages: list[str] | None,
    older_than: str | None,
    newer_than: str | None,
    keys: list[str] | None,
    headers: list[str] | None,
    fingerprints: list[str] | None,
    limit: int | None,
) -> Filters:
    """Return the options together."""
    return Filters(
        codes=tuple(codes or ()),
        stages=tuple(stages or ()),
        older_than=older_than,
        newer_than=newer_than,
        keys=tuple(keys or ()),
        headers=tuple(headers or ()),
        fingerprints=tuple(fingerprints or ()),
        limit=limit,
    )
