"""Numbers of standards and carriers, in the text of a page.

A candidate has its shape, and what its form asks for besides: see `Proof`. A check digit that fails is reported only
where the shape or the caption leaves no doubt what the number is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from worker.domain.fields import Check
from worker.domain.image import PageText
from worker.pipeline.extract.candidate import Candidate
from worker.pipeline.extract.captions import Naming, Topic
from worker.pipeline.extract.forms import DIGITS, Form, Proof
from worker.pipeline.extract.kinds import FORMS_BY_LENGTH, LENGTHS_BY_TYPE
from worker.pipeline.extract.pieces import Pieces, Run
from worker.pipeline.extract.repair import Mark, is_rivalled, marks_of, repaired
from worker.pipeline.extract.surroundings import Surroundings
from worker.pipeline.extract.symbols import Symbols

_LENGTHS: Final = frozenset(FORMS_BY_LENGTH)
_HALF: Final = 0.5

# How sure a kind is: of a number that only looks so, of one that is named, and of one that is both.
_LOOKS: Final = 0.7
_NAMED: Final = 0.9
_BOTH: Final = 0.95
_PLAIN_IN_BARS: Final = frozenset({"air_waybill", "sscc"})  # kinds whose bars often do not say what they are
_REPAIR_COST: Final = 0.1


def find_numbers(page: PageText, around: Surroundings) -> Iterator[Candidate]:
    """Yield the numbers of a page that are of a known form."""
    search = _Search(page, around, Naming(page, around), Symbols.of(page.barcodes))
    for run in Pieces(page, around).runs(_LENGTHS):
        for form in FORMS_BY_LENGTH[len(run.number)]:
            if candidate := search.candidate(run, form):
                yield candidate


@dataclass(frozen=True, slots=True)
class _Search:
    page: PageText
    around: Surroundings
    naming: Naming
    symbols: Symbols

    def candidate(self, run: Run, form: Form) -> Candidate | None:
        """Return what the run is, if it is of this form."""
        if form.fits(run.number):
            return self._fitting(run, form)
        if form.check is not None and _mostly_digits(run.number) and form.resembles(run.number):
            return self._repaired(run, form)
        return None

    def _fitting(self, run: Run, form: Form) -> Candidate | None:
        evidence = self._evidence(run, form)
        if form.check is None:
            return self._proposed(run, form, run.number, Check.NONE, evidence) if evidence else None
        if not form.passes(run.number):
            return self._repaired(run, form) or self._failed(run, form)
        if not evidence:
            return None
        check = Check.NONE if is_rivalled(self._marks(run), form) else Check.PASSED
        return self._proposed(run, form, run.number, check, evidence)

    def _repaired(self, run: Run, form: Form) -> Candidate | None:
        evidence = self._evidence(run, form)
        if not evidence or not _is_whole(run, form) or (evidence < _NAMED and not _shows_its_letters(run.number, form)):
            return None
        number = repaired(self._marks(run), form)
        if number is None:
            return None
        return self._proposed(run, form, number, Check.PASSED, evidence - _REPAIR_COST)

    def _failed(self, run: Run, form: Form) -> Candidate | None:
        named = bool(self._topics(run) & form.topics) and _is_whole(run, form)
        if not form.certain and not (named and self._evidence(run, form)):
            return None
        return self._proposed(run, form, run.number, Check.FAILED, _NAMED if named else _LOOKS)

    def _evidence(self, run: Run, form: Form) -> float:
        """Return how sure it is that a run of this form is of its kind; 0 where that is not enough."""
        topics = self._topics(run)
        named = bool(topics & form.topics)
        if form.proof is Proof.SHAPE or (form.proof is Proof.UNDENIED and (named or not topics)):
            return _BOTH if named else _LOOKS
        # Fewer proofs hold for what may be a part of something longer, or is named as something else.
        if form.proof is Proof.UNDENIED or (topics and not named) or not _is_whole(run, form):
            return 0.0
        if form.proof is Proof.CARRIED and form.carrier not in self.naming.carriers:
            return 0.0
        return _NAMED if named else _LOOKS if self._is_printed_as(run, form) else 0.0

    def _is_printed_as(self, run: Run, form: Form) -> bool:
        """Whether the way in which a number is printed, in groups or in bars, tells its kind."""
        number = form.value(run.number)
        if run.sizes in form.groups or self.symbols.tells(form.type, number):
            return True
        if run.sizes not in form.page_groups:
            return False
        in_bars = form.type in _PLAIN_IN_BARS and bool(self.symbols.with_number(form.type, number))
        return in_bars or bool(form.topics & self.naming.mentioned)

    def _topics(self, run: Run) -> frozenset[Topic]:
        return self.naming.topics(run.spans[0])

    def _marks(self, run: Run) -> tuple[Mark, ...]:
        return marks_of(run, self.page, self.around.folded)

    def _proposed(self, run: Run, form: Form, number: str, check: Check, evidence: float) -> Candidate:
        return Candidate(
            type=form.type,
            value=form.value(number),
            text=run.read_in(self.page),
            spans=run.spans,
            check=check,
            confidence=min(self.page.lines[span.line_id].confidence for span in run.spans),
            evidence=evidence,
            repaired=number != run.number,
        )


def _is_whole(run: Run, form: Form) -> bool:
    return run.is_whole(LENGTHS_BY_TYPE[form.type])


def _shows_its_letters(number: str, form: Form) -> bool:
    """Whether all that tells a shape from a row of digits was read as it has to be: this may not be guessed as well."""
    return all(mark in allowed or allowed <= DIGITS for mark, allowed in zip(number, form.places, strict=True))


def _mostly_digits(number: str) -> bool:
    return sum(map(str.isdigit, number)) >= _HALF * len(number)
