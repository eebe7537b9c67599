from collections.abc import Iterable

import pytest

from worker.domain.errors import LabelwireError
from worker.domain.records import Coordinate, Record
from worker.training.consent import Consent


def record(headers: Iterable[tuple[str, bytes | None]]) -> Record:
    return Record(Coordinate("label-text", 0, 1), None, b"{}", tuple(headers), 0)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([("labelwire.consent", b"training")], True),
        ([("Labelwire.Consent", b"training"), ("other", b"no")], True),
        ([("labelwire.consent", b"training"), ("labelwire.consent", b"training")], True),
        ([], False),
        ([("labelwire.consent", b"")], False),
        ([("labelwire.consent", None)], False),
        ([("labelwire.consent", b"Training")], False),
        ([("labelwire.consent", b"training"), ("labelwire.consent", b"none")], False),
        ([("labelwire.consent", b"none"), ("labelwire.consent", b"training")], False),
        ([("consent", b"training")], False),
    ],
)
def test_only_a_record_that_says_so_each_time_may_be_kept(
    headers: list[tuple[str, bytes | None]], *, allowed: bool
) -> None:
    assert Consent.parse(None, granted=False).allows(record(headers)) is allowed


def test_the_header_can_be_named() -> None:
    consent = Consent.parse("gdpr-basis=contract=7", granted=False)

    assert consent.allows(record([("gdpr-basis", b"contract=7")]))
    assert not consent.allows(record([("labelwire.consent", b"training")]))
    assert consent.basis == "header gdpr-basis=contract=7"


def test_the_operator_can_speak_for_all_records() -> None:
    consent = Consent.parse(None, granted=True)

    assert consent.allows(record([]))
    assert consent.basis == "operator"


@pytest.mark.parametrize("header", ["consent", "=training", "consent=", " =x"])
def test_a_header_that_is_no_pair_is_refused(header: str) -> None:
    with pytest.raises(LabelwireError, match=r"is not NAME=VALUE, as labelwire\.consent=training"):
        Consent.parse(header, granted=False)


def test_two_ways_to_say_it_are_refused() -> None:
    with pytest.raises(LabelwireError, match="give one of them"):
        Consent.parse("a=b", granted=True)
