"""Scores of fields and barcodes: what stands on a picture against what a system says stands there.

- Exact: a value of the truth is found if the same type carries the same value, character for character.
- False accept: a value that passed its check, of a type that the set's truth covers, and that does not stand on the
  picture. A value that one of the picture's barcodes holds does stand there.
- Addresses are blocks of text: their score is the CER against the block of the same type that is most alike.

Invariant: the sums of the counts by type are the counts of the picture.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import astuple, dataclass
from typing import Final

from rapidfuzz.distance import Levenshtein

from worker.domain.fields import Check
from worker.domain.result import LabelText

MARKS: Final = {"right": "✓", "found": "≠", "missed": "−", "spare": "+"}  # noqa: RUF001 - signs, not letters
_ADDRESS = "address"
_ELEMENT = re.compile(r"\((\d{2,4})\)([^(]*)")
_TOKEN = re.compile(r"[A-Z0-9]+")
_GS1_DATE = re.compile(r"\d{6}")


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a kind; `passed` says that a reader vouches for it: its check holds."""

    type: str
    value: str
    passed: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """The fields of a picture and the texts of its barcodes; None is not told."""

    fields: tuple[Value, ...] | None = None
    barcodes: tuple[str, ...] | None = None


UNTOLD: Final = Findings()


@dataclass(frozen=True, slots=True)
class FieldCounts:
    """What was counted of one type on one picture, or of many: counts add up."""

    fields_true: int = 0
    fields_exact: int = 0
    fields_accepted: int = 0
    fields_wrong: int = 0
    address_characters: int = 0
    address_edits: int = 0

    def __add__(self, other: "FieldCounts") -> "FieldCounts":
        return FieldCounts(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    @property
    def exact(self) -> float | None:
        """The share of the truth's values that were found, None if it has none."""
        return self.fields_exact / self.fields_true if self.fields_true else None

    @property
    def false_accept(self) -> float | None:
        """The share of wrong values among those that passed their check, None if none passed."""
        return self.fields_wrong / self.fields_accepted if self.fields_accepted else None

    @property
    def address_cer(self) -> float | None:
        """The character error rate of addresses, None if the truth has none."""
        return self.address_edits / self.address_characters if self.address_characters else None


def of_result(result: LabelText) -> Findings:
    """Return what the worker says, all pages together."""
    return Findings(
        fields=tuple(
            Value(field.type, field.value, field.check is Check.PASSED)
            for page in result.pages
            for field in page.fields
        ),
        barcodes=tuple(code.text for page in result.pages for code in page.barcodes),
    )


def covered_types(truths: Iterable[Findings]) -> frozenset[str]:
    """Return the types that a set's truth knows of."""
    return frozenset(field.type for truth in truths for field in truth.fields or ())


def count_fields(
    truth: Findings, found: Findings, covered: AbstractSet[str], normalized: Callable[[str], str]
) -> Mapping[str, FieldCounts]:
    """Compare the fields of one picture, by type; nothing where either side tells no fields.

    `covered` are the types of the set's truth: of another type nobody knows whether it stands there. `normalized` is
    how texts of addresses are compared.
    """
    if truth.fields is None or found.fields is None:
        return {}
    types = sorted({field.type for field in (*truth.fields, *found.fields)} & covered)
    carried = _carried(truth.barcodes or ())
    return {kind: _counted(kind, truth.fields, found.fields, carried, normalized) for kind in types}


def count_barcodes(truth: Findings, found: Findings) -> tuple[int, int]:
    """Return how many barcodes stand on a picture and how many of these were read; (0, 0) where nobody tells."""
    if truth.barcodes is None or found.barcodes is None:
        return 0, 0
    left = [_squeezed(text) for text in found.barcodes]
    right = 0
    for text in map(_squeezed, truth.barcodes):
        if text in left:
            left.remove(text)
            right += 1
    return len(truth.barcodes), right


@dataclass(frozen=True, slots=True)
class ComparedField:
    """A field of the truth beside what was found, or a found one beside nothing.

    `kind` is `right`, `found` (another value of the type was found), `missed` or `spare`; `accepted` says that a spare
    one passed its check.
    """

    kind: str
    type: str
    truth: str
    read: str
    accepted: bool = False

    @property
    def mark(self) -> str:
        """A sign for the kind."""
        return MARKS[self.kind]


def compare_fields(truth: Findings, found: Findings, covered: AbstractSet[str]) -> tuple[ComparedField, ...]:
    """Pair the fields of one picture by type and value, then what is left by type and likeness; addresses by likeness.

    Found fields of types that the set's truth does not know are left out.
    """
    true = list(truth.fields or ())
    left = [field for field in found.fields or () if field.type in covered]
    rows = []
    for field in sorted(true, key=lambda field: all(field.value != other.value for other in left)):
        alike = sorted(
            (other for other in left if other.type == field.type),
            key=lambda other: Levenshtein.distance(other.value, field.value),
        )
        if not alike:
            rows.append(ComparedField("missed", field.type, field.value, ""))
            continue
        left.remove(alike[0])
        rows.append(
            ComparedField(
                "right" if alike[0].value == field.value else "found", field.type, field.value, alike[0].value
            )
        )
    carried = _carried(truth.barcodes or ())
    spare = [field for field in left if not _forms(field.value) & carried]
    rows += [ComparedField("spare", field.type, "", field.value, field.passed) for field in spare]
    return tuple(rows)


def is_address(kind: str) -> bool:
    """Return whether values of a type are blocks of text."""
    return kind.startswith(_ADDRESS)


def _counted(
    kind: str,
    truth: Sequence[Value],
    found: Sequence[Value],
    carried: AbstractSet[str],
    normalized: Callable[[str], str],
) -> FieldCounts:
    true = [field.value for field in truth if field.type == kind]
    read = [field.value for field in found if field.type == kind]
    if is_address(kind):
        return _counted_addresses([normalized(block) for block in true], [normalized(block) for block in read])
    passed = {field.value for field in found if field.type == kind and field.passed}
    wrong = [value for value in passed if value not in true and not _forms(value) & carried]
    return FieldCounts(
        fields_true=len(true),
        fields_exact=sum(value in read for value in true),
        fields_accepted=len(passed),
        fields_wrong=len(wrong),
    )


def _counted_addresses(true: Sequence[str], read: Sequence[str]) -> FieldCounts:
    edits = (min((Levenshtein.distance(block, other) for other in read), default=len(block)) for block in true)
    return FieldCounts(address_characters=sum(map(len, true)), address_edits=sum(edits))


def _carried(barcodes: Iterable[str]) -> frozenset[str]:
    """Return the values that barcodes hold: whole, each word, and each GS1 element with and without its identifier."""
    values: set[str] = set()
    for text in barcodes:
        values |= {_squeezed(text), *_TOKEN.findall(text.upper())}
        for identifier, value in _ELEMENT.findall(text):
            values |= {_squeezed(value), _squeezed(identifier + value)}
    return frozenset(values)


def _forms(value: str) -> set[str]:
    """Return a value as barcodes may hold it; a date of ISO 8601 is six or eight digits there."""
    squeezed = _squeezed(value)
    return {squeezed, squeezed[2:]} if _GS1_DATE.fullmatch(squeezed[2:]) and len(squeezed) == 8 else {squeezed}  # noqa: PLR2004


def _squeezed(text: str) -> str:
    return "".join(_TOKEN.findall(text.upper()))
