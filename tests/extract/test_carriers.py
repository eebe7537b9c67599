"""The carriers' numbers as data: what is found, what is not, and what a deployment's file adds or replaces."""

import random
from pathlib import Path

import pytest

from tests.extract.misreading import printed
from tests.extract.pages import code, fields, found, page, stacked
from worker.domain.errors import SettingsError
from worker.domain.image import PageText
from worker.pipeline.extract.custom.fields_file import load_custom_fields
from worker.pipeline.extract.extract import extract
from worker.pipeline.extract.numbers.captions import Topic
from worker.pipeline.extract.numbers.carriers import NUMBER_CHECKS, check_name
from worker.pipeline.extract.numbers.catalog import BUILT_IN_CATALOG, NUMBER_TYPES
from worker.pipeline.extract.numbers.forms import Form, Proof
from worker.pipeline.extract.numbers.standards import STANDARD_FORMS
from worker.pipeline.extract.options import FieldOptions

LABELS = [
    ("UPS", "WAYBILL", "K1506235620", "ups_waybill", "passed"),
    ("UPS", "WAYBILL NO.", "V 049 011 917 2", "ups_waybill", "passed"),
    ("CANPAR EXPRESS", "TRACKING", "D576002440000001718010", "canpar", "none"),
    ("GOFO", "TRACKING NO.", "GFUS01011884214464", "gofo", "none"),
    ("Landmark Global", "TRACKING #", "LTN74207623N1", "landmark", "none"),
    ("OLD DOMINION", "PRO NUMBER", "07209562763", "old_dominion", "passed"),
    ("OLD DOMINION FREIGHT LINE", "TRACKING", "777 6755 3207", "old_dominion", "passed"),
    ("SPEE-DEE DELIVERY", "TRACKING", "SP029692510000920746", "spee_dee", "none"),
    ("Purolator", "PIN", "KYV009956937", "purolator", "none"),
    ("amazon", "TRACKING ID", "C1004444443", "amazon", "none"),
    ("DHL eCommerce", "TRACKING", "60120172242323", "dhl_ecommerce", "none"),
    ("DHL eCommerce", "TRACKING", "5108 7693037816", "dhl_ecommerce", "none"),
    ("PostNL", "Zendingnummer", "3SDMSU987022441", "postnl", "none"),
    ("YAMATO TRANSPORT", "TRACKING NO.", "3197-2164-8466", "yamato", "passed"),
    ("ヤマト運輸", "お問い合わせ伝票番号", "3197-2164-8466", "yamato", "passed"),
]
NEW = frozenset(kind for *_, kind, _ in LABELS)
CARRIED = [
    form for form in BUILT_IN_CATALOG.forms if form.proof is Proof.CARRIED and form.type in NEW and not form.groups
]  # with a caption and the carrier's name alone


def values(of: PageText, *types: str) -> list[tuple[str, str, str]]:
    return [(kind, value, check) for kind, value, check in found(of, *NUMBER_TYPES) if not types or kind in types]


@pytest.mark.parametrize(("name", "caption", "number", "kind", "check"), LABELS)
def test_a_carriers_number_needs_its_name_and_a_caption(
    name: str, caption: str, number: str, kind: str, check: str
) -> None:
    value = "".join(mark for mark in number if mark.isalnum())
    for label in (stacked(name, caption, number), page(name, f"{caption} {number}"), page(name, (caption, number))):
        assert values(label) == [(kind, value, check)]
    assert values(stacked(caption, number)) == []
    assert values(page(name, number)) == []


@pytest.mark.parametrize(
    "caption", ["TEL", "FAX", "ORDER NO", "INVOICE", "REF", "CUSTOMER NO", "DATE", "LOT", "ZIP", ""]
)
@pytest.mark.parametrize("form", CARRIED, ids=lambda form: f"{form.type}-{form.template}")
def test_what_a_caption_names_otherwise_is_no_number_of_the_carrier(form: Form, caption: str) -> None:
    number = printed(form, random.Random(5))  # noqa: S311 - no secret
    name = BUILT_IN_CATALOG.carrier_numbers.names[form.carrier or ""][0]
    assert values(page(name, f"{caption} {number}"), form.type) == []


@pytest.mark.parametrize("form", STANDARD_FORMS, ids=lambda form: f"{form.type}-{form.template}")
def test_a_number_of_a_standard_is_none_of_a_carrier(form: Form) -> None:
    """On a page that names all carriers, with the caption of its own."""
    captions = {
        Topic.SSCC: "SSCC",
        Topic.GTIN: "GTIN",
        Topic.AIR_WAYBILL: "MAWB",
        Topic.CONTAINER: "CONTAINER NO",
        Topic.IMEI: "IMEI",
    }
    names = " / ".join(called[0] for called in BUILT_IN_CATALOG.carrier_numbers.names.values())
    chance = random.Random(3)  # noqa: S311 - no secret
    for _ in range(20):
        number = printed(form, chance)
        own = [captions[topic] for topic in form.topics if topic in captions]
        label = page(names, f"{own[0]} {number}" if own else number)
        assert {kind for kind, *_ in values(label)} <= {form.type}


