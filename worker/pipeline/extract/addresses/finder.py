"""Addresses as blocks of lines: to whom, from whom, and what country and postcode they name.

Invariant: an address is found by its caption ("ship to") or by the line with its town. It has the lines of one block
alone: name, firm, street, annex, town, country; never the caption, and no telephone or reference number in between.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.domain.image import PageText
from worker.pipeline.extract.addresses.blocks import BlockGeometry, Rows
from worker.pipeline.extract.addresses.countries import country_at_end, country_coded, country_named
from worker.pipeline.extract.addresses.postcodes import FoundPostcode, postcode_in
from worker.pipeline.extract.folding import phrases, skeleton
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.text_span import Span

TO: Final = "address_to"
FROM: Final = "address_from"
OTHER: Final = "address"
_RETURN: Final = "return"  # until it is known whether the page names another sender or addressee

_TO_NAMES: Final = (
    "ship to", "shipped to", "deliver to", "deliver to address", "delivery to", "delivery address", "delivered to",
    "consignee", "recipient", "receiver", "addressee", "ship to address", "shipping address", "send to", "destinataire",
    "livrer a", "livraison", "adresse de livraison", "expedie a", "empfanger", "empfaenger", "lieferadresse",
    "lieferanschrift", "lieferung an", "warenempfanger", "destinatario", "entregar a", "consignatario", "enviar a",
    "ontvanger", "geadresseerde", "bezorgadres", "afleveradres", "leveren aan", "destinatario/a", "odbiorca", "adresat",
    "mottagare", "mottaker", "modtager", "vastaanottaja", "prijemce", "prijimatel", "cimzett", "destinatar", "alici",
    "leverans till", "leverer til", "to address", "ship-to", "consigned to", "spedire a", "sold to/ship to",
    "收件人", "收货人", "收件地址", "お届け先", "받는 사람",
)  # fmt: skip
_FROM_NAMES: Final = (
    "ship from", "shipped from", "shipped by", "shipper", "sender", "from address", "consignor", "exporter",
    "expediteur", "expedie par", "envoye par", "absender", "versender", "abs.", "remitente", "expedidor", "mittente",
    "speditore", "afzender", "remetente", "nadawca", "avsandare", "avsender", "afsender", "lahettaja", "odesilatel",
    "odosielatel", "felado", "expeditor", "gonderen", "return address", "sent by", "sold by", "ship-from", "sold from",
    "collect from", "collected from", "pickup from", "pick up address", "sender address",
    "寄件人", "发件人", "发货人", "ご依頼主", "보내는 사람",
)  # fmt: skip
_OTHER_NAMES: Final = (
    "bill to", "sold to", "invoice to", "invoice address", "billing address", "notify", "notify party", "also notify",
    "rechnungsadresse", "rechnungsanschrift", "rechnung an", "buyer", "importer", "manufacturer",
    "made by", "mark for", "broker", "deliver via", "ship via", "adresse de facturation", "factuuradres",
    "direccion de facturacion", "indirizzo di fatturazione", "seller", "verkaufer", "kaufer",
    "vendeur", "acheteur", "vendedor", "comprador", "venditore", "acquirente", "verkoper", "koper", "sprzedawca",
    "nabywca", "frachtfuhrer", "transporteur", "vervoerder",
)  # fmt: skip
_RETURN_NAMES: Final = (
    "return to", "if undelivered return to", "in case of non delivery return to", "retour a", "retouradres",
    "rucksendung an", "zuruck an",
)  # fmt: skip
# Other lines begin with these words too: they are captions only before a colon or alone in their line.
_SHORT_TO: Final = ("to", "an", "aan", "per", "para", "til", "till", "do", "dest", "consig", "cnee", "delivery")
_SHORT_FROM: Final = ("from", "von", "de", "van", "da", "fra", "fran", "od", "exp", "origin address")
# A caption in several languages: SHIP TO / DESTINATAIRE (EMPFANGER).
_ALL_NAMES: Final = phrases((*_TO_NAMES, *_FROM_NAMES, *_OTHER_NAMES, *_RETURN_NAMES, *_SHORT_TO, "a", *_SHORT_FROM))
_AGAIN: Final = rf"(?:\s*[/(\-]\s*(?:{_ALL_NAMES})(?![A-Z])\)?)*"
# What a form asks for: SHIPPER'S NAME AND ADDRESS, ABSENDER (NAME, ANSCHRIFT, LAND). Forms number their boxes.
_ASKED: Final = phrases(
    ("name", "full name", "name and address", "name & address", "name and full address", "complete name and address",
     "name/address", "name, address", "details", "information", "nom et adresse", "nombre y direccion",
     "nome e indirizzo", "name und anschrift", "name und adresse")
)  # fmt: skip
_ASKED_ASIDE: Final = r"\((?=[^)]{0,40}(?:NAME|NOM|ADRES|ADDRES|ANSCHRIFT))[^)]{3,60}\)"
_FORM: Final = rf"(?:\W?S)?(?:\s*(?:(?:{_ASKED})(?![A-Z])|{_ASKED_ASIDE}))?"
_BOX: Final = r"\W*(?:(?:[A-Z0-9]|[OIZSGB3479]{2})[.)]?\s{1,2})?"
_CAPTION: Final = re.compile(
    rf"{_BOX}(?:(?P<to>{phrases(_TO_NAMES)})|(?P<from>{phrases(_FROM_NAMES)})|(?P<other>{phrases(_OTHER_NAMES)})"
    rf"|(?P<back>{phrases(_RETURN_NAMES)}))"
    rf"(?:(?![A-Z])|(?=S\W)){_AGAIN}{_FORM}(?P<end>\W*)"
)
_SHORT_CAPTION: Final = re.compile(
    # A letter alone in its line may be a scrap of a logo: A is a caption only before a colon.
    rf"\W*(?:(?P<to>{phrases(_SHORT_TO)}|A(?=\s*[:;]))|(?P<from>{phrases(_SHORT_FROM)})){_AGAIN}"
    r"(?P<end>\s*[:;]\s*|\W*$)"
)
# Without a colon these words are a caption only if what follows is certainly an address.
_DOUBTFUL_CAPTION: Final = re.compile(r"\W*(?:(?P<to>TO)|(?P<from>FROM))\s+(?=[A-Z])")
_UPPER_HALF: Final = re.compile(r"\W*(?:SHIP|DELIVER|SEND|MAIL)(?:PED|ED)?\W*")
_TWO_WORDS: Final = re.compile(r"[A-Z]\W+(?:TO|FROM|ADDRESS|AN|A)\W*$")

_PHONE_NAMES: Final = (
    "tel", "tel.", "telephone", "telefon", "telefono", "telefoon", "telefone", "phone", "ph", "ph.", "mobile", "mob",
    "cell", "handy", "fax", "contact no", "contact tel", "e-mail", "email", "mail", "vat", "vat no", "eori", "tax id",
    "ust-idnr", "tva", "t", "m",
)  # fmt: skip
# A line that begins so is no part of an address, but the address may go on below it.
_ASIDE_NAME: Final = re.compile(rf"\W*(?:{phrases(_PHONE_NAMES)})(?![A-Z])")
_ASIDE_VALUE: Final = re.compile(r"(?:\s*(?:NO|NR|N|#)\b)?[\s.:#/]*(?:[A-Z]{0,3}\s?[+(]?\s?[0-9(].*|\S+@.*)?")
_ASIDE_ALONE: Final = re.compile(r"[^@\s]+@[^@\s]+\.[A-Z]+|\W*[+(]?[0-9][0-9OIl\s()./\-]{7,}")
_STOP_NAMES: Final = (
    "origin id", "ref", "reference", "po", "p.o.#", "order", "inv", "invoice", "date", "weight", "gross", "net wt",
    "tracking",
    "shipment", "service", "billing", "desc", "description", "account", "acct", "dim", "dims", "pieces", "pcs", "qty",
    "sscc", "gtin", "batch", "lot", "carrier", "route", "pro", "bol", "customer", "cust", "department no", "item",
    "contents", "sku", "product", "instructions", "incoterms", "lieferschein", "bestellnr", "auftrag", "kundennr",
    "sendung", "sendungsnr", "datum", "gewicht", "poids", "colis", "commande", "reference client", "peso", "fecha",
    "pedido", "data", "bulto", "bultos", "zending", "awb", "hawb", "waybill", "airwaybill", "container", "seal", "port",
    "goods", "style", "purchase order", "postage", "permit", "signature", "waybill no", "delivery note", "shipped",
)  # fmt: skip
_STOP: Final = re.compile(rf"\W*(?:{phrases(_STOP_NAMES)})\b\W{{0,3}}(?:NO|NR|NUMBER|ID|[OI])?\s*(?:[.#:]+|$)")
# Where goods were made is no address.
_ORIGIN_NAMES: Final = (
    "made in", "product of", "produce of", "country of", "registered in", "hergestellt in", "fabrique en",
    "fabricado en", "hecho en", "prodotto in", "wyprodukowano w", "ursprungsland", "pays d'origine",
)  # fmt: skip
_ORIGIN: Final = re.compile(rf"\W*(?:{phrases(_ORIGIN_NAMES)})(?![A-Z])")
_DIGIT: Final = re.compile(r"\d")
_WORD: Final = re.compile(r"[A-Z]{2,}")
_COUNTRYS_CODE: Final = re.compile(r"(?:^|,)(?P<name>[^0-9,]{4,})[0-9][0-9 \-]{2,8}$")
_MAX_ROWS: Final = 12
_MAX_LINES: Final = 9
_MAX_BEHIND_PLACE: Final = 2
_CAPTIONED: Final = 0.9
_BARE: Final = 0.6
_MIN_LINES: Final = 2
_MIN_BARE_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Address:
    """An address block. `rows` has its spans row by row, and `folded` the text of each row; `country` is ISO 3166-1.

    `evidence` is that of candidates. The line of `postcode` counts rows. `asides` are lines in between that are no part
    of the address.
    """

    type: str
    rows: tuple[tuple[Span, ...], ...]
    folded: tuple[str, ...]
    country: str | None
    postcode: FoundPostcode | None
    evidence: float
    asides: tuple[int, ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """All its spans, in reading order."""
        return tuple(span for row in self.rows for span in row)

    @property
    def line_ids(self) -> tuple[int, ...]:
        """The lines that it runs through, with the asides."""
        return (*(span.line_id for span in self.spans), *self.asides)

    def within(self, row: int, start: int, stop: int) -> Iterator[Span]:
        """Yield where characters `start` to `stop` of a row's text lie; the lines of a row are joined by a space."""
        for span in self.rows[row]:
            length = span.stop - span.start
            first, last = max(start, 0), min(stop, length)
            if first < last:
                yield Span(span.line_id, span.start + first, span.start + last)
            start, stop = start - length - 1, stop - length - 1


