"""How long a worker had each job in its hands, as its own log says at the level `debug`."""

import json
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from worker.lab.evaluation.errors import MeasurementError

LOG_LEVEL: Final = {"LABELWIRE_LOG__LEVEL": "debug", "LABELWIRE_LOG__FORMAT": "json"}
_FINISHED: Final = "job finished"
_STEP_SECONDS: Final = 0.1


class ProcessingLog:
    """The log of a worker that runs with `LOG_LEVEL`. A line may come so much later than its result."""

    def __init__(self, path: Path, wait_seconds: float = 10.0) -> None:
        self._path = path
        self._wait_seconds = wait_seconds

    def milliseconds_of(self, job_ids: Collection[str]) -> list[float]:
        """Return for each job the milliseconds from receiving its record to its acknowledged result.

        Raises MeasurementError if a line does not come in time.
        """
        deadline = time.monotonic() + self._wait_seconds
        while missing := set(job_ids) - (found := self._finished()).keys():
            if time.monotonic() > deadline:
                raise MeasurementError(
                    f"{self._path} does not say when {len(missing)} of {len(job_ids)} jobs were finished, the first of"
                    f" them {min(missing)}."
                )
            time.sleep(_STEP_SECONDS)
        return [found[job_id] for job_id in job_ids]

    def _finished(self) -> dict[str, float]:
        with self._path.open(encoding="utf-8", errors="replace") as lines:
            finished = [
                json.loads(line)
                for line in lines
                if line.startswith("{") and _FINISHED in line and line.endswith("}\n")
            ]
        return {line["job_id"]: 1000 * line["duration_seconds"] for line in finished}