def test_a_run_of_digits_is_one_field_whoever_may_have_such_numbers() -> None:
    names = " / ".join(called[0] for called in BUILT_IN_CATALOG.carrier_numbers.names.values())
    chance = random.Random(8)  # noqa: S311 - no secret
    for form in CARRIED:
        for _ in range(5):
            told = fields(page(names, f"TRACKING NO. {printed(form, chance)}"))
            assert len(told) == 1, told
            rivals = [
                other
                for other in BUILT_IN_CATALOG.by_length[len(form.positions)]
                if other.type != form.type and other.proof is Proof.CARRIED and other.passes(told[0].value)
            ]
            assert not (rivals and told[0].check.value == "passed"), (told, rivals)


def test_bars_bear_out_a_carriers_number_and_tell_none() -> None:
    label = page("PostNL", "Zending 3SDMSU987022441", barcodes=[code("Code128", "3SDMSU987022441")])
    [field] = fields(label, "postnl")
    assert (field.source.value, field.check.value) == ("both", "none")
    assert fields(page("PostNL", barcodes=[code("Code128", "3SDMSU987022441")]), "postnl") == []


def test_what_carries_no_check_is_proven_by_its_letters_or_by_name_and_caption() -> None:
    for form in BUILT_IN_CATALOG.forms:
        if form.check is None and form.proof is not Proof.CARRIED:
            assert form.has_letters, form
        if form.check is None and form.proof is Proof.CARRIED:
            assert not form.groups, form


@pytest.mark.parametrize("caption", ["CONTAINER NO.", "ILU-CODE", "SWAP BODY", "Wechselbrücke Nr.", "TRAILER"])
@pytest.mark.parametrize("number", ["ATBE 100309 1", "ABCA 001234 2"])  # the second is UIRR's example
def test_a_loading_unit_of_europe_is_told_from_a_container(caption: str, number: str) -> None:
    value = number.replace(" ", "")
    assert values(stacked(caption, number)) == [("ilu", value, "passed")]
    assert values(stacked(caption, f"{number[:-1]}7")) == [("ilu", f"{value[:-1]}7", "failed")]
    assert values(page(number)) == []
    assert values(stacked("ORDER NO", number)) == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [("CSQU3054383", "iso6346"), ("ABCK 001234 2", None), ("ABCF0012344", None), ("ABCC0012347", None)],
)
def test_the_fourth_letter_tells_who_gave_the_owners_code(number: str, kind: str | None) -> None:
    told = [one for one, *_ in values(page(f"CONTAINER NO. {number}"))]
    assert told == ([kind] if kind else ["ilu"] if number[3] in "ABDEK" else [])


def own(directory: Path, text: str) -> FieldOptions:
    file = directory / "fields.toml"
    file.write_text(text, encoding="utf-8")
    told = load_custom_fields(file)
    return FieldOptions(None, None, told.patterns, told.catalog)


def told(label: PageText, options: FieldOptions) -> list[tuple[str, str, str]]:
    return [(field.type, field.value, field.check.value) for field in extract(label, options)]


OWN = """
[carriers]
hauler = ["hauler", "hauler freight"]

[hauler]
carrier = "hauler"
numbers = [
    { shape = "HL#{9}", check = "none" },
    { shape = "#{10}", check = "mod7", captions = ["pro"], groups = [[5, 5]] },
]
"""


def test_a_deployment_adds_a_carrier(tmp_path: Path) -> None:
    options = own(tmp_path, OWN)
    assert told(stacked("HAULER FREIGHT", "TRACKING", "HL 123456789"), options) == [("hauler", "HL123456789", "none")]
    assert told(page("Hauler", "PRO 3318810025"), options) == [("hauler", "3318810025", "passed")]
    assert told(page("Hauler", "TEL 3318810025"), options) == []
    assert told(page("PRO 3318810025"), options) == []
    assert told(page("UPS", "WAYBILL K1506235620"), options) == [("ups_waybill", "K1506235620", "passed")]
    bars = page("Hauler", "PRO 3318810025", barcodes=[code("Code128", "3318810025")])
    assert [field.source.value for field in extract(bars, options)] == ["both"]
    assert told(stacked("HAULER", "TRACKING", "HL 123456789"), FieldOptions()) == []


def test_a_deployment_replaces_a_carriers_numbers_and_names(tmp_path: Path) -> None:
    options = own(
        tmp_path,
        '[carriers]\nups = ["brown"]\n[ups_waybill]\ncarrier = "ups"\nnumbers = [{ shape = "W#{10}" }]\n'
        "[yamato]\nnumbers = []",
    )
    assert told(page("Brown", "WAYBILL W1506235620"), options) == [("ups_waybill", "W1506235620", "none")]
    assert told(page("Brown", "WAYBILL K1506235620"), options) == []
    assert told(page("UPS", "WAYBILL W1506235620"), options) == []
    assert told(page("YAMATO", "TRACKING 3197-2164-8466"), options) == []
    assert told(page("GOFO", "TRACKING GFUS01011884214464"), options) == [("gofo", "GFUS01011884214464", "none")]


