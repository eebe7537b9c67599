"""`labelwire tail`."""

from typing import Annotated

import typer
from pydantic import ValidationError

from worker import settings
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.domain.records import Record
from worker.domain.result import LabelText

app = typer.Typer(add_completion=False)
_POLL_SECONDS = 0.5


@app.command()
def tail(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print whole results as JSON, one per line.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="Stop after this many results; 0 runs until Ctrl-C.")] = 0,
    topic: Annotated[
        str | None, typer.Option(help="The topic to read; by default the result topic of the settings.")
    ] = None,
) -> None:
    """Print all results on the topic, and new ones as they arrive."""
    chosen = settings.load()
    seen = 0
    with TopicReader(
        chosen.kafka.bootstrap_servers, [topic or chosen.topics.results], chosen.kafka.client_options()
    ) as reader:
        while not limit or seen < limit:
            record = reader.poll(_POLL_SECONDS)
            if record is not None:
                seen += 1
                print((record.value or b"").decode("utf-8", "replace") if as_json else _shown(record), flush=True)


def _shown(record: Record) -> str:
    try:
        result = LabelText.model_validate_json(record.value or b"")
    except ValidationError:
        return f"{record.coordinate}: not a result of this version; --json prints it as it is."
    lines = [f"{line.confidence:.2f}  {line.text}" for page in result.pages for line in page.lines]
    return "\n".join([f"{result.job_id} ({len(lines)} lines)", *(f"  {line}" for line in lines)])
