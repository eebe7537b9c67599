"""Fields of a deployment's own: what they find, and what is said of a wrong file."""

import time
from pathlib import Path

import pytest

from tests.extract.sheets import sheet
from worker.domain.errors import SettingsError
from worker.domain.fields import Check
from worker.domain.image import PageText
from worker.pipeline.extract.candidate import Candidate
from worker.pipeline.extract.custom.fields_file import CustomFields, load_custom_fields
from worker.pipeline.extract.custom.pattern_field import PatternField, known_checks
from worker.pipeline.extract.extract import extract
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.options import FieldOptions

EXAMPLE = Path(__file__).parents[2] / "docs" / "fields.example.toml"


def on(page: PageText, field: PatternField) -> list[Candidate]:
    return list(field(page, Neighbors.of(page)))


def one(text: str, field: PatternField) -> Candidate:
    (candidate,) = on(sheet([(text, 0, 0, 20)]), field)
    return candidate


def declared(directory: Path, text: str) -> CustomFields:
    file = directory / "fields.toml"
    file.write_text(text, encoding="utf-8")
    return load_custom_fields(file)


def test_the_example_finds_what_it_says() -> None:
    page = sheet(
        [
            ("PURCHASE ORDER", 0, 0, 20),
            ("4500123456", 0, 26, 24),
            ("4500999999", 900, 400, 24),
            ("C-123 4566", 0, 100, 20),
            ("C-123 4567", 0, 140, 20),
            ("DE89 3704 0044 0532 0130 00", 0, 200, 20),
            ("Dock: b-07-3", 0, 260, 20),
            ("HAULER FREIGHT", 0, 320, 20),
            ("PRO 33188 10025", 0, 380, 20),
        ]
    )
    own = load_custom_fields(EXAMPLE)
    types = {*(field.name for field in own.patterns), "hauler"}
    fields = extract(page, FieldOptions(frozenset(types), None, own.patterns, own.catalog))
    assert [(field.type, field.value, field.check) for field in fields] == [
        ("purchase_order", "4500123456", Check.NONE),
        ("customer_number", "1234566", Check.PASSED),
        ("iban", "DE89370400440532013000", Check.PASSED),
        ("bay", "B-07-3", Check.NONE),
        ("hauler", "3318810025", Check.PASSED),
    ]
    assert fields[1].text == "123 4566"


def test_the_first_group_is_the_value_and_its_place() -> None:
    candidate = one("CUST No 12 345/A", PatternField.of("number", r"No ([\d ]+)", strip=" ", upper=True))
    assert (candidate.value, candidate.text) == ("12345", "12 345")
    assert [(span.start, span.stop) for span in candidate.spans] == [(8, 14)]


def test_a_labelled_value_may_fail_its_check_and_any_other_may_not() -> None:
    bare = PatternField.of("number", r"\d{8}", check="luhn", upper=True)
    labeled = PatternField.of("number", r"\d{8}", check="luhn", labels=("customer no",), upper=True)
    page = sheet([("CUST0MER NO: 12345678", 0, 0, 20)])
    assert on(page, bare) == []
    assert [found.check for found in on(page, labeled)] == [Check.FAILED]


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        ("mod10", "4012345678901", "4012345678902"),
        ("luhn", "79927398713", "79927398714"),
        ("mod97", "79444", "79445"),
        ("mod11", "079X", "0790"),
        ("iso6346", "CSQU3054383", "CSQU3054384"),
        ("s10", "RR123456785DE", "RR123456784DE"),
        ("stdnum:iban", "DE89370400440532013000", "DE89370400440532013001"),
        ("stdnum:us.ein", "911144442", "001144442"),
    ],
)
def test_checks_tell_right_from_wrong(check: str, right: str, wrong: str) -> None:
    field = PatternField.of("number", "[A-Z0-9]+", check=check, upper=True)
    assert one(right, field).check is Check.PASSED
    assert on(sheet([(wrong, 0, 0, 20)]), field) == []


