"""Where a value stands in the text of a page."""

from typing import NamedTuple


class Span(NamedTuple):
    """A stretch of one line's text: characters `start` to `stop` of line `line_id` of the page."""

    line_id: int
    start: int
    stop: int
