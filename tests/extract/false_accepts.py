"""Counts numbers that pass for what they are not: `python -m tests.extract.false_accepts --pages 20000 --seed 1`.

Pages of numbers of every kind and of what else stands on labels, each with a caption of its own, a neutral one or none,
read by a recognizer that is calibrated (see `misreading`). A field with `check: passed` that is not printed on its page
is false: of another kind than the number in its line, or of its kind and misread.
"""
# ruff: noqa: T201 - it prints

import argparse
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from tests.extract.misreading import printed, read
from worker.domain.fields import Check
from worker.domain.image import Character, PageText, TextLine
from worker.pipeline.extract.extract import extract
from worker.pipeline.extract.numbers.captions import Topic
from worker.pipeline.extract.numbers.catalog import BUILT_IN_CATALOG, NUMBER_TYPES
from worker.pipeline.extract.numbers.forms import Form
from worker.pipeline.extract.options import FieldOptions

_WIDTH, _HEIGHT, _PITCH = 12.0, 20.0, 80.0
_NUMBERS_A_PAGE = 12
_CAPTIONS = {
    Topic.SSCC: ("SSCC", "NVE", "SSCC:", "SSCC-18"),
    Topic.GTIN: ("GTIN", "EAN", "GTIN:", "UPC"),
    Topic.AIR_WAYBILL: ("AWB", "AIR WAYBILL NO", "MAWB:"),
    Topic.CONTAINER: ("CONTAINER NO.", "CONTAINER:"),
    Topic.IMEI: ("IMEI", "IMEI:"),
    Topic.PRO: ("PRO NUMBER", "PRO #:"),
    Topic.TRACKING: ("TRACKING NO.", "TRACKING #:", "Sendungsnr.", "Shipment", "WAYBILL", "Parcel no."),
}
_NEUTRAL = ("ORDER NO.", "REF:", "PO", "INVOICE", "Kundennr.", "N° commande", "LOT", "S/N")
_NAMES = {"ups": "UPS GROUND", "usps": "USPS", "fedex": "FedEx", "sf_express": "SF EXPRESS"}
_PHONES = ("+49 30 23125123", "020 7946 0958", "(02) 9374 4000", "02 9374 4000", "021-62345678", "503-555-0123")
_SHAPES = (
    "#######", "########", "##########", "############", "#############", "##############", "################",
    "##################", "####################", "@@########", "@@#########", "@@#########@@", "@@@#######",
    "@@@@#######", "************", "*************", "****************", "******************", "@@##################",
    "@@## #### #### #### #### ##",
    "@@## @@@@ #### #### #### ##", "####-####-####", "## #### ####", "### #### ###",
    "#### #### ####", "#### #### #### ####", "###-########", "# ###### ######", "#/######/##",
    "NO ######### DE", "PO ######### US", "20##-##-##", "##.##.20##",
)  # fmt: skip
_TELLING = frozenset({"@@#########@@", "# ###### ######"})


@dataclass(frozen=True)
class Printed:
    """A number as it stands on a page: its kind, its value if its kind is looked for, and the groups of its text."""

    kind: str
    value: str
    text: str
    caption: str


@dataclass
class Tally:
    """What came of many pages: numbers printed and fields that pass, by kind; false ones by the kinds of both."""

    printed: Counter[str]
    passed: Counter[str]
    other: Counter[tuple[str, str]]
    misread: Counter[str]

    def worst_share(self) -> float:
        """Return the largest share of the numbers of one kind that pass for another."""
        false: Counter[str] = Counter()
        for (kind, _), count in self.other.items():
            false[kind] += count
        return max((count / self.printed[kind] for kind, count in false.items()), default=0.0)


def _chosen(forms: Sequence[Form], own: Sequence[Form], chance: random.Random) -> Form:
    return chance.choice(own if own and chance.random() < 0.6 else forms)


def _number(form: Form, chance: random.Random) -> Printed:
    number = printed(form, chance)
    sizes = chance.choice([(len(number),), *form.groups, *form.page_groups])
    text, start = [], 0
    for size in sizes:
        text.append(number[start : start + size])
        start += size
    own = [caption for topic in sorted(form.topics) for caption in _CAPTIONS[topic]]
    own = own or list(_CAPTIONS[Topic.TRACKING])
    caption = chance.choice(own) if chance.random() < 0.6 else ""
    return Printed(form.type, form.value(number), " ".join(text), caption)


