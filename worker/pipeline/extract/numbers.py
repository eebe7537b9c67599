"""Numbers with check digits."""

from collections.abc import Iterable

from worker.domain.image import PageText
from worker.pipeline.extract.candidate import Candidate
from worker.pipeline.extract.surroundings import Surroundings


def find_numbers(page: PageText, around: Surroundings) -> Iterable[Candidate]:  # noqa: ARG001 - the kinds follow
    """Return numbers that prove themselves."""
    return ()
