"""Numbers of standards and carriers, in the text of a page.

A candidate has its shape, and what its form asks for besides: see `Proof`. A check digit that fails is reported only
where the shape or the caption leaves no doubt what the number is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from worker.domain.fields import Check
from worker.domain.image import PageText
from worker.pipeline.extract.candidate import Candidate
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.numbers.barcode_numbers import Symbols
from worker.pipeline.extract.numbers.captions import Naming, Topic, is_denied_by
from worker.pipeline.extract.numbers.catalog import Kinds
from worker.pipeline.extract.numbers.forms import DIGITS, Form, Proof
from worker.pipeline.extract.numbers.repair import Mark, is_rivalled, marks_of, repaired
from worker.pipeline.extract.numbers.token_runs import TokenRun, TokenRuns

_HALF: Final = 0.5

# How sure a kind is: of a number that only looks so, of one that is named, and of one that is both.
_LOOKS: Final = 0.7
_NAMED: Final = 0.9
_BOTH: Final = 0.95
_PLAIN_IN_BARS: Final = frozenset({"air_waybill", "sscc"})  # kinds whose bars often do not say what they are
_REPAIR_COST: Final = 0.1
_WORD_OVER_DIGITS: Final = (4, 7)  # without a gap before the check digit it may be any number below any word


@dataclass(frozen=True, slots=True)
class NumberFinder:
    """Finds numbers of the kinds that are looked for."""

    kinds: Kinds

    def __call__(self, page: PageText, around: Neighbors, /) -> Iterator[Candidate]:
        """Yield the numbers of a page that are of a known form."""
        return _find(self.kinds, page, around)


def _find(kinds: Kinds, page: PageText, around: Neighbors) -> Iterator[Candidate]:
    naming = Naming(page, around, kinds.carriers)
    forms = _forms_of(kinds, naming.carriers)
    search = _Search(page, around, kinds, naming, Symbols.of(page.barcodes, kinds), forms)
    found = [
        told for run in TokenRuns(page, around, kinds.carriers).runs(frozenset(forms)) for told in search.told_by(run)
    ]
    named = {candidate.type for candidate, by_page in found if not by_page and candidate.evidence >= _NAMED}
    guessed: dict[str, set[str]] = {}
    for candidate, by_page in found:
        if by_page:
            guessed.setdefault(candidate.type, set()).add(candidate.value)
    for candidate, by_page in found:
        if not by_page:
            yield candidate
        elif candidate.type not in named:
            alone = len(guessed[candidate.type]) == 1
            yield candidate if alone else replace(candidate, check=Check.NONE)


@dataclass(frozen=True, slots=True)
class _Search:
    page: PageText
    around: Neighbors
    kinds: Kinds
    naming: Naming
    symbols: Symbols
    forms: Mapping[int, Sequence[Form]]  # those whose carrier the page names, by length

    def told_by(self, run: TokenRun) -> Iterator[tuple[Candidate, bool]]:
        """Yield what the run may be, and whether only a caption elsewhere on the page says so.

        What is of one kind as it was read is not mended to be of another.
        """
        forms = [form for form in self.forms.get(len(run.number), ()) if self._may_be(run, form)]
        fitting = [form for form in forms if form.fits(run.number)]
        found = [(self._fitting(run, form), form) for form in fitting]
        told = [(candidate, self._is_told_by_page(run, form)) for candidate, form in found if candidate is not None]
        if told or not _mostly_digits(run.number):
            yield from told
            return
        for form in forms:
            if form.check is not None and form not in fitting and form.resembles(run.number):
                mended = self._repaired(run, form)
                if mended is not None:
                    yield mended, self._is_told_by_page(run, form)

    def _fitting(self, run: TokenRun, form: Form) -> Candidate | None:
        evidence = self._evidence(run, form)
        if form.check is None:
            return self._proposed(run, form, run.number, Check.NONE, evidence) if evidence else None
        if not form.passes(run.number):
            return self._repaired(run, form) or self._failed(run, form)
        if not evidence:
            return None
        proven = self._is_of_no_other(run, form, evidence) and not is_rivalled(self._marks(run), form)
        check = Check.PASSED if proven else Check.NONE
        return self._proposed(run, form, run.number, check, evidence)

    def _repaired(self, run: TokenRun, form: Form) -> Candidate | None:
        evidence = self._evidence(run, form)
        topics = self._topics(run)
        if not evidence or not self._is_whole(run, form) or (topics and not topics & form.topics):
            return None
        if evidence < _NAMED and (form.proof is Proof.CARRIED or self._is_told_by_page(run, form)):
            return None
        named = bool(topics & form.topics - {Topic.TRACKING})
        if not (named or _shows_its_letters(run.number, form)) or self._may_be_anothers(run, form):
            return None
        number = repaired(self._marks(run), form)
        if number is None:
            return None
        return self._proposed(run, form, number, Check.PASSED, evidence - _REPAIR_COST)

    def _failed(self, run: TokenRun, form: Form) -> Candidate | None:
        named = bool(self._topics(run) & form.topics) and self._is_whole(run, form)
        if not form.certain and not (named and self._evidence(run, form)):
            return None
        return self._proposed(run, form, run.number, Check.FAILED, _NAMED if named else _LOOKS)

    def _evidence(self, run: TokenRun, form: Form) -> float:
        """Return how sure it is that a run of this form is of its kind; 0 where that is not enough."""
        topics = self._topics(run)
        named = bool(topics & form.topics)
        if form.heeds_captions and self._is_refused(run, form):
            return 0.0
        if run.stacked and not named and run.sizes == _WORD_OVER_DIGITS:
            return 0.0
        if form.proof is Proof.SHAPE or (form.proof is Proof.UNDENIED and (named or not topics)):
            return _BOTH if named else _LOOKS
        # Fewer proofs hold for what may be a part of something longer, or is named as something else.
        if form.proof is Proof.UNDENIED or (topics and not named) or not self._is_whole(run, form):
            return 0.0
        if form.proof is Proof.CARRIED and form.carrier not in self.naming.carriers:
            return 0.0
        return _NAMED if named else _LOOKS if self._is_printed_as(run, form) else 0.0

    def _may_be(self, run: TokenRun, form: Form) -> bool:
        """Whether there may be what the form needs: to look for captions costs more than to see that there are none."""
        if form.proof is not Proof.NAMED or form.topics & self.naming.announced:
            return True
        return run.sizes in form.groups or run.sizes in form.page_groups or bool(self.symbols.told)

    def _is_refused(self, run: TokenRun, form: Form) -> bool:
        """Whether a shape that would be proof is a word and a number, a part of a number, or named otherwise."""
        if run.groups[0].text in form.words:
            return True
        return not self._is_whole(run, form) or self.naming.denied_in_row(run.start)

    def _is_of_no_other(self, run: TokenRun, form: Form, evidence: float) -> bool:
        """Whether a check digit that holds proves the kind: a row of digits of no caption needs bars that hold it."""
        if form.heeds_captions and is_denied_by(self._topics(run)):
            return False
        if form.proof is Proof.CARRIED and evidence < _NAMED:
            return bool(self.symbols.with_number(form.type, form.value(run.number)))
        return not self._may_be_anothers(run, form)

    def _may_be_anothers(self, run: TokenRun, form: Form) -> bool:
        """Whether it may as well be a number of another carrier that the page names."""
        if form.proof is not Proof.CARRIED or len(self.naming.carriers) <= 1:
            return False
        return any(
            other.type != form.type
            and other.proof is Proof.CARRIED
            and other.carrier in self.naming.carriers
            and (other.passes(run.number) if form.fits(run.number) else other.resembles(run.number))
            for other in self.kinds.by_length[len(run.number)]
        )

    def _is_told_by_page(self, run: TokenRun, form: Form) -> bool:
        if run.sizes not in form.page_groups or run.sizes in form.groups or self._topics(run) & form.topics:
            return False
        return not self.symbols.with_number(form.type, form.value(run.number))

    def _is_printed_as(self, run: TokenRun, form: Form) -> bool:
        """Whether the way in which a number is printed, in groups or in bars, tells its kind."""
        number = form.value(run.number)
        if run.sizes in form.groups or self.symbols.tells(form.type, number):
            return True
        if run.sizes not in form.page_groups:
            return False
        in_bars = form.type in _PLAIN_IN_BARS and bool(self.symbols.with_number(form.type, number))
        return in_bars or bool(form.topics & self.naming.mentioned)

    def _is_whole(self, run: TokenRun, form: Form) -> bool:
        return run.is_whole(self.kinds.lengths_by_type[form.type])

    def _topics(self, run: TokenRun) -> frozenset[Topic]:
        return self.naming.topics(run.start)

    def _marks(self, run: TokenRun) -> tuple[Mark, ...]:
        return marks_of(run, self.page, self.around.folded)

    def _proposed(self, run: TokenRun, form: Form, number: str, check: Check, evidence: float) -> Candidate:
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


@lru_cache(maxsize=256)
def _forms_of(kinds: Kinds, carriers: frozenset[str]) -> dict[int, tuple[Form, ...]]:
    """Return the forms by length, without those that only the name of a carrier would prove that the page has not."""
    found = {
        length: tuple(form for form in forms if form.proof is not Proof.CARRIED or form.carrier in carriers)
        for length, forms in kinds.by_length.items()
    }
    return {length: forms for length, forms in found.items() if forms}


def _shows_its_letters(number: str, form: Form) -> bool:
    """Whether all that tells a shape from any row of digits was read as it has to be: this may not be guessed as well.

    Beside a letter of the shape that was read a digit of it may be: IZ for 1Z.
    """
    loose = form.has_letters
    return all(
        mark in allowed or allowed == DIGITS or (loose and allowed <= DIGITS)
        for mark, allowed in zip(number, form.places, strict=True)
    )


def _mostly_digits(number: str) -> bool:
    return sum(map(str.isdigit, number)) >= _HALF * len(number)
