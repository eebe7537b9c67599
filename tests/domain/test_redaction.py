"""What is redacted is nowhere in the result, and all else is as it was."""

import string

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.fields import Check, Source
from worker.domain.redaction import MASK, Redaction
from worker.domain.result import Barcode, Element, LabelField, LabelText, Line, Page, SourceCoordinate, SourceImage

QUAD = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))
_WORDS = st.text(string.ascii_letters + string.digits, min_size=4, max_size=12)


def line(number: int, text: str) -> Line:
    return Line(id=number, text=text, confidence=0.9, polygon=QUAD, rotation=0.0)


def found(kind: str, value: str, *, text: str | None = None, lines: tuple[int, ...] = ()) -> LabelField:
    return LabelField(
        type=kind,
        value=value,
        text=value if text is None else text,
        confidence=0.9,
        check=Check.NONE,
        source=Source.TEXT,
        line_ids=lines,
    )


def result(page: Page) -> LabelText:
    return LabelText(
        job_id="job",
        result_id="id",
        image=SourceImage(sha256="0", size_bytes=1, format="png"),
        pages=(page,),
        models={},
        timing_ms={},
        source=SourceCoordinate(topic="t", partition=0, offset=0),
        attempt=1,
    )


PAGE = Page(
    width=100,
    height=100,
    lines=(
        line(0, "Erika Mustermann"),
        line(1, "Tel. 030 / 1234567"),
        line(2, "SSCC 340123450000000017"),
        line(3, "call 0301234567 first"),
    ),
    fields=(
        found("phone", "+49301234567", text="030 / 1234567", lines=(1,)),
        found("sscc", "340123450000000017", lines=(2,)),
        found("reference", "X030-1234567"),
    ),
    barcodes=(
        Barcode(id=0, format="QRCode", text="TEL:0301234567", polygon=QUAD),
        Barcode(
            id=1,
            format="Code128",
            text="(00)340123450000000017",
            polygon=QUAD,
            elements=(Element(identifier="00", value="340123450000000017"),),
        ),
    ),
)


def test_nothing_is_redacted_unless_it_is_asked_for() -> None:
    assert Redaction().of(result(PAGE)) == result(PAGE)


def test_a_field_is_left_out_wherever_it_stands_and_its_place_is_kept() -> None:
    (page,) = Redaction(frozenset({"phone"})).of(result(PAGE)).pages
    assert [each.text for each in page.lines] == ["Erika Mustermann", MASK, "SSCC 340123450000000017", MASK]
    assert [each.polygon for each in page.lines] == [QUAD] * 4
    assert [(each.type, each.value, each.text) for each in page.fields] == [
        ("phone", MASK, MASK),
        ("sscc", "340123450000000017", "340123450000000017"),
        ("reference", MASK, MASK),
    ]
    assert page.fields[0].line_ids == (1,)
    assert [each.text for each in page.barcodes] == [MASK, "(00)340123450000000017"]
    written = Redaction(frozenset({"phone"})).of(result(PAGE)).to_json().decode()
    assert LabelText.model_validate_json(written).pages == (page,)


def test_a_barcode_is_left_out_with_its_elements() -> None:
    redacted = Redaction(frozenset({"sscc"})).of(result(PAGE)).to_json().decode()
    assert "340123450000000017" not in redacted
    (page,) = Redaction(frozenset({"barcodes"})).of(result(PAGE)).pages
    assert [(each.text, each.elements) for each in page.barcodes] == [(MASK, ()), (MASK, ())]
    assert page.lines == PAGE.lines


def test_all_lines_are_left_out() -> None:
    (page,) = Redaction(frozenset({"lines"})).of(result(PAGE)).pages
    assert {each.text for each in page.lines} == {MASK}
    assert page.fields == PAGE.fields


@given(value=_WORDS, others=st.lists(_WORDS, max_size=4), spaced=st.booleans())
def test_a_value_is_in_no_spelling_of_any_part(value: str, others: list[str], *, spaced: bool) -> None:
    spelled = " ".join(value.upper()) if spaced else f"<{value.lower()}>"
    texts = [spelled, *others, f"a {value} b"]
    page = Page(
        width=1,
        height=1,
        lines=tuple(line(number, text) for number, text in enumerate(texts)),
        fields=(found("own", value), found("other", spelled)),
        barcodes=(Barcode(id=0, format="QRCode", text=spelled, polygon=QUAD),),
    )
    (redacted,) = Redaction(frozenset({"own"})).of(result(page)).pages
    said = [
        *(each.text for each in redacted.lines),
        *(each.text for each in redacted.barcodes),
        *(text for each in redacted.fields for text in (each.value, each.text)),
    ]
    for text in said:
        kept = "".join(character for character in text.lower() if character.isalnum())
        assert text == MASK or value.lower() not in kept
