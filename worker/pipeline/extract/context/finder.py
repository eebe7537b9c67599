"""Finds the fields that take their type from what stands beside them: captions, units, and the address they are in.

Addresses are found first: their country says how to read dates, telephone numbers and postcodes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from worker.domain.fields import Check
from worker.domain.image import PageText, TextLine
from worker.pipeline.extract.addresses.finder import FROM, OTHER, Address, find_addresses
from worker.pipeline.extract.addresses.postcodes import (
    captioned_code_in,
    names_postcode,
    postal_caption_end,
    postcode_in,
)
from worker.pipeline.extract.candidate import Candidate
from worker.pipeline.extract.context.dates import MIN_DIGITS as MIN_DATE_DIGITS
from worker.pipeline.extract.context.dates import dates_in, names_date, of_one_order
from worker.pipeline.extract.context.telephone import MIN_DIGITS as MIN_PHONE_DIGITS
from worker.pipeline.extract.context.telephone import names_phone, phones_in
from worker.pipeline.extract.context.vat import MIN_DIGITS as MIN_VAT_DIGITS
from worker.pipeline.extract.context.vat import FoundVat, names_trader, names_vat, vat_numbers_in
from worker.pipeline.extract.context.weights import NumberStyle, is_unit, names_weight, unit_in, weighs, weights_in
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.numbers.repair import SURE_ENOUGH
from worker.pipeline.extract.text_span import Span

_POSTCODE_CAPTIONED: Final = 0.9
_POSTCODE: Final = 0.8
_DIGIT: Final = re.compile(r"\d")
_DIGITS: Final = "0123456789"
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Values that need a caption beside or above them.
_BARE_PHONE: Final = re.compile(r"\W*[(0-9](?:[\s().\-/]{0,2}[0-9]){6,13}\W*")
_MAY_BE_PHONE: Final = re.compile(r"[+(]|\b00[1-9]")
_BARE_WEIGHT: Final = re.compile(r"\W*[0-9]{1,3}(?:[ .,'][0-9]{3})*(?:[.,][0-9]{1,3})?\s*(?:[A-Z]{1,3})?\W*")
_BARE_POSTCODE: Final = re.compile(r"\W*[0-9A-Z]{2,6}[\s\-]?[0-9A-Z]{2,5}\W*")
_BARE_DATE: Final = re.compile(r"\W*20[0-9]{6}\W*")
_BARE_VAT: Final = re.compile(
    r"\W*(?:[A-Z]{2,3}[\s.\-:]{0,2})?[A-Z]{0,2}(?:[\s.\-/]{0,2}[0-9]){5,12}[\s.\-]?[0-9A-Z]{0,4}\W*"
)


@dataclass(frozen=True, slots=True)
class ContextFinder:
    """Finds addresses, postcodes, telephone numbers, dates, weights and VAT numbers.

    `phone_region` is the country (ISO 3166-1) of telephone numbers without a country code on pages without an address.
    """

    phone_region: str | None = None

    def __call__(self, page: PageText, neighbors: Neighbors, /) -> Iterable[Candidate]:
        """Return candidates in any order."""
        addresses = find_addresses(page, neighbors)
        for address in addresses:
            yield _address_candidate(address, page.lines)
            yield from _postcode_candidate(address, page.lines)
        reader = _LineReader(page, neighbors, addresses, self.phone_region)
        for line_id, folded in enumerate(neighbors.folded):
            if digits := len(_DIGIT.findall(folded)):
                yield from reader.candidates(line_id, digits)


class _LineReader:
    """Finds the values in one line after the other, apart from addresses."""

    def __init__(self, page: PageText, neighbors: Neighbors, addresses: Sequence[Address], default: str | None) -> None:
        self._lines = page.lines
        self._neighbors = neighbors
        self._addresses = [address for address in addresses if address.country]
        self._within = {line: address for address in self._addresses for line in address.line_ids}
        self._default = default
        self._named: dict[Callable[[str], bool], bool] = {}
        self._anchors = np.array([page.lines[address.line_ids[0]].polygon[0] for address in self._addresses])
        self._caption_texts: dict[int, tuple[str, ...]] = {}
        self._written_in = _written_in(self._addresses) or default
        self._style = NumberStyle.of(neighbors.folded, self._written_in)

    def candidates(self, line_id: int, digits: int) -> Iterator[Candidate]:
        """Yield the candidates of one line; `digits` says how many it has."""
        yield from self._postcodes(line_id)
        yield from self._weights(line_id)
        if digits >= MIN_DATE_DIGITS:
            yield from self._dates(line_id)
        if digits >= MIN_VAT_DIGITS:
            yield from self._vat_numbers(line_id)
        if digits >= MIN_PHONE_DIGITS:
            yield from self._phones(line_id)

    def _postcodes(self, line_id: int) -> Iterator[Candidate]:
        """Yield a postcode outside an address: it needs a caption."""
        if line_id in self._within:
            return
        folded = self._neighbors.folded[line_id]
        behind = postal_caption_end(folded)
        caption = folded[:behind]
        if not behind and _BARE_POSTCODE.fullmatch(folded) and self._page_has(names_postcode):
            caption = next(filter(names_postcode, self._captions(line_id)), "")
        if not caption:
            return
        code = folded[behind:]
        found = postcode_in([code], self._region(line_id)) or postcode_in([code], None)
        found = found or captioned_code_in(code, caption)
        if found is not None:
            start, stop = behind + found.start, behind + found.stop
            yield self._candidate(
                "postcode", found.value, line_id, start, stop, _POSTCODE_CAPTIONED, repaired=found.repaired
            )

    def _phones(self, line_id: int) -> Iterator[Candidate]:
        text, folded = self._lines[line_id].text, self._neighbors.folded[line_id]
        captioned = _BARE_PHONE.fullmatch(folded) is not None and self._captioned(line_id, names_phone)
        if not (captioned or line_id in self._within or _MAY_BE_PHONE.search(folded) or names_phone(folded)):
            return
        region = None if "+" in folded else self._region(line_id)
        for phone in phones_in(text, region, captioned=captioned, in_address=line_id in self._within):
            yield self._candidate(
                "phone", phone.value, line_id, phone.start, phone.stop, phone.evidence, phone.check, phone.repaired
            )

    def _dates(self, line_id: int) -> Iterator[Candidate]:
        text, folded = self._lines[line_id].text, self._neighbors.folded[line_id]
        captioned = _BARE_DATE.search(folded) is not None and (
            names_date(folded) or (_BARE_DATE.fullmatch(folded) is not None and self._captioned(line_id, names_date))
        )
        for date in dates_in(text, self._written_in, captioned=captioned):
            value = date.day.isoformat()
            yield self._candidate("date", value, line_id, date.start, date.stop, date.evidence, repaired=date.repaired)

    def _weights(self, line_id: int) -> Iterator[Candidate]:
        text, folded = self._lines[line_id].text, self._neighbors.folded[line_id]
        bare = _BARE_WEIGHT.fullmatch(folded) is not None and self._page_has(names_weight)
        caption = next(filter(names_weight, self._captions(line_id)), "") if bare else ""
        if caption and unit_in(caption) is None:
            behind = (self._neighbors.folded[line] for line in self._neighbors.right_of(line_id)[:1])
            caption = " ".join([caption, *filter(is_unit, behind)])
        near = self._captions(line_id) if weighs(folded) else ()
        for weight in weights_in(text, caption=caption, near=near, style=self._style):
            yield self._candidate("weight", weight.value, line_id, weight.start, weight.stop, weight.evidence)

    def _vat_numbers(self, line_id: int) -> Iterator[Candidate]:
        text, folded = self._lines[line_id].text, self._neighbors.folded[line_id]
        caption = ""
        if _BARE_VAT.fullmatch(folded) and (self._page_has(names_vat) or self._page_has(names_trader)):
            caption = next((near for near in self._captions(line_id) if names_vat(near) or names_trader(near)), "")
        for vat in vat_numbers_in(text, caption=caption):
            check = vat.check
            if check is Check.PASSED and _is_unproven(vat, self._lines[line_id], caption):
                check = Check.NONE
            yield self._candidate("vat", vat.value, line_id, vat.start, vat.stop, vat.evidence, check)

    def _captions(self, line_id: int) -> tuple[str, ...]:
        if line_id not in self._caption_texts:
            span = Span(line_id, 0, len(self._neighbors.folded[line_id]))
            self._caption_texts[line_id] = tuple(caption.text for caption in self._neighbors.captions(span))
        return self._caption_texts[line_id]

    def _captioned(self, line_id: int, names: Callable[[str], bool]) -> bool:
        return self._page_has(names) and any(map(names, self._captions(line_id)))

    def _page_has(self, names: Callable[[str], bool]) -> bool:
        """Whether any line of the page is such a caption: asking once a page is cheaper than for each line."""
        if names not in self._named:
            self._named[names] = any(map(names, self._neighbors.folded))
        return self._named[names]

    def _region(self, line_id: int) -> str | None:
        """Return the country of the address that the line stands in, or of the nearest one."""
        if line_id in self._within:
            return self._within[line_id].country
        if not self._addresses:
            return self._default
        offsets = self._anchors - self._lines[line_id].polygon[0]
        return self._addresses[int(np.argmin((offsets**2).sum(axis=1)))].country

    def _candidate(
        self,
        kind: str,
        value: str,
        line_id: int,
        start: int,
        stop: int,
        evidence: float,
        check: Check = Check.NONE,
        repaired: bool = False,  # noqa: FBT001, FBT002 - as of the candidate
    ) -> Candidate:
        line = self._lines[line_id]
        span = Span(line_id, start, stop)
        return Candidate(kind, value, line.text[start:stop], (span,), check, line.confidence, evidence, repaired)


def _is_unproven(vat: FoundVat, line: TextLine, caption: str) -> bool:
    """Whether a VAT number passes as well with another character where the recognizer was unsure."""
    if len(line.characters) != len(line.text):
        return False
    for position in range(vat.start, vat.stop):
        read = line.characters[position]
        if read.confidence >= SURE_ENOUGH or not read.text.isalnum():
            continue
        likely = [text for text, _ in read.alternatives if len(text) == 1 and text.isalnum()]
        for other in likely or (_DIGITS if read.text.isdigit() else _LETTERS):
            changed = f"{line.text[:position]}{other}{line.text[position + 1 :]}"
            rivals = vat_numbers_in(changed, caption=caption)
            if any(rival.check is Check.PASSED and rival.value != vat.value for rival in rivals):
                return True
    return False


def _written_in(addresses: Sequence[Address]) -> str | None:
    """Return the country that the label was written in: the sender's, or any of several that write dates alike."""
    senders = {address.country for address in addresses if address.type == FROM and address.country}
    if len(senders) == 1:
        return senders.pop()
    return of_one_order(address.country for address in addresses if address.country)


def _address_candidate(address: Address, lines: Sequence[TextLine]) -> Candidate:
    rows = [" ".join(lines[span.line_id].text[span.start : span.stop].strip() for span in row) for row in address.rows]
    text = "\n".join(rows)
    return Candidate(
        address.type,
        text,
        text,
        address.spans,
        Check.NONE,
        _mean_confidence(address, lines),
        address.evidence,
        exclusive=False,
    )


def _mean_confidence(address: Address, lines: Sequence[TextLine]) -> float:
    characters = sum(span.stop - span.start for span in address.spans)
    weighed = sum(lines[span.line_id].confidence * (span.stop - span.start) for span in address.spans)
    return weighed / max(characters, 1)


def _postcode_candidate(address: Address, lines: Sequence[TextLine]) -> Iterator[Candidate]:
    found = address.postcode
    if found is None:
        return
    spans = tuple(address.within(found.line, found.start, found.stop))
    text = " ".join(lines[span.line_id].text[span.start : span.stop] for span in spans)
    confidence = min(lines[span.line_id].confidence for span in spans)
    evidence = _POSTCODE if address.type == OTHER else _POSTCODE_CAPTIONED
    yield Candidate("postcode", found.value, text, spans, Check.NONE, confidence, evidence, found.repaired)