def test_a_barcode_tells_the_kinds_of_a_deployment_too(tmp_path: Path) -> None:
    options = own(tmp_path, '[hauler]\nnumbers = [{ shape = "HLX#{9}", check = "none", needs = "shape" }]')
    bars = page("x", barcodes=[code("Code128", "HLX123456789")])
    assert told(bars, options) == [("hauler", "HLX123456789", "none")]
    assert told(bars, FieldOptions()) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("carriers = 7", "the table [carriers] is 7 and no table; write carrier = "),
        ("[carriers]\nUPS = ['ups']", "the table [carriers] has the carrier 'UPS'; use small letters"),
        ("[carriers]\nhauler = 'x'", "the table [carriers] has hauler = 'x'; give a list of at most 32 texts."),
        ("[carriers]\nhauler = [7]", "the table [carriers] has 7 in hauler; give a text in quotes."),
        ("[carriers]\nhauler = ['#']", "has the name '#' of hauler; give words of 2 to 60 characters."),
        ("[a]\nnumbers = 7", "the field 'a' has numbers = 7; give a list of at most 32 tables."),
        ("[a]\nnumbers = [7]", "the field 'a', number 1, is 7 and no table; write { shape ="),
        (
            "[a]\nnumbers = []\npattern = '7'",
            "the field 'a' has the unknown key 'pattern'; the keys are carrier, numbers.",
        ),
        ("[a]\ncarrier = 'upz'\nnumbers = []", "the field 'a' has carrier = 'upz'; did you mean ups?"),
        ("[a]\nnumbers = [{}]", "the field 'a', number 1, has no shape; give one"),
        ("[a]\nnumbers = [{shape='AB['}]", "has shape = 'AB[': it is no sequence of characters"),
        ("[a]\nnumbers = [{shape='ab#{9}'}]", "has shape = 'ab#{9}': it is no sequence of characters"),
        ("[a]\nnumbers = [{shape='#{5}'}]", "has shape = '#{5}' of 5 characters; 6 to 40 are right."),
        ("[a]\nnumbers = [{shape='#{9}'}]", "needs a carrier and names none; give carrier ="),
        ("[a]\nnumbers = [{shape='#{9}', needs='name'}]", "has needs = 'name'; did you mean named?"),
        ("[a]\nnumbers = [{shape='#{9}', check='mod8', needs='named'}]", "has check = 'mod8'; did you mean"),
        (
            "[a]\nnumbers = [{shape='AB#{9}', check='mod10', needs='named'}]",
            "has check = 'mod10', which no number of the shape 'AB#{9}' can have; choose another.",
        ),
        ("[a]\nnumbers = [{shape='#{9}', needs='named', captions=['order']}]", "has 'order' in captions; there are"),
        ("[a]\nnumbers = [{shape='#{9}', needs='named', groups=[[4, 4]]}]", "has groups = [[4, 4]]; give lists of"),
        ("[a]\nnumbers = [{shape='#{9}', needs='named', leave_out=9}]", "has leave_out = 9; give a whole number"),
        ("[a]\nnumbers = [{shape='#{9}', needs='named', certain=1}]", "has certain = 1; give true or false."),
        ("[sscc]\nnumbers = []", "the field 'sscc' has the name of a built-in field; choose another name."),
        (
            "[ups_1z]\npattern = '7'",
            "the field 'ups_1z' has the name of a built-in field; choose another name, or give",
        ),
        ("[A]\nnumbers = []", "the field 'A' has a name that is none"),
    ],
)
def test_what_is_wrong_with_numbers_is_said_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        own(tmp_path, text)
    assert says in str(caught.value)
    assert str(tmp_path / "fields.toml") in str(caught.value)


@pytest.mark.parametrize("name", sorted(NUMBER_CHECKS))
def test_no_check_stands_over_a_shape_that_it_cannot_count(tmp_path: Path, name: str) -> None:
    for shape in ("#{9}", "#{11}", "@{2}#{9}@{2}", "@{4}#{7}", "*{12}", "@{12}", "#{34}"):
        try:
            options = own(tmp_path, f'[a]\nnumbers = [{{ shape = "{shape}", check = "{name}", needs = "shape" }}]')
        except SettingsError:
            continue
        [form] = [form for form in options.catalog.forms if form.type == "a"]
        assert check_name(form.check) == name
        chance = random.Random(1)  # noqa: S311 - no secret
        for _ in range(50):
            form.passes("".join(chance.choice(sorted(allowed)) for allowed in form.positions))
