"""What the models take for each picture by themselves: its recorded requests, one after another, on an idle server.

Two figures, which must not be mixed up. `computed_ms` is Triton's own time of computing, with the copies to and from
the models: no queue, no gRPC. `requests_ms` is what a client waits for the same requests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.adapters.triton.statistics import read_times
from worker.lab.bench.bare import RecordedRequest, replay_to
from worker.settings import TritonSettings


@dataclass(frozen=True, slots=True)
class PictureModelTimes:
    """The sums over one picture's requests, in milliseconds, and how many there are."""

    requests: int
    computed_ms: float
    requests_ms: float


def model_times(
    url: str, requests: Sequence[RecordedRequest], on_picture: Callable[[], None]
) -> list[PictureModelTimes]:
    """Return the times of each picture of a recording, in the order of the set. Raises JobError.

    Each picture is sent twice, and the second time counts: the server has seen its shapes then.
    """
    settings, found = TritonSettings(url=url), []
    for picture in sorted({recorded.picture for recorded in requests}):
        own = [recorded for recorded in requests if recorded.picture == picture]
        replay_to(url, own, concurrency=1)
        before = read_times(settings)
        waited = replay_to(url, own, concurrency=1)
        done = [times.since(before[model]) for model, times in read_times(settings).items()]
        found.append(
            PictureModelTimes(
                requests=len(own),
                computed_ms=1000 * sum(times.computed + times.copied for times in done),
                requests_ms=waited.milliseconds[0],
            )
        )
        on_picture()
    return found
