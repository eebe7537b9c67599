from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.lab.synth import check_digits
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment, consignment, grouped

seeds = st.integers(0, 2**32 - 1)


def _gs1_is_right(number: str) -> bool:
    # As the standard words it: from the right, the digit itself has weight 1, the next 3, and so on; the sum ends in 0.
    return sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(number[::-1])) % 10 == 0


def _container_is_right(number: str) -> bool:
    values: dict[str, int] = {}
    value = 10
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        value += value % 11 == 0
        values[letter] = value
        value += 1
    total = sum((values[mark] if mark.isalpha() else int(mark)) << place for place, mark in enumerate(number[:10]))
    return total % 11 % 10 == int(number[10])


def _ups_is_right(number: str) -> bool:
    letters = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "23456789012345678901234567", strict=True))
    digits = [int(letters.get(mark, mark)) for mark in number[2:]]
    total = sum(digits[0:15:2]) + 2 * sum(digits[1:15:2])
    return (total + digits[15]) % 10 == 0


def _s10_is_right(number: str) -> bool:
    total = sum(int(digit) * weight for digit, weight in zip(number[2:10], (8, 6, 4, 2, 3, 5, 9, 7), strict=True))
    expected = 11 - total % 11
    return {10: 0, 11: 5}.get(expected, expected) == int(number[10])


@pytest.mark.parametrize(
    ("rule", "payload", "digit"),
    [
        (check_digits.gs1, "03600029145", 2),
        (check_digits.gs1, "629104150021", 3),
        (check_digits.gs1, "37610425002123456", 9),
        (check_digits.s10, "47312482", 9),
        (check_digits.ups_1z, "999AA1012345678", 4),
        (check_digits.air_waybill, "1234567", 5),
        (check_digits.iso6346, "CSQU305438", 3),
    ],
)
def test_published_examples(rule: check_digits.CheckDigit, payload: str, digit: int) -> None:
    assert rule(payload) == digit


@given(seeds)
@settings(deadline=None)
def test_every_number_carries_its_check_digit(seed: int) -> None:
    made = consignment(Chance(seed))
    assert _gs1_is_right(made.sscc)
    assert len(made.sscc) == 18
    assert _gs1_is_right(made.gtin)
    assert len(made.gtin) == 14
    assert _gs1_is_right(made.impb)
    assert len(made.impb) == 22
    assert _s10_is_right(made.s10)
    assert _ups_is_right(made.ups_1z)
    assert len(made.ups_1z) == 18
    assert _container_is_right(made.container)
    assert int(made.air_waybill[3:10]) % 7 == int(made.air_waybill[10])


@given(seeds)
@settings(deadline=None)
def test_a_consignment_is_a_function_of_its_seed(seed: int) -> None:
    assert consignment(Chance(seed)) == consignment(Chance(seed))
    assert consignment(Chance(seed)) != consignment(Chance(seed, 1))


@given(seeds)
@settings(deadline=None)
def test_a_consignment_makes_sense(seed: int) -> None:
    made: Consignment = consignment(Chance(seed))
    assert 1 <= made.piece <= made.pieces
    assert made.sender.airport != made.receiver.airport
    assert date(2025, 1, 1) <= made.day <= date(2027, 1, 1)
    for party in (made.sender, made.receiver):
        assert not set("#@%{}") & set("".join((*party.lines, party.phone)))
        assert any(party.postcode in line for line in party.lines)


def test_numbers_are_grouped_from_the_left() -> None:
    assert grouped("1Z999AA10123456784", 2, 3, 3, 2, 4) == "1Z 999 AA1 01 2345 6784"
    assert grouped("12345", 5) == "12345"


def test_patterns_are_filled() -> None:
    filled = Chance(1).filled("AB-%#@")
    assert filled.startswith("AB-")
    assert "1" <= filled[3] <= "9"
    assert filled[4].isdigit()
    assert filled[5].isalpha()
    assert len(filled) == 6