@pytest.mark.parametrize("check", known_checks())
def test_every_check_stands_any_text(check: str) -> None:
    field = PatternField.of("number", ".+", check=check, upper=False)
    for text in ("", "x", "²", "٣٤٥", "0" * 40, "Ω-1", "ZZ99"):
        assert len(on(sheet([(text, 0, 0, 20)]), field)) <= 1


def test_no_text_makes_a_pattern_run_away() -> None:
    field = PatternField.of("number", r"^(([a-z])+.)+[A-Z]([a-z])+$", upper=False)
    started = time.process_time()
    assert on(sheet([("a" * 5000, 0, 0, 20)]), field) == []
    assert time.process_time() - started < 0.5


def test_a_line_gives_a_bounded_number_of_values() -> None:
    assert len(on(sheet([("7" * 5000, 0, 0, 20)]), PatternField.of("digit", "7", upper=False))) == 32


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("number = 7", "the field 'number' is 7 and no table; write [number] and its keys below."),
        ("[number]\n", "the field 'number' has no pattern; give it a regular expression of RE2."),
        ("[Number]\npattern='7'", "the field 'Number' has a name that is none; use small letters"),
        ("[sscc]\npattern='7'", "the field 'sscc' has the name of a built-in field; choose another name."),
        ("[address_to]\npattern='7'", "the field 'address_to' has the name of a built-in field"),
        ("[number]\npatern='7'", "the field 'number' has the unknown key 'patern'; did you mean pattern?"),
        ("[number]\npattern=7", "the field 'number' has pattern = 7; give a text in quotes."),
        ("[number]\npattern='('", "the field 'number' has pattern '(': missing ): (; RE2 has no look-around"),
        ("[number]\npattern='(?=a)b'", "the field 'number' has pattern '(?=a)b': invalid perl operator"),
        ("[number]\npattern='7*'", "the field 'number' has pattern '7*', which matches the empty text; ask for one"),
        (f"[number]\npattern='{'7' * 501}'", "the field 'number' has a pattern of 501 characters; 500 are the most."),
        ("[number]\npattern='7'\ncheck='lun'", "the field 'number' has check = 'lun'; did you mean luhn?"),
        ("[number]\npattern='7'\ncheck='stdnum:os'", "the field 'number' has check = 'stdnum:os'; did you mean"),
        (
            "[number]\npattern='7'\nlabels='no'",
            "the field 'number' has labels = 'no'; give a list of at most 32 texts.",
        ),
        ("[number]\npattern='7'\nlabels=['#']", "the field 'number' has the label '#'; give words"),
        ("[number]\npattern='7'\nupper=1", "the field 'number' has upper = 1; give true or false."),
        ("[number\n", "is no TOML"),
        ("\n".join(f"[n{i}]\npattern='7'" for i in range(65)), "declares 65 fields; 64 are the most."),
        ("#" * 65 * 1024, "is larger than 65536 bytes; declare fewer fields."),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        declared(tmp_path, text)
    assert says in str(caught.value)
    assert str(tmp_path / "fields.toml") in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.toml cannot be read \(No such file.*LABELWIRE_FIELDS__FILE"):
        load_custom_fields(tmp_path / "missing.toml")


def test_every_built_in_type_is_kept_for_itself() -> None:
    assert {
        "ups_1z",
        "sscc",
        "iso6346",
        "phone",
        "postcode",
        "date",
        "weight",
        "vat",
        "address",
    } <= CustomFields().types


def test_the_page_on_fields_names_every_check_and_every_type() -> None:
    page = (EXAMPLE.parent / "fields.md").read_text(encoding="utf-8")
    missing = {check for check in known_checks() if f"`{check.removeprefix('stdnum:')}`" not in page}
    missing |= {kind for kind in CustomFields().types if f"`{kind}`" not in page}
    assert missing == set()
