"""What finders propose, and the protocol that finders obey."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.domain.fields import Check
from worker.domain.image import PageText
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.text_span import Span


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value that may stand on the page.

    `text` is what was read and `value` its normal form; `spans` say where, in reading order. `evidence` is how sure the
    finder is of the type, from 0 to 1: a number alone says little, a check digit more, a caption beside it more again.
    A candidate that is not `exclusive` is a block that may contain other values, as an address does: it competes only
    with candidates of its own type (see `resolve_overlaps`).
    """

    type: str
    value: str
    text: str
    spans: Sequence[Span]
    check: Check
    confidence: float
    evidence: float
    repaired: bool = False
    exclusive: bool = True


class Finder(Protocol):
    """Looks for values of one type, or of several types that are found alike."""

    def __call__(self, page: PageText, neighbors: Neighbors, /) -> Iterable[Candidate]:
        """Return candidates in any order.

        A pure function of the page's lines and barcodes. All finders together may take 3 milliseconds for a label of 70
        lines, and 300 for a page of 5,000.
        """