def _reference(chance: random.Random) -> Printed:
    if chance.random() < 0.2:
        phone = "".join(chance.choice("0123456789") if c in "13579" else c for c in chance.choice(_PHONES))
        return Printed("phone", "", phone, chance.choice(("", "", "TEL", "Phone:")))
    pools = {"#": "0123456789", "@": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "*": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    shape = chance.choice(_SHAPES)
    text = "".join(chance.choice(pools.get(mark, mark)) for mark in shape)
    # Nothing but a caption tells such a reference from a number that is printed so.
    return Printed("reference", "", text, chance.choice(_NEUTRAL if shape in _TELLING else ("", *_NEUTRAL)))


def _line(text: str, left: float, top: float, chance: random.Random, *, tells: bool) -> TextLine:
    marks = list(read(text.upper(), chance)) if any(map(str.isdigit, text)) else []
    characters = []
    for place, mark in enumerate(marks):
        known = text[place].isalnum()
        sure = 1.0 / (1.0 + sum(odds for _, odds in mark.others)) if mark.others else 0.9995
        others = tuple((other, odds * sure) for other, odds in mark.others) if known and tells else ()
        characters.append(Character(mark.text if known else text[place], sure if known else 0.99, 0.0, others))
    seen = "".join(character.text for character in characters) or text
    right = left + _WIDTH * len(seen)
    corners = [(left, top), (right, top), (right, top + _HEIGHT), (left, top + _HEIGHT)]
    confidence = float(np.mean([character.confidence for character in characters])) if characters else 0.99
    return TextLine(seen, confidence, np.array(corners, dtype=np.float64), 0.0, tuple(characters))


def pages(count: int, seed: int) -> Iterator[tuple[PageText, dict[int, Printed]]]:
    """Yield pages, and the number in each line that holds one."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(count):
        # A label names who carries it, maybe another besides, or nobody that was read.
        carriers = chance.sample(sorted(BUILT_IN_CATALOG.carrier_numbers.names), chance.choice((1, 1, 2)))
        forms = [form for form in BUILT_IN_CATALOG.forms if form.carrier in (None, *carriers)]
        carried = [form for form in forms if form.carrier is not None]
        shown = carriers if chance.random() < 0.8 else []
        tells = chance.random() < 0.5
        lines = [
            _line(_NAMES.get(name, name.replace("_", " ").upper()), 900, 80.0 * row, chance, tells=False)
            for row, name in enumerate(shown)
        ]
        truth: dict[int, Printed] = {}
        for row in range(_NUMBERS_A_PAGE):
            number = _reference(chance) if chance.random() < 0.4 else _number(_chosen(forms, carried, chance), chance)
            top, style = _PITCH * row, chance.choice(("inline", "left", "above"))
            text, left = number.text, 200.0
            if number.caption and style == "inline":
                lead = f"{number.caption} "
                place = _line(number.text, left, top, chance, tells=tells)
                text = lead + place.text
                own = tuple(Character(mark, 0.99, 0.0) for mark in lead) + place.characters
                line = replace(_line("x" * len(text), left, top, chance, tells=False), text=text, characters=own)
            else:
                line = _line(text, left, top, chance, tells=tells)
                if number.caption:
                    at = (10.0, top) if style == "left" else (left, top - 24)
                    lines.append(_line(number.caption, *at, chance, tells=False))
            truth[len(lines)] = number
            lines.append(line)
        yield PageText(2000, 2000, tuple(lines)), truth


def simulate(count: int, seed: int, *, verbose: bool = False) -> Tally:
    """Extract the fields of so many pages and count the false ones."""
    tally = Tally(Counter(), Counter(), Counter(), Counter())
    for page, truth in pages(count, seed):
        tally.printed.update(number.kind for number in truth.values())
        printed_values = {(number.kind, number.value) for number in truth.values()}
        for field in extract(page, FieldOptions()):
            if field.check is not Check.PASSED:
                continue
            tally.passed[field.type] += 1
            if (field.type, field.value) in printed_values:
                continue
            meant = next((truth[line] for line in field.line_ids if line in truth), None)
            kind = meant.kind if meant else "caption"
            if kind == field.type:
                tally.misread[kind] += 1
            else:
                tally.other[kind, field.type] += 1
            if verbose:
                print(kind, field.type, field.value, field.text, field.repaired, meant, flush=True)
    return tally


@lru_cache(maxsize=1)
def short() -> Tally:
    """Return the form of it that the tests can afford."""
    return simulate(300, 7)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args()
    started = time.thread_time()
    tally = simulate(chosen.pages, chosen.seed, verbose=chosen.verbose)
    print(f"{1000 * (time.thread_time() - started) / chosen.pages:.2f} ms a page, drawing it and all")
    for kind in sorted({*tally.printed, *NUMBER_TYPES}):
        other = {to: count for (of, to), count in sorted(tally.other.items()) if of == kind}
        print(
            f"{kind:14} printed {tally.printed[kind]:7} passed {tally.passed[kind]:7} "
            f"misread {tally.misread[kind]:4} as another {sum(other.values()):4} {other or ''}"
        )
    false = tally.other.total() + tally.misread.total()
    print(f"false {false} of {tally.passed.total()}: {false / max(tally.passed.total(), 1):.5f}")
    print(f"worst share of a kind that passes for another {tally.worst_share():.6f}")


if __name__ == "__main__":
    main()
