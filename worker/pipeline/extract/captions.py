"""The words beside a number that say what kind of number it is, in seven languages, and the carriers' names.

Invariant: of several captions the nearest that is known decides, and of the words before a number in its own line the
last: a number behind `ORDER NO` is no tracking number, whatever else stands around.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final

from worker.domain.image import PageText
from worker.pipeline.extract.candidate import Span
from worker.pipeline.extract.folding import phrases, skeleton
from worker.pipeline.extract.surroundings import Place, Surroundings


class Topic(StrEnum):
    """What a caption announces."""

    SSCC = "sscc"
    GTIN = "gtin"
    HOUSE_WAYBILL = "house_waybill"
    AIR_WAYBILL = "air_waybill"
    CONTAINER = "container"
    IMEI = "imei"
    TRACKING = "tracking"
    OTHER = "other"  # a number of another kind: an order, an invoice, a telephone


class Carrier(StrEnum):
    """Who carries, as labels name it."""

    AMAZON = "amazon"
    AUSTRALIA_POST = "australia_post"
    CANADA_POST = "canada_post"
    DHL = "dhl"
    DPD = "dpd"
    EVRI = "evri"
    FEDEX = "fedex"
    GLS = "gls"
    LASERSHIP = "lasership"
    ONTRAC = "ontrac"
    PUROLATOR = "purolator"
    SF_EXPRESS = "sf_express"
    UPS = "ups"
    USPS = "usps"
    YODEL = "yodel"


_WORDS: Final[dict[Topic, str]] = {
    Topic.SSCC: "sscc|sscc-18|nve|nummer der versandeinheit|serial shipping container code|packstück nve",
    Topic.GTIN: "gtin|gtin-14|gtin-13|ean|ean-13|ean code|upc|upc-a|itf-14|dun-14|code ean|codice ean|código ean",
    Topic.HOUSE_WAYBILL: "hawb|house air waybill|house awb|house waybill|house bill|hbl|hbol",
    Topic.AIR_WAYBILL: "air waybill|airwaybill|awb|mawb|master air waybill|master awb|luftfrachtbrief|lta"
    "|luchtvrachtbrief|lettre de transport aérien|guía aérea|conocimiento aéreo"
    "|lettera di trasporto aereo|lettera di vettura aerea",
    Topic.CONTAINER: "container|containers|container number|cntr|ctr|ctnr|conteneur|contenedor|contenitore"
    "|containernummer|containernr",
    Topic.IMEI: "imei|imei1|imei2",
    Topic.TRACKING: "tracking|tracking reference|tracking order|trk|track id|track & trace|shipment|shipment number"
    "|shipment reference|consignment|consignment reference|waybill|parcel no|parcel number|parcel id|package id"
    "|article id|label number|certified mail|item id|pin|sendung|sendungsnummer|sendungsnr|sendungs nr"
    "|sendungsverfolgung|sendungscode|paketnummer|paketnr|paket nr|paketschein"
    "|paketscheinnummer|identcode|frachtbrief|suivi|colis"
    "|numéro de suivi|numéro de colis|expédition|bordereau|seguimiento|envío|nº de envío|albarán|localizador|zending"
    "|zendingnummer|pakket|pakketnummer|trackingnummer|vrachtbrief|barcode nr|spedizione|tracciatura|lettera di vettura"
    "|numero di spedizione|collo|versand nr|versandnummer|kolli|colli|barcode nummer|przesyłka|przesyłki|paczka|paczki"
    "|list przewozowy|listu przewozowego",
    Topic.OTHER: "order|po|p.o.|ref|reference|invoice|inv|customer|cust|account|acct|acc|phone|tel|fax|mobile|cell"
    "|mob|kunde|kundennummer|kunden nr|kundennr|bestellnummer|bestell nr|bestellung|auftrag|auftragsnummer|auftrags nr"
    "|rechnung|rechnungsnummer|lieferschein|lieferscheinnummer|referenz|telefon|handy|commande|facture|client|réf"
    "|référence|téléphone|pedido|factura|cliente|referencia|teléfono|bestelling|factuur|klant|klantnummer|telefoon"
    "|referentie|ordine|fattura|riferimento|telefono|vat|ust|ustid|ust-idnr|tva|iva|btw|eori|tax id|tax|lot|batch"
    "|charge|lotto|lote|serial|serial no|sn|s/n|style|sku|part|model|permit|qty|quantity|count|menge|seal"
    "|booking|b/l|hs code|iban|dept|date|weight|licence|license|contract|meter|billing|vessel|voyage|flight|pro|bol|asn"
    "|vendor|supplier|zamówienie|zamówienia|zam.|faktura|faktury|klient|klienta|umowa|umowy",
}

_NAMES: Final[dict[Carrier, str]] = {
    Carrier.AMAZON: "amazon",
    Carrier.AUSTRALIA_POST: "australia post|auspost|startrack",
    Carrier.CANADA_POST: "canada post|postes canada|xpresspost|expedited parcel",
    Carrier.DHL: "dhl|deutsche post",
    Carrier.DPD: "dpd|predict|dpd classic",
    Carrier.EVRI: "evri|hermes|myhermes",
    Carrier.FEDEX: "fedex|fed ex|federal express|fedex express|fedex ground|trk#",
    Carrier.GLS: "gls|general logistics systems",
    Carrier.LASERSHIP: "lasership",
    Carrier.ONTRAC: "ontrac",
    Carrier.PUROLATOR: "purolator",
    Carrier.SF_EXPRESS: "sf express|sf international|sf intl",
    Carrier.UPS: "ups|united parcel service|ups ground|ups standard",
    Carrier.USPS: "usps|u.s. postal service|us postal service|united states postal service|certified mail|u.s. postage",
    Carrier.YODEL: "yodel",
}

# A page of more lines is no label: a name somewhere on it says nothing about a number elsewhere.
_LABEL_LINES: Final = 250


# German and Dutch write one word: FRACHTBRIEFNUMMER. Of other words made so, as VERTRAGSNUMMER, none is looked for.
_NUMBERS_OF: Final = "(?:S?(?:NUMMER|NR))?"
_OTHERS_NUMBER: Final = re.compile(r"(?<![A-Z0-9])[A-Z]{3,24}(?:NUMMER|NR)(?![A-Z])")


def _any_of(words: dict[Topic, str] | dict[Carrier, str]) -> re.Pattern[str]:
    groups = (f"(?P<{key.value}>{phrases(listed.split('|'))})" for key, listed in words.items())
    return re.compile(rf"(?<![A-Z0-9])(?:{'|'.join(groups)}){_NUMBERS_OF}(?![A-Z])")


_CAPTIONS: Final = _any_of(_WORDS)
_CARRIERS: Final = _any_of(_NAMES)
_ELEMENT: Final = re.compile(r"(?:^|\W)[0OQD]([0OQD12])[)\]}] ?$")  # (00), (01) or (02) of GS1, as it may be read
_LONG_NUMBER: Final = re.compile(r"[0-9]{4,}")  # a caption may stick to it
_ELEMENT_AHEAD: Final = re.compile(r"(?:^|\W)[0OQD][0OQD12][)\]}]")
_ELEMENT_LENGTHS: Final = {Topic.SSCC: 18, Topic.GTIN: 14}
_SINCE_LAST_NUMBER: Final = re.compile(r"\d\W*(?=[^\d]*$)")


@lru_cache(maxsize=4096)
def topics_of(folded: str) -> tuple[Topic, ...]:
    """Return what the words of a folded text announce, in their order."""
    shape = skeleton(folded)
    named = {found.start(): Topic(found.lastgroup or "") for found in _CAPTIONS.finditer(shape)}
    if "NUMMER" in shape or "NR" in shape:
        named = {found.start(): Topic.OTHER for found in _OTHERS_NUMBER.finditer(shape)} | named
    return tuple(topic for _, topic in sorted(named.items()))


@lru_cache(maxsize=4096)
def carriers_of(folded: str) -> frozenset[Carrier]:
    """Return which carriers a folded text names."""
    return frozenset(Carrier(found.lastgroup or "") for found in _CARRIERS.finditer(skeleton(folded)))


class Naming:
    """Which kind the captions of one page give each number, and which carriers it names."""

    def __init__(self, page: PageText, around: Surroundings) -> None:
        self._page = page
        self._around = around
        self._known: dict[tuple[int, int, int], frozenset[Topic]] = {}
        self._carriers: frozenset[Carrier] | None = None
        self._mentioned: frozenset[Topic] | None = None
        self._announced: frozenset[Topic] | None = None

    def topics(self, span: Span) -> frozenset[Topic]:
        """Return what the nearest caption that is known announces; empty where none is."""
        key = (span.line_id, span.start, span.stop)
        if key not in self._known:
            self._known[key] = self._nearest(span)
        return self._known[key]

    @property
    def carriers(self) -> frozenset[Carrier]:
        """The carriers that the page names anywhere, where it is as short as a label."""
        if self._carriers is None:
            self._carriers = frozenset(carrier for text in self._label() for carrier in carriers_of(text))
        return self._carriers

    @property
    def announced(self) -> frozenset[Topic]:
        """What captions anywhere on the page announce, and elements of GS1."""
        if self._announced is None:
            found = {topic for text in self._around.folded for topic in topics_of(_LONG_NUMBER.sub("#", text))}
            if any(_ELEMENT_AHEAD.search(text) for text in self._around.folded):
                found |= {Topic.GTIN, Topic.SSCC}
            self._announced = frozenset(found)
        return self._announced

    @property
    def mentioned(self) -> frozenset[Topic]:
        """What captions anywhere on the page announce, where it is as short as a label."""
        if self._mentioned is None:
            self._mentioned = frozenset(topic for text in self._label() for topic in topics_of(text))
        return self._mentioned

    def denied_in_row(self, span: Span) -> bool:
        """Whether the words before a number, in its line or left of it, say that it is an order or the like."""
        if self.topics(span) != {Topic.OTHER}:
            return False
        named = (caption for caption in self._around.captions(span) if topics_of(caption.text))
        return next((caption.place is not Place.ABOVE for caption in named), False)

    def _label(self) -> Sequence[str]:
        return self._around.folded if len(self._page.lines) <= _LABEL_LINES else ()

    def _nearest(self, span: Span) -> frozenset[Topic]:
        if topic := _element(self._around.folded[span.line_id], span):
            return frozenset({topic})
        for caption in self._around.captions(span):
            if caption.place is Place.BEFORE:
                topics = topics_of(_since_last_number(caption.text))[-1:]
            else:
                topics = topics_of(caption.text)
            if topics:
                return frozenset(topics)
        return frozenset()


def _element(folded: str, span: Span) -> Topic | None:
    """Return what an application identifier says of the number behind it, which has a length of its own."""
    if not (element := _ELEMENT.search(folded[: span.start])):
        return None
    kind = Topic.GTIN if element[1] in "12" else Topic.SSCC
    return kind if sum(map(str.isalnum, folded[span.start : span.stop])) == _ELEMENT_LENGTHS[kind] else None


def _since_last_number(text: str) -> str:
    """Cut off what belongs to an earlier number: its caption says nothing about this one."""
    found = _SINCE_LAST_NUMBER.search(text)
    return text[found.end() :] if found and len(text) - found.end() > 0 else text
