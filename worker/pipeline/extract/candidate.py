"""What a finder proposes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.domain.fields import Check
from worker.domain.image import PageText
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.span import Span


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value that may stand on the page.

    `text` is what was read, `value` its normal form; `spans` say where, in reading order. `evidence` is how sure the
    finder is that this text is of this kind at all, from 0 to 1: a number alone says little, a check digit more, a
    caption beside it more again. Which of two candidates on the same characters stays goes by check, then evidence,
    then length. One that is not `exclusive` is a block that may hold other values, as an address does: it rivals those
    of its own type alone.
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
    """Looks for values of one kind, or of several that are found alike."""

    def __call__(self, page: PageText, neighbors: Neighbors, /) -> Iterable[Candidate]:
        """Return candidates in any order.

        A pure function of the page's lines and barcodes and of what stands around each line; fast: a label of 70 lines
        has three milliseconds for all finders together, a page of 5,000 lines 300.
        """
