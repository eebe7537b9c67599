"""The options that all commands of `labelwire dlq` share."""

from typing import Annotated

import typer

from worker.dlq.filters import Filters

Codes = Annotated[list[str] | None, typer.Option("--code", help="Only letters with this error code; repeatable.")]
Stages = Annotated[
    list[str] | None, typer.Option("--stage", help="Only letters that failed at this stage; repeatable.")
]
OlderThan = Annotated[
    str | None, typer.Option("--older-than", metavar="AGE", help="Only failures older than this: 90m, 7d, 1d12h.")
]
NewerThan = Annotated[
    str | None, typer.Option("--newer-than", metavar="AGE", help="Only failures newer than this: 90m, 7d, 1d12h.")
]
Keys = Annotated[list[str] | None, typer.Option("--key", help="Only letters with this record key; repeatable.")]
HeaderValues = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="NAME=VALUE", help="Only letters with this header; if repeated, all must match."),
]
Fingerprints = Annotated[
    list[str] | None,
    typer.Option("--fingerprint", help="Only letters with this fingerprint, or one that begins so; repeatable."),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most this many letters, oldest first.")]
TopicName = Annotated[
    str | None, typer.Option("--topic", help="The topic to read; by default the dead-letter topic of the settings.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


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
