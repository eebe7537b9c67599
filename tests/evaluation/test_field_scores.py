"""Fields and barcodes against their truth: cases counted by hand."""

import pytest

from worker.lab.evaluation.dataset import Dataset, Sample
from worker.lab.evaluation.fields import FieldCounts, Findings, Value
from worker.lab.evaluation.run import score
from worker.lab.evaluation.scores import Scores, total
from worker.lab.evaluation.transcript import Transcript

GTIN = "04012345123456"


def scored(stands: Findings, told: Findings, *others: Findings, sample: Sample) -> Scores:
    """Score a picture in a set in which `others` stand on further ones, of which nothing is told."""
    samples = [
        Sample(str(number), sample.path, sample.sha256, Transcript(), findings)
        for number, findings in enumerate((stands, *others))
    ]
    said = [told, *(Findings((), ()) for _ in others)]
    return Scores.of(total(score(Dataset("set", tuple(samples)), [Transcript()] * len(samples), said)))


@pytest.fixture
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample("a", tmp_path_factory.getbasetemp() / "a.png", "")


def test_a_field_counts_with_its_type_and_its_value(sample: Sample) -> None:
    stands = Findings((Value("gtin", GTIN), Value("postcode", "LS1 4AB"), Value("postcode", "20457")))
    told = Findings((Value("sscc", GTIN), Value("postcode", "LS1 4AB"), Value("postcode", "2O457")))

    scores = scored(stands, told, sample=sample)

    assert scores.field_exact == pytest.approx(1 / 3)
    assert scores.field_false_accept is None


def test_only_what_passed_its_check_can_be_falsely_accepted(sample: Sample) -> None:
    stands = Findings((Value("gtin", GTIN),))
    told = Findings((Value("gtin", GTIN, passed=True), Value("gtin", "1", passed=True), Value("gtin", "2")))

    assert scored(stands, told, sample=sample).field_false_accept == pytest.approx(1 / 2)


def test_a_type_that_the_truth_does_not_know_is_not_judged(sample: Sample) -> None:
    stands, told = Findings((Value("gtin", GTIN),)), Findings((Value("imei", "490154203237518", passed=True),))

    assert scored(stands, told, sample=sample).field_false_accept is None
    # Another picture of the set names the type: now this picture is known to have none.
    other = Findings((Value("imei", "352099001761481"),))
    assert scored(stands, told, other, sample=sample).field_false_accept == 1.0


@pytest.mark.parametrize(
    ("kind", "value", "is_there"),
    [
        ("gtin", "14012345123453", True),
        ("postcode", "97201", True),
        ("usps_impb", "9261200000000000000005", True),
        ("date", "2025-06-07", True),
        ("order", "AB-12", True),
        ("gtin", "4012345123453", False),
        ("date", "2025-06-08", False),
        ("order", "B-12", False),
    ],
)
def test_what_a_barcode_of_the_picture_holds_stands_there(
    sample: Sample, kind: str, value: str, *, is_there: bool
) -> None:
    barcodes = ("(02)14012345123453(11)250607", "(420)97201(92)61200000000000000005", "ab-12")
    stands = Findings((Value(kind, "something else"),), barcodes)

    scores = scored(stands, Findings((Value(kind, value, passed=True),)), sample=sample)

    assert scores.field_false_accept == (0.0 if is_there else 1.0)


def test_addresses_have_a_character_error_rate_of_their_own(sample: Sample) -> None:
    stands = Findings((Value("address_to", "CORVANE LTD\n12 MILL LANE"), Value("address_from", "ABCD")))
    told = Findings((Value("address_to", "corvane  ltd\n12 mill line"), Value("address_to", "x")))

    scores = scored(stands, told, sample=sample)

    # One letter of 24 is wrong, and all four of the other address are missing.
    assert scores.address_cer == pytest.approx(5 / 28)
    assert (scores.field_exact, scores.field_false_accept) == (None, None)


def test_barcodes_are_found_one_by_one(sample: Sample) -> None:
    stands, told = Findings(None, ("(00)123", "A B", "A B")), Findings(None, ("(00)123", "ab", "Z"))

    assert scored(stands, told, sample=sample).barcode_recall == pytest.approx(2 / 3)


def test_what_nobody_tells_is_not_measured(sample: Sample) -> None:
    stands = Findings((Value("gtin", GTIN),), ("A",))

    scores = scored(stands, Findings(), sample=sample)

    assert (scores.field_exact, scores.field_false_accept, scores.barcode_recall) == (None, None, None)
    assert scored(stands, Findings((), ()), sample=sample).field_exact == 0.0


def test_counts_by_type_add_up() -> None:
    one = FieldCounts(1, 2, 3, 4, 5, 6)

    assert one + one == FieldCounts(2, 4, 6, 8, 10, 12)
