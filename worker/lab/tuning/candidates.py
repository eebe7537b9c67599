"""What is tried, one knob at a time: a short list for each, made from the traffic and the cores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.lab.tuning.traffic import Traffic
from worker.models.tuning import ServingSettings

_TILE_COUNTS: Final = (0, 2, 4, 8)
_COLUMN_SHARES: Final = (0.99, 0.95, 0.8, 0.5)
_DELAYS_MICROSECONDS: Final = (0, 1_000, 5_000)
_LINE_BATCHES: Final = (16, 8)
_TILE_BATCHES: Final = (1,)


@dataclass(frozen=True, slots=True)
class Change:
    """One value of one knob, or of two that belong together; `words` name it."""

    words: str
    values: Mapping[str, Any]

    def of(self, settings: ServingSettings) -> ServingSettings:
        """Return settings with the change."""
        return settings.model_copy(update=dict(self.values))


def changes(traffic: Traffic, widths: Sequence[int], cores: int) -> list[Change]:
    """Return all changes; `widths` are all that lines are padded to, ascending.

    Static shapes come first, so that where memory is short they are given up before instances are.
    """
    return [*_tiles(traffic), *_widths(traffic, widths), *_cores(cores), *_delays(), *_batches(traffic)]


def _cores(cores: int) -> Iterator[Change]:
    for threads in range(1, cores + 1):
        if cores % threads == 0:
            instances = cores // threads
            yield Change(f"{instances} x {threads} threads", {"instances": instances, "threads": threads})


def _tiles(traffic: Traffic) -> Iterator[Change]:
    for count in _TILE_COUNTS:
        tiles = traffic.commonest_tiles(count)
        words = f"{len(tiles)} static tiles ({traffic.share_of_tiles(tiles):.0%} of the tiles)"
        yield Change(words, {"static_tiles": tiles})


def _widths(traffic: Traffic, widths: Sequence[int]) -> Iterator[Change]:
    for share in _COLUMN_SHARES:
        static = traffic.widths_covering(share, widths)
        words = f"{len(static)} static widths to {static[-1]} ({traffic.share_of_columns(static):.0%} of the columns)"
        yield Change(words, {"static_widths": static})


def _delays() -> Iterator[Change]:
    for delay in _DELAYS_MICROSECONDS:
        yield Change(f"delay {delay / 1000:g} ms", {"max_queue_delay_microseconds": delay})


def _batches(traffic: Traffic) -> Iterator[Change]:
    """Yield limits under what requests hold; others would change nothing."""
    for lines in _LINE_BATCHES:
        if lines < traffic.largest_lines:
            yield Change(f"{lines} lines a request", {"max_batch_lines": lines})
    for tiles in _TILE_BATCHES:
        if tiles < traffic.largest_tiles:
            yield Change(f"{tiles} tile a request", {"max_batch_tiles": tiles})
