"""The captions that say what a number is, in many languages, and the carriers that a page names.

Invariant: of several known captions the nearest decides, and of several in a number's own line the last before it. So a
number behind `ORDER NO` is no tracking number, whatever else stands beside it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from worker.domain.image import PageText
from worker.pipeline.extract.folding import phrases, skeleton
from worker.pipeline.extract.neighbors import CaptionSide, Neighbors
from worker.pipeline.extract.text_span import Span


class Topic(StrEnum):
    """What a caption says that a number is."""

    SSCC = "sscc"
    GTIN = "gtin"
    HOUSE_WAYBILL = "house_waybill"
    AIR_WAYBILL = "air_waybill"
    CONTAINER = "container"
    IMEI = "imei"
    TRACKING = "tracking"
    PRO = "pro"  # a number of freight by road
    OTHER = "other"  # a number of another type: an order, an invoice, a telephone


_WORDS: Final[dict[Topic, str]] = {
    Topic.SSCC: "sscc|sscc-18|nve|nummer der versandeinheit|serial shipping container code|packstück nve",
    Topic.GTIN: "gtin|gtin-14|gtin-13|ean|ean-13|ean code|upc|upc-a|itf-14|dun-14|code ean|codice ean|código ean",
    Topic.HOUSE_WAYBILL: "hawb|house air waybill|house awb|house waybill|house bill|hbl|hbol",
    Topic.AIR_WAYBILL: "air waybill|airwaybill|awb|mawb|master air waybill|master awb|luftfrachtbrief|lta"
    "|luchtvrachtbrief|lettre de transport aérien|guía aérea|conocimiento aéreo"
    "|lettera di trasporto aereo|lettera di vettura aerea",
    Topic.CONTAINER: "container|containers|container number|cntr|ctr|ctnr|conteneur|contenedor|contenitore"
    "|containernummer|containernr|ilu|ilu code|swap body|swap bodies|semi trailer|semitrailer|trailer|trailer number"
    "|loading unit|intermodal unit|ladeeinheit|wechselbehälter|wechselbrücke|wechselaufbau|sattelanhänger|auflieger"
    "|caisse mobile|semi remorque|cassa mobile|semirimorchio|caja móvil|semirremolque|wissellaadbak|oplegger|naczepa",
    Topic.IMEI: "imei|imei1|imei2",
    Topic.TRACKING: "tracking|tracking reference|tracking order|trk|track id|track & trace|shipment|shipment number"
    "|shipment reference|consignment|consignment reference|waybill|parcel no|parcel number|parcel id|package id"
    "|article id|label number|certified mail|item id|pin|sendung|sendungsnummer|sendungsnr|sendungs nr"
    "|sendungsverfolgung|sendungscode|paketnummer|paketnr|paket nr|paketschein"
    "|paketscheinnummer|identcode|frachtbrief|suivi|colis"
    "|numéro de suivi|numéro de colis|expédition|bordereau|seguimiento|envío|nº de envío|albarán|localizador|zending"
    "|zendingnummer|pakket|pakketnummer|trackingnummer|vrachtbrief|barcode nr|spedizione|tracciatura|lettera di vettura"
    "|barcode no|barcode number|t&t|3s code|3s-code|inquiry no|inquiry number|delivery confirmation|お問合せ送り状"
    "|numero di spedizione|collo|versand nr|versandnummer|kolli|colli|barcode nummer|przesyłka|przesyłki|paczka|paczki"
    "|list przewozowy|listu przewozowego|伝票番号|お問い合わせ番号|お問合せ番号|問い合わせ番号|送り状番号|追跡番号",
    Topic.PRO: "pro|pro number|pro no|freight bill|freight bill no|freight bill number",
    Topic.OTHER: "order|po|p.o.|ref|reference|invoice|inv|customer|cust|account|acct|acc|phone|tel|fax|mobile|cell"
    "|mob|kunde|kundennummer|kunden nr|kundennr|bestellnummer|bestell nr|bestellung|auftrag|auftragsnummer|auftrags nr"
    "|rechnung|rechnungsnummer|lieferschein|lieferscheinnummer|referenz|telefon|handy|commande|facture|client|réf"
    "|référence|téléphone|pedido|factura|cliente|referencia|teléfono|bestelling|factuur|klant|klantnummer|telefoon"
    "|referentie|ordine|fattura|riferimento|telefono|vat|ust|ustid|ust-idnr|tva|iva|btw|eori|tax id|tax|lot|batch"
    "|charge|lotto|lote|serial|serial no|sn|s/n|style|sku|part|model|permit|qty|quantity|count|menge|seal"
    "|booking|b/l|hs code|iban|dept|date|weight|licence|license|contract|meter|billing|vessel|voyage|flight|bol|asn"
    "|vendor|supplier|zamówienie|zamówienia|zam.|faktura|faktury|klient|klienta|umowa|umowy",
}

_OTHERS: Final = frozenset({Topic.OTHER, Topic.PRO})

# A page with more lines is no label: a name somewhere on it says nothing about a number elsewhere.
_LABEL_LINES: Final = 250


# German and Dutch write one word, FRACHTBRIEFNUMMER. Any other word that ends so, as VERTRAGSNUMMER, is `OTHER`.
_NUMBERS_OF: Final = "(?:S?(?:NUMMER|NR))?"
_OTHERS_NUMBER: Final = re.compile(r"(?<![A-Z0-9])[A-Z]{3,24}(?:NUMMER|NR)(?![A-Z])")


_NAME: Final = r"(?<![A-Z0-9])(?:{})" + _NUMBERS_OF + "(?![A-Z])"
_CAPTIONS: Final = re.compile(
    _NAME.format("|".join(f"(?P<{topic.value}>{phrases(listed.split('|'))})" for topic, listed in _WORDS.items()))
)
_ELEMENT: Final = re.compile(r"(?:^|\W)[0OQD]([0OQD12])[)\]}] ?$")  # (00), (01) or (02) of GS1, as it may be read
_LONG_NUMBER: Final = re.compile(r"[0-9]{4,}")  # a caption may stand before it without a gap
_ELEMENT_AHEAD: Final = re.compile(r"(?:^|\W)[0OQD][0OQD12][)\]}]")
_ELEMENT_LENGTHS: Final = {Topic.SSCC: 18, Topic.GTIN: 14}
_SINCE_LAST_NUMBER: Final = re.compile(r"\d\W*(?=[^\d]*$)")


@lru_cache(maxsize=4096)
def topics_of(folded: str) -> tuple[Topic, ...]:
    """Return what the captions in a folded text say, in their order."""
    shape = skeleton(folded)
    named = {found.start(): Topic(found.lastgroup or "") for found in _CAPTIONS.finditer(shape)}
    if "NUMMER" in shape or "NR" in shape:
        named = {found.start(): Topic.OTHER for found in _OTHERS_NUMBER.finditer(shape)} | named
    return tuple(topic for _, topic in sorted(named.items()))


@dataclass(frozen=True, slots=True, eq=False)
class CarrierNames:
    """The names by which labels call the carriers. Make it by `of`, once."""

    _any: re.Pattern[str] | None
    _each: Mapping[str, re.Pattern[str]]

    @classmethod
    def of(cls, names: Mapping[str, Sequence[str]]) -> "CarrierNames":
        """Compile the names of each carrier."""
        listed = {carrier: phrases(called) for carrier, called in names.items() if called}
        one = re.compile(_NAME.format("|".join(listed.values()))) if listed else None
        return cls(one, {carrier: re.compile(_NAME.format(called)) for carrier, called in listed.items()})

    def within(self, folded: str) -> frozenset[str]:
        """Return the carriers that a folded text names."""
        return _carriers_within(self, folded)


@lru_cache(maxsize=4096)
def _carriers_within(names: CarrierNames, folded: str) -> frozenset[str]:
    shape = skeleton(folded)
    if names._any is None or not names._any.search(shape):  # noqa: SLF001 - its own cache
        return frozenset()
    return frozenset(carrier for carrier, pattern in names._each.items() if pattern.search(shape))  # noqa: SLF001


def is_denied_by(topics: frozenset[Topic]) -> bool:
    """Whether captions say that a number is something else than a number of a parcel or of goods."""
    return bool(topics) and topics <= _OTHERS


class PageCaptions:
    """The captions of one page, and the carriers that it names."""

    def __init__(self, page: PageText, neighbors: Neighbors, names: CarrierNames) -> None:
        self._page = page
        self._neighbors = neighbors
        self._names = names
        self._known: dict[tuple[int, int, int], frozenset[Topic]] = {}
        self._carriers: frozenset[str] | None = None
        self._mentioned: frozenset[Topic] | None = None
        self._announced: frozenset[Topic] | None = None

    def topics(self, span: Span) -> frozenset[Topic]:
        """Return what the nearest known caption of a text says; empty where there is none."""
        key = (span.line_id, span.start, span.stop)
        if key not in self._known:
            self._known[key] = self._nearest(span)
        return self._known[key]

    @property
    def carriers(self) -> frozenset[str]:
        """The carriers that the page names anywhere; none if it is too long for a label."""
        if self._carriers is None:
            self._carriers = frozenset(carrier for text in self._label() for carrier in self._names.within(text))
        return self._carriers

    @property
    def announced(self) -> frozenset[Topic]:
        """What captions and GS1 application identifiers anywhere on the page say."""
        if self._announced is None:
            found = {topic for text in self._neighbors.folded for topic in topics_of(_LONG_NUMBER.sub("#", text))}
            if any(_ELEMENT_AHEAD.search(text) for text in self._neighbors.folded):
                found |= {Topic.GTIN, Topic.SSCC}
            self._announced = frozenset(found)
        return self._announced

    @property
    def mentioned(self) -> frozenset[Topic]:
        """What captions anywhere on the page say; nothing if it is too long for a label."""
        if self._mentioned is None:
            self._mentioned = frozenset(topic for text in self._label() for topic in topics_of(text))
        return self._mentioned

    def denied_in_row(self, span: Span) -> bool:
        """Whether a caption in a number's own row says that it is an order number or the like."""
        if not is_denied_by(self.topics(span)):
            return False
        named = (caption for caption in self._neighbors.captions(span) if topics_of(caption.text))
        return next((caption.side is not CaptionSide.ABOVE for caption in named), False)

    def _label(self) -> Sequence[str]:
        return self._neighbors.folded if len(self._page.lines) <= _LABEL_LINES else ()

    def _nearest(self, span: Span) -> frozenset[Topic]:
        if topic := _element(self._neighbors.folded[span.line_id], span):
            return frozenset({topic})
        for caption in self._neighbors.captions(span):
            if caption.side is CaptionSide.BEFORE:
                topics = topics_of(_since_last_number(caption.text))[-1:]
            else:
                topics = topics_of(caption.text)
            if topics:
                return frozenset(topics)
        return frozenset()


def _element(folded: str, span: Span) -> Topic | None:
    """Return what a GS1 application identifier says of the number behind it, if that has the right length."""
    if not (element := _ELEMENT.search(folded[: span.start])):
        return None
    kind = Topic.GTIN if element[1] in "12" else Topic.SSCC
    return kind if sum(map(str.isalnum, folded[span.start : span.stop])) == _ELEMENT_LENGTHS[kind] else None


def _since_last_number(text: str) -> str:
    """Return what stands behind the last number of a text: captions before it belong to that number."""
    found = _SINCE_LAST_NUMBER.search(text)
    return text[found.end() :] if found and len(text) - found.end() > 0 else text
