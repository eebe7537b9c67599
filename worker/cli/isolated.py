"""`python -m worker.cli.isolated`: the child process of a worker, which reads suspects. No command for people."""

import asyncio
import sys

from worker import bootstrap, settings
from worker.domain.errors import LabelwireError


def main() -> None:
    """Read until the worker ends."""
    try:
        asyncio.run(bootstrap.run_isolated_reader(settings.load()))
    except LabelwireError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
