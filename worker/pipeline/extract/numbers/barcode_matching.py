"""Candidates of the text and numbers of the barcodes become fields.

- Text and barcode hold the same number: one field with the source `both`, more certain than either.
- A number of the text fails its check or was repaired, and one barcode holds a number of its type that differs in few
  characters: the barcode's number, `both`, repaired. So too if the text's number passes, but differs in one character
  or in length.
- A number of the text passes, and the only number of its type in barcodes differs a little more: two fields, both with
  `conflict`, because one of them is wrong. Numbers that differ still more are two numbers.
- A number of the text fails, and one on the page that passes differs in few characters: the same number, printed twice
  and misread once.
- Two numbers of the text pass and differ in one character: neither is proven.
- Only a barcode holds a number: a field of its own.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from worker.domain.fields import Check, Field, Source
from worker.domain.image import PageText
from worker.pipeline.extract.candidate import Candidate
from worker.pipeline.extract.numbers.barcode_numbers import BarcodeNumber, BarcodeNumbers, number_key
from worker.pipeline.extract.numbers.catalog import NumberCatalog
from worker.pipeline.extract.numbers.distance import is_within

_AGREED_DOUBT: Final = 0.1  # the share of the doubt in a reading that is left when a barcode confirms it
_BARCODE_CONFIDENCE: Final = 0.99  # a barcode proves its own reading
_REPAIRED_CONFIDENCE: Final = 0.95
_MAX_REPAIRED: Final = 3  # characters in which a misread number may differ from the barcode's
_LABEL_FIELDS: Final = 60  # a page with more is no label, on which a number is printed twice
_MAX_COPIED: Final = 2  # characters in which it may differ from the same number elsewhere on the page
_CONFLICT_SHARE: Final = 0.25  # of the characters of a number that may differ between text and barcode in a conflict


def match_barcodes(page: PageText, candidates: Sequence[Candidate], catalog: NumberCatalog) -> list[Field]:
    """Return the fields of the text in its order, then those that only barcodes hold."""
    barcodes, types = BarcodeNumbers.of(page.barcodes, catalog), catalog.types
    matched = [_confirmed(_of_text(candidate), barcodes, types) for candidate in candidates]
    unread = barcodes.without(_known(matched, types))
    fields: list[Field] = []
    for field in matched:
        counterpart = _counterpart(field, unread.typed) or _untyped_counterpart(field, unread, types)
        fields.append(field if counterpart is None else _corrected_or_in_conflict(field, counterpart))
    alone = [_of_barcodes(held, barcodes) for held in _once(unread.without(_known(fields, types)).typed)]
    merged = _merged([*fields, *(_with_conflict(field, fields) for field in alone)])
    return merged if len(merged) > _LABEL_FIELDS else _without_repeats(merged, types)


def _of_text(candidate: Candidate) -> Field:
    return Field(
        type=candidate.type,
        value=candidate.value,
        text=candidate.text,
        confidence=candidate.confidence,
        check=candidate.check,
        source=Source.TEXT,
        line_ids=tuple(sorted({span.line_id for span in candidate.spans})),
        repaired=candidate.repaired,
    )


def _confirmed(field: Field, barcodes: BarcodeNumbers, types: Container[str]) -> Field:
    """Return the field, confirmed by the barcodes that hold the same number, if there are any."""
    codes = barcodes.barcodes_with(field.type, field.value) if field.type in types else ()
    if not codes:
        return field
    confidence = 1.0 - (1.0 - field.confidence) * _AGREED_DOUBT
    # Of two readings that both pass, a barcode that tells the type says which one was printed.
    check = field.check
    if check is Check.NONE and barcodes.holds_typed(field.type, field.value):
        check = next(held.check for held in barcodes.typed if _is_same(field, held))
    return replace(field, source=Source.BOTH, barcode_ids=codes, confidence=confidence, check=check)


def _counterpart(field: Field, unread: Sequence[BarcodeNumber]) -> BarcodeNumber | None:
    """Return the number of the field's type in unread barcodes that is probably the same, if there is only one."""
    if field.source is not Source.TEXT:
        return None
    held = list(_once(held for held in unread if held.type == field.type))
    near = [other for other in held if is_within(field.value, other.value, _reach(field))]
    alone = len(near) == 1 and (len(held) == 1 or _is_misread(field, near[0]))
    return near[0] if alone else None


def _untyped_counterpart(field: Field, barcodes: BarcodeNumbers, types: Container[str]) -> BarcodeNumber | None:
    """Return the number that barcodes hold without telling its type, if the text is that number, misread."""
    if field.source is not Source.TEXT or field.type not in types:
        return None
    near = [held for held in barcodes.similar(field.type, field.value, _MAX_REPAIRED) if _is_misread(field, held)]
    return near[0] if len({held.key for held in near}) == 1 else None


