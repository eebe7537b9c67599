"""What every report of a bench says of what ran."""

from collections.abc import Mapping
from typing import Any

from worker.reporting import formats


def facts(configuration: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the processor and the servers of a measured configuration, in words."""
    machine = configuration.get("machine", {})
    return [
        ("Processor", f"{machine.get('cpu', formats.DASH)}, {machine.get('cores', formats.DASH)} cores"),
        ("Broker", str(configuration.get("broker", formats.DASH))),
        ("Triton", str(configuration.get("triton", formats.DASH))),
    ]
