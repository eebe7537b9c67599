"""Numbers of standards and carriers, in the text of a page.

In: the lines of a page and its barcodes. Out: a candidate for each run of tokens that has the shape of a form and
whatever else the form asks for (see `Proof`). Invariant: a check digit that fails is reported only where the shape or a
caption leaves no doubt what the number is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from worker.domain.fields import Check
from worker.domain.image import PageText
from worker.pipeline.extract.candidate import Candidate
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.numbers.barcode_numbers import BarcodeNumbers
from worker.pipeline.extract.numbers.captions import PageCaptions, Topic, is_denied_by
from worker.pipeline.extract.numbers.catalog import NumberCatalog
from worker.pipeline.extract.numbers.forms import DIGITS, Form, Proof
from worker.pipeline.extract.numbers.repair import ReadCharacter, characters_of, is_rivalled, repaired
from worker.pipeline.extract.numbers.token_runs import TokenRun, TokenRuns

_HALF: Final = 0.5

# How sure the type of a number is: by its shape or way of printing, by a caption, or by both.
_SHAPE_EVIDENCE: Final = 0.7
_CAPTION_EVIDENCE: Final = 0.9
_BOTH_EVIDENCE: Final = 0.95
_UNTYPED_IN_BARCODES: Final = frozenset({"air_waybill", "sscc"})  # whose barcodes often do not say what they hold
_REPAIR_COST: Final = 0.1
_OWNER_OVER_DIGITS: Final = (4, 7)  # below one another and without a gap: may be any word over any number


@dataclass(frozen=True, slots=True)
class NumberFinder:
    """Finds the numbers of a catalog."""

    catalog: NumberCatalog

    def __call__(self, page: PageText, neighbors: Neighbors, /) -> Iterator[Candidate]:
        """Yield the numbers of a page, in any order."""
        return _find(self.catalog, page, neighbors)


def _find(catalog: NumberCatalog, page: PageText, neighbors: Neighbors) -> Iterator[Candidate]:
    captions = PageCaptions(page, neighbors, catalog.carriers)
    forms = _forms_by_length(catalog, captions.carriers)
    search = _Search(page, neighbors, catalog, captions, BarcodeNumbers.of(page.barcodes, catalog), forms)
    runs = TokenRuns(page, neighbors, catalog.carriers).runs(frozenset(forms))
    found = [candidate for run in runs for candidate in search.candidates_of(run)]
    named = {candidate.type for candidate, by_page in found if not by_page and candidate.evidence >= _CAPTION_EVIDENCE}
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
    neighbors: Neighbors
    catalog: NumberCatalog
    captions: PageCaptions
    barcodes: BarcodeNumbers
    forms: Mapping[int, Sequence[Form]]  # those whose carrier the page names, by length

    def candidates_of(self, run: TokenRun) -> Iterator[tuple[Candidate, bool]]:
        """Yield what the run may be, and whether nothing but a caption elsewhere on the page says so.

        A run that is a number of one type as it was read is not corrected to be of another.
        """
        forms = [form for form in self.forms.get(len(run.number), ()) if self._may_have_proof(run, form)]
        fitting = [form for form in forms if form.fits(run.number)]
        found = False
        for form in fitting:
            if (candidate := self._as_read(run, form)) is not None:
                found = True
                yield candidate, self._rests_on_page_caption(run, form)
        if found or not _mostly_digits(run.number):
            return
        for form in forms:
            if form.check is not None and form not in fitting and form.resembles(run.number):
                corrected = self._repaired(run, form)
                if corrected is not None:
                    yield corrected, self._rests_on_page_caption(run, form)

    def _as_read(self, run: TokenRun, form: Form) -> Candidate | None:
        evidence = self._evidence(run, form)
        if form.check is None:
            return self._candidate(run, form, run.number, Check.NONE, evidence) if evidence else None
        if not form.passes(run.number):
            return self._repaired(run, form) or self._failed(run, form)
        if not evidence:
            return None
        proven = self._proves_its_type(run, form, evidence) and not is_rivalled(self._characters(run), form)
        check = Check.PASSED if proven else Check.NONE
        return self._candidate(run, form, run.number, check, evidence)

    def _repaired(self, run: TokenRun, form: Form) -> Candidate | None:
        evidence = self._evidence(run, form)
        topics = self._topics(run)
        if not evidence or not self._is_whole(run, form) or (topics and not topics & form.topics):
            return None
        if evidence < _CAPTION_EVIDENCE and (form.proof is Proof.CARRIED or self._rests_on_page_caption(run, form)):
            return None
        named = bool(topics & form.topics - {Topic.TRACKING})
        if not (named or _shows_its_letters(run.number, form)) or self._fits_another_carrier(run, form):
            return None
        number = repaired(self._characters(run), form)
        if number is None:
            return None
        return self._candidate(run, form, number, Check.PASSED, evidence - _REPAIR_COST)

    def _failed(self, run: TokenRun, form: Form) -> Candidate | None:
        named = bool(self._topics(run) & form.topics) and self._is_whole(run, form)
        if not form.certain and not (named and self._evidence(run, form)):
            return None
        return self._candidate(run, form, run.number, Check.FAILED, _CAPTION_EVIDENCE if named else _SHAPE_EVIDENCE)

    def _evidence(self, run: TokenRun, form: Form) -> float:
        """Return how sure it is that a run of this shape is a number of the form; 0 where that is not enough."""
        topics = self._topics(run)
        named = bool(topics & form.topics)
        if form.heeds_captions and self._is_ruled_out(run, form):
            return 0.0
        if run.stacked and not named and run.sizes == _OWNER_OVER_DIGITS:
            return 0.0
        if form.proof is Proof.SHAPE or (form.proof is Proof.UNDENIED and (named or not topics)):
            return _BOTH_EVIDENCE if named else _SHAPE_EVIDENCE
        # The other proofs are none for a part of something longer, or for what a caption names otherwise.
        if form.proof is Proof.UNDENIED or (topics and not named) or not self._is_whole(run, form):
            return 0.0
        if form.proof is Proof.CARRIED and form.carrier not in self.captions.carriers:
            return 0.0
        return _CAPTION_EVIDENCE if named else _SHAPE_EVIDENCE if self._is_printed_as(run, form) else 0.0

    def _may_have_proof(self, run: TokenRun, form: Form) -> bool:
        """Whether anything on the page may prove the form: cheaper than to look for the captions of a run."""
        if form.proof is not Proof.NAMED or form.topics & self.captions.announced:
            return True
        return run.sizes in form.groups or run.sizes in form.page_groups or bool(self.barcodes.by_number)

    def _is_ruled_out(self, run: TokenRun, form: Form) -> bool:
        """Whether a shape that would be proof is a word before a number, a part of a number, or named otherwise."""
        if run.groups[0].text in form.words:
            return True
        return not self._is_whole(run, form) or self.captions.denied_in_row(run.start)

    def _proves_its_type(self, run: TokenRun, form: Form, evidence: float) -> bool:
        """Whether a check digit that holds proves the type.

        Digits that only the carrier's name makes a number need a barcode that holds them too.
        """
        if form.heeds_captions and is_denied_by(self._topics(run)):
            return False
        if form.proof is Proof.CARRIED and evidence < _CAPTION_EVIDENCE:
            return bool(self.barcodes.barcodes_with(form.type, form.value(run.number)))
        return not self._fits_another_carrier(run, form)

    def _fits_another_carrier(self, run: TokenRun, form: Form) -> bool:
        """Whether the run may as well be a number of another carrier that the page names."""
        if form.proof is not Proof.CARRIED or len(self.captions.carriers) <= 1:
            return False
        return any(
            other.type != form.type
            and other.proof is Proof.CARRIED
            and other.carrier in self.captions.carriers
            and (other.passes(run.number) if form.fits(run.number) else other.resembles(run.number))
            for other in self.catalog.by_length[len(run.number)]
        )

    def _rests_on_page_caption(self, run: TokenRun, form: Form) -> bool:
        """Whether nothing names the type but a caption elsewhere on the page."""
        if run.sizes not in form.page_groups or run.sizes in form.groups or self._topics(run) & form.topics:
            return False
        return not self.barcodes.barcodes_with(form.type, form.value(run.number))

    def _is_printed_as(self, run: TokenRun, form: Form) -> bool:
        """Whether the groups in which a number is printed, or a barcode, tell its type."""
        number = form.value(run.number)
        if run.sizes in form.groups or self.barcodes.holds_typed(form.type, number):
            return True
        if run.sizes not in form.page_groups:
            return False
        in_barcodes = form.type in _UNTYPED_IN_BARCODES and bool(self.barcodes.barcodes_with(form.type, number))
        return in_barcodes or bool(form.topics & self.captions.mentioned)

    def _is_whole(self, run: TokenRun, form: Form) -> bool:
        return run.is_whole(self.catalog.lengths_by_type[form.type])

    def _topics(self, run: TokenRun) -> frozenset[Topic]:
        return self.captions.topics(run.start)

    def _characters(self, run: TokenRun) -> tuple[ReadCharacter, ...]:
        return characters_of(run, self.page, self.neighbors.folded)

    def _candidate(self, run: TokenRun, form: Form, number: str, check: Check, evidence: float) -> Candidate:
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
def _forms_by_length(catalog: NumberCatalog, carriers: frozenset[str]) -> dict[int, tuple[Form, ...]]:
    """Return the forms by length, without those that need the name of a carrier whom the page does not name."""
    found = {
        length: tuple(form for form in forms if form.proof is not Proof.CARRIED or form.carrier in carriers)
        for length, forms in catalog.by_length.items()
    }
    return {length: forms for length, forms in found.items() if forms}


def _shows_its_letters(number: str, form: Form) -> bool:
    """Whether all that tells this shape from any row of digits was read as it has to be.

    Correction may guess digits, but not what makes the number one of this form. Where the shape has letters, a fixed
    digit may be corrected too: IZ for 1Z.
    """
    loose = form.has_letters
    return all(
        mark in allowed or allowed == DIGITS or (loose and allowed <= DIGITS)
        for mark, allowed in zip(number, form.positions, strict=True)
    )


def _mostly_digits(number: str) -> bool:
    return sum(map(str.isdigit, number)) >= _HALF * len(number)