def _reach(field: Field) -> int:
    return _MAX_REPAIRED if _is_doubtful(field) else max(1, int(_CONFLICT_SHARE * len(field.value)))


def _is_misread(field: Field, held: BarcodeNumber) -> bool:
    """Whether the text is the same number as the barcode's, misread.

    Two numbers that pass and differ in one character or in length are one: the next number of a series differs in its
    check digit too.
    """
    slipped = len(field.value) != len(held.value) or is_within(field.value, held.value, 1)
    return held.check is not Check.FAILED and (_is_doubtful(field) or slipped)


def _is_doubtful(field: Field) -> bool:
    return field.repaired or field.check is not Check.PASSED


def _corrected_or_in_conflict(field: Field, held: BarcodeNumber) -> Field:
    if not _is_misread(field, held):
        return replace(field, conflict=True)
    return replace(
        field,
        value=held.value,
        check=held.check,
        source=Source.BOTH,
        barcode_ids=(held.barcode_id,),
        confidence=max(field.confidence, _REPAIRED_CONFIDENCE),
        repaired=True,
    )


def _of_barcodes(held: BarcodeNumber, barcodes: BarcodeNumbers) -> Field:
    codes = barcodes.barcodes_with(held.type, held.value)
    return Field(held.type, held.value, held.value, _BARCODE_CONFIDENCE, held.check, Source.BARCODE, barcode_ids=codes)


def _with_conflict(alone: Field, fields: Iterable[Field]) -> Field:
    rival = any(field.conflict and field.type == alone.type for field in fields)
    return replace(alone, conflict=True) if rival else alone


def _known(fields: Iterable[Field], types: Container[str]) -> set[tuple[str, str]]:
    return {(field.type, number_key(field.type, field.value)) for field in fields if field.type in types}


def _is_same(field: Field, held: BarcodeNumber) -> bool:
    return field.type == held.type and number_key(field.type, field.value) == held.key


def _once(held: Iterable[BarcodeNumber]) -> Iterator[BarcodeNumber]:
    seen = set()
    for found in held:
        if (found.type, found.key) not in seen:
            seen.add((found.type, found.key))
            yield found


def _merged(fields: Iterable[Field]) -> list[Field]:
    """Join fields that a repair made the same."""
    kept: dict[tuple[str, str], Field] = {}
    for field in fields:
        key = (field.type, field.value)
        first = kept.get(key)
        kept[key] = field if first is None else _joined(first, field)
    return list(kept.values())


def _without_repeats(fields: Sequence[Field], types: Container[str]) -> list[Field]:
    """Join or doubt numbers of one type that differ in few characters: a label prints a number more than once."""
    numbers = [field for field in fields if field.type in types]
    if len(numbers) == len({field.type for field in numbers}):
        return list(fields)
    return _without_misread_copies([_unproven(field, numbers) if field.type in types else field for field in fields])


def _unproven(field: Field, numbers: Iterable[Field]) -> Field:
    """Return a number of the text as unproven if another passes too and differs from it in one character."""
    if field.check is not Check.PASSED or field.source is not Source.TEXT:
        return field
    rivals = (other for other in numbers if other.type == field.type and other.value != field.value)
    rivalled = any(
        other.check is Check.PASSED
        and number_key(other.type, other.value) != number_key(field.type, field.value)
        and is_within(field.value, other.value, 1)
        for other in rivals
    )
    return replace(field, check=Check.NONE) if rivalled else field


def _without_misread_copies(fields: Sequence[Field]) -> list[Field]:
    """Join a number that fails with the one on the page that passes and differs in few characters."""
    kept: list[Field] = []
    copies: dict[tuple[str, str], list[int]] = {}
    for field in fields:
        proven = [other for other in fields if _is_copy(field, other)]
        if len(proven) == 1:
            copies.setdefault((proven[0].type, proven[0].value), []).extend(field.line_ids)
        else:
            kept.append(field)
    return [_at_lines(field, copies.get((field.type, field.value), ())) for field in kept]


def _is_copy(field: Field, proven: Field) -> bool:
    return (
        field.check is Check.FAILED
        and proven.check is Check.PASSED
        and field.type == proven.type
        and is_within(field.value, proven.value, _MAX_COPIED)
    )


def _at_lines(field: Field, more: Iterable[int]) -> Field:
    return replace(field, line_ids=tuple(sorted({*field.line_ids, *more})))


def _joined(one: Field, other: Field) -> Field:
    best, rest = (other, one) if one.repaired and not other.repaired else (one, other)
    return replace(
        best,
        line_ids=tuple(sorted({*best.line_ids, *rest.line_ids})),
        barcode_ids=tuple(sorted({*best.barcode_ids, *rest.barcode_ids})),
        confidence=max(best.confidence, rest.confidence),
        source=best.source if best.source is rest.source else Source.BOTH,
    )