@dataclass(frozen=True, slots=True)
class _Caption:
    """A caption in `line` that ends at `stop`. One in `doubt` counts only if a country or postcode follows."""

    type: str
    line: int
    stop: int
    doubt: bool


def find_addresses(page: PageText, neighbors: Neighbors) -> list[Address]:
    """Return the addresses of a page: those with a caption first, then others by the lines with their towns."""
    geometry = BlockGeometry(neighbors.index)
    named = {caption.line: caption for caption in _captions(neighbors.folded)}
    rows = Rows.of(geometry, {line for line, caption in named.items() if caption.stop >= len(neighbors.folded[line])})
    named |= dict(_upper_halves(neighbors.folded, geometry, named))
    captions = {line: caption for line, caption in named.items() if not caption.doubt}
    reader = _BlockReader(neighbors.folded, rows, captions)
    found: list[Address] = []
    taken: set[int] = set()
    for caption in sorted(named.values(), key=lambda caption: (caption.doubt, caption.line)):
        address = _address_named_by(caption, geometry, reader)
        if address is not None and caption.doubt and address.postcode is None and address.country is None:
            continue
        if address is not None and not taken & _lines(address):
            found.append(address)
            taken |= _lines(address)
    heads = set(range(len(page.lines))) - set(rows.next_row.values()) - set(rows.next_in_row.values())
    for head in sorted(heads | {rows.next_row[line] for line in captions if line in rows.next_row}):
        address = reader.read_without_caption(head, taken)
        if address is not None and not taken & _lines(address):
            found.append(address)
            taken |= _lines(address)
    return _with_the_other_party(found)


