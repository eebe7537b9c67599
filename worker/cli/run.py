"""`labelwire run`."""

import asyncio

import typer

from worker import bootstrap, settings

app = typer.Typer(add_completion=False)


@app.command()
def run() -> None:
    """Start a worker; stop it with SIGTERM, SIGINT or SIGHUP.

    All settings come from the environment; `labelwire check` lists them.
    """
    asyncio.run(bootstrap.run(settings.load()))