def _with_the_other_party(addresses: list[Address]) -> list[Address]:
    """Return the addresses with the sender or addressee filled in, where a caption names only the other of the two.

    Only one address without a caption may be left: it is the other party.
    """
    named = {address.type for address in addresses} & {TO, FROM}
    unnamed = [address for address in addresses if _is_unnamed(address)]
    kind = OTHER
    if len(unnamed) == 1 and len(named) == 1:
        kind = FROM if named == {TO} else TO
    return [replace(address, type=kind) if _is_unnamed(address) else address for address in addresses]


def _is_unnamed(address: Address) -> bool:
    return address.type == _RETURN or (address.type == OTHER and address.evidence == _BARE)


def _lines(address: Address) -> set[int]:
    return {span.line_id for span in address.spans}


def _captions(folded: Sequence[str]) -> Iterator[_Caption]:
    for line, text in enumerate(folded):
        shape = skeleton(text)
        match = _CAPTION.match(shape) or _SHORT_CAPTION.match(shape) or _DOUBTFUL_CAPTION.match(shape)
        if match is not None:
            named = match.groupdict()
            kind = TO if named["to"] else FROM if named["from"] else OTHER if named["other"] else _RETURN
            # "SHIP TO ACME" names an address, "SHIPPER LOAD AND COUNT" may not: two words of a caption need no colon.
            sure = match.end() == len(shape) or ":" in match[0] or _TWO_WORDS.search(text[: match.end()]) is not None
            yield _Caption(kind, line, match.end(), not sure)


def _upper_halves(
    folded: Sequence[str], geometry: BlockGeometry, named: dict[int, _Caption]
) -> Iterator[tuple[int, _Caption]]:
    """Yield SHIP as a caption where TO stands below it: the address begins beside the upper word."""
    for line, text in enumerate(folded):
        if _UPPER_HALF.fullmatch(text) and (lower := geometry.below(line)) in named and lower is not None:
            yield line, replace(named[lower], line=line, stop=len(text), doubt=False)


def _address_named_by(caption: _Caption, geometry: BlockGeometry, reader: "_BlockReader") -> Address | None:
    """Read the address that a caption names: behind it in its line, below it, or to its right."""
    line = caption.line
    if _WORD.search(reader.folded[line], caption.stop):
        return reader.read_behind(caption, geometry)
    for start in (
        geometry.below(line, left=-1.0, right=1.0, far=1.8),
        geometry.beside(line, 8.0),
        _indented(line, geometry),
    ):
        if start is not None and start not in reader.captions and reader.can_begin(start):
            address = reader.read(caption.type, reader.rows.column(start, _MAX_ROWS), _CAPTIONED)
            if address is not None:
                return address
    return None


def _indented(line: int, geometry: BlockGeometry) -> int | None:
    return geometry.below(line, left=-1.0, right=6.0, far=1.8)


class _BlockReader:
    """Turns rows of lines into addresses."""

    def __init__(self, folded: Sequence[str], rows: Rows, captions: dict[int, _Caption]) -> None:
        self.folded = folded
        self.rows = rows
        self.captions = captions

    def can_begin(self, line: int) -> bool:
        """Whether a line can begin an address."""
        text = self.folded[line]
        return bool(_WORD.search(text)) and not _STOP.match(skeleton(text))

    def read_behind(self, caption: _Caption, geometry: BlockGeometry) -> Address | None:
        """Read an address that begins in the line of its caption and goes on below the caption or below itself."""
        line, box = caption.line, geometry.lines[caption.line]
        indent = caption.stop / max(len(self.folded[line]), 1) * box.length / box.height
        below = geometry.below(line)
        if below is None:
            below = geometry.below(line, left=indent - 1.5, right=indent + 1.5)
        column = [] if below is None or below in self.captions else self.rows.column(below, _MAX_ROWS)
        return self.read(caption.type, [line, *column], _CAPTIONED, first_start=caption.stop)

    def read_without_caption(self, head: int, taken: set[int]) -> Address | None:
        """Read an address without a caption: it needs three rows with a digit, and a country or a postcode."""
        column = [line for line in self.rows.column(head, _MAX_ROWS) if line not in taken]
        while column and (column[0] in self.captions or not self.can_begin(column[0])):
            column = column[1:]
        if len(column) < _MIN_BARE_LINES or not any(_DIGIT.search(self.folded[line]) for line in column):
            return None
        address = self.read(OTHER, column, _BARE)
        if address is None or (address.postcode is None and address.country is None):
            return None
        return address if len(address.rows) >= _MIN_BARE_LINES else None

    def read(self, kind: str, column: Sequence[int], evidence: float, *, first_start: int = 0) -> Address | None:
        """Read one address from rows that stand below one another; None if there is none."""
        spans: list[tuple[Span, ...]] = []
        texts: list[str] = []
        asides: list[int] = []
        for number, first in enumerate(column):
            row = self._row(first, first_start if number == 0 else 0)
            text = " ".join(self.folded[span.line_id][span.start : span.stop] for span in row)
            shape = skeleton(text)
            ends = first in self.captions or _STOP.match(shape) or _ORIGIN.match(shape)
            if (number and ends) or len(texts) == _MAX_LINES:
                break
            if _is_aside(text, shape):
                asides += [span.line_id for span in row]
                continue
            spans.append(row)
            texts.append(text)
            if number and (country_named(text) or (number > 1 and country_coded(text))):
                break
        address = _address_of(kind, spans, texts, evidence)
        return replace(address, asides=tuple(asides)) if address else None

    def _row(self, first: int, start: int) -> tuple[Span, ...]:
        row = self.rows.row(first)
        begins = [start, *([0] * (len(row) - 1))]
        return tuple(Span(line, begin, len(self.folded[line])) for line, begin in zip(row, begins, strict=True))


def _is_aside(folded: str, shape: str) -> bool:
    """Whether a line is a telephone number or the like."""
    named = _ASIDE_NAME.match(shape)
    if named is not None and _ASIDE_VALUE.fullmatch(folded, named.end()):
        return True
    return _ASIDE_ALONE.fullmatch(folded) is not None


def _address_of(kind: str, spans: list[tuple[Span, ...]], texts: list[str], evidence: float) -> Address | None:
    """Return the address in these rows, without what stands below its town and country; None if they hold none."""
    country, at = _country(texts)
    postcode = postcode_in(texts, country)
    end = len(texts)
    if at is not None:
        end = at + 1
    elif postcode is not None and postcode.line:
        end = postcode.line + 1
    elif kind == OTHER:
        return None
    # One line is an address where a caption says so and a town with its postcode stands in it.
    least = _MIN_LINES if kind == OTHER or not (postcode and "," in texts[0]) else 1
    if end < least or not any(map(_WORD.search, texts[:end])):
        return None
    if postcode is not None and postcode.line >= end:
        postcode = None
    home = country or (postcode.country if postcode else None)
    return Address(kind, tuple(spans[:end]), tuple(texts[:end]), home, postcode, evidence)


def _country(texts: Sequence[str]) -> tuple[str | None, int | None]:
    """Return the country and the row that names it: alone in its row, or at the end of one of the last rows."""
    for row in range(1, len(texts)):
        code = country_named(texts[row]) or (country_coded(texts[row]) if row > 1 else None)
        if code is not None:
            return code, row
    for row in range(len(texts) - 1, max(len(texts) - 1 - _MAX_BEHIND_PLACE, 0), -1):
        ending = country_at_end(texts[row])
        if ending is not None:
            return ending[0], row
        # SINGAPORE 637123
        coded = _COUNTRYS_CODE.search(texts[row])
        code = country_named(coded["name"]) if coded else None
        if code is not None:
            return code, row
    return None, None
