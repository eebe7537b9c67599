"""Check digits as the carriers and standards publish them.

Each function takes a number in normal form, of the right shape, and says whether its check digit holds.

Synthetic labels get their check digits from other code (`worker/lab/synth/check_digits.py`). The two implementations
check each other in the tests, so neither may use the other.

Sources: GS1 General Specifications 7.9; UPU S10; IATA Resolution 600a (air waybill); ISO 6346 and ISO 7064 by
python-stdnum; the carriers' guides for their customers, as github.com/jkeen/tracking_number_data collects them;
Deutsche Post's Identcode.
"""

from collections.abc import Callable, Sequence
from typing import Final

from stdnum import iso6346, luhn
from stdnum.iso7064 import mod_37_36

CheckRule = Callable[[str], bool]

_S10_WEIGHTS: Final = (8, 6, 4, 2, 3, 5, 9, 7)
_S10_DIGITS: Final = {10: 0, 11: 5}
_FEDEX_WEIGHTS: Final = (1, 3, 7)  # from the right
_UPS_LETTERS: Final = {chr(ord("A") + position): (position + 2) % 10 for position in range(26)}


def gs1(number: str) -> bool:
    """GTIN, SSCC, USPS IMpb and others: weights 3 and 1 from the right, modulo 10."""
    digits = list(map(int, number))
    return (3 * sum(digits[-2::-2]) + sum(digits[::-2])) % 10 == 0


def legacy_usps(number: str) -> bool:
    """Twenty digits of USPS: as they stand, or with the service prefix 91 that older labels leave out."""
    return gs1(number) or gs1(f"91{number}")


def s10(number: str) -> bool:
    """Two letters, eight digits and theirs, two letters: 11 less the weighted sum modulo 11; 10 is 0 and 11 is 5."""
    digit = 11 - _weighted(number[2:10], _S10_WEIGHTS) % 11
    return _S10_DIGITS.get(digit, digit) == int(number[10])


def ups_1z(number: str) -> bool:
    """Weights 1 and 2 after `1Z`, modulo 10; A counts 2, B 3 and so on. Blind to 3 for 8 at even positions."""
    values = [_UPS_LETTERS[mark] if mark in _UPS_LETTERS else int(mark) for mark in number[2:]]
    return (sum(values[0:15:2]) + 2 * sum(values[1:15:2]) + values[15]) % 10 == 0


def ups_waybill(number: str) -> bool:
    """UPS, eleven characters: weights 1 and 2 after the letter, modulo 10. Blind to the letter and 3 for 8."""
    digits = list(map(int, number[1:]))
    return (sum(digits[0:9:2]) + 2 * sum(digits[1:9:2]) + digits[9]) % 10 == 0


def ends_modulo_7(number: str) -> bool:
    """DHL Express, Yamato: the last digit is the number before it modulo 7. Blind to 0 for 7, 1 for 8 and 2 for 9."""
    return int(number[:-1]) % 7 == int(number[-1])


def air_waybill(number: str) -> bool:
    """Air waybill: the same, without the airline's prefix of three digits."""
    return ends_modulo_7(number[3:])


def fedex(number: str) -> bool:
    """FedEx Express: weights 1, 3 and 7 from the right, modulo 11, and 10 is 0."""
    return _fedex(number)


def fedex_96(number: str) -> bool:
    """FedEx Ground, twenty-two digits that begin with 96: as a GTIN, over the last fifteen."""
    return gs1(number[7:])


def fedex_32(number: str) -> bool:
    """Thirty-two digits of FedEx: the twelve that count stand before the last four."""
    return _fedex(number[16:28])


def fedex_34(number: str) -> bool:
    """Thirty-four digits of FedEx: the last fourteen count."""
    return _fedex(number[20:])


def identcode(number: str) -> bool:
    """Deutsche Post and DHL in Germany: weights 4 and 9 from the left, modulo 10."""
    digits = list(map(int, number))
    return (4 * sum(digits[0:-1:2]) + 9 * sum(digits[1:-1:2]) + digits[-1]) % 10 == 0


def ontrac(number: str) -> bool:
    """OnTrac: the letter counts as a digit before the others (C is 4, D is 5); weights 1 and 2, modulo 10."""
    digits = [4 if number[0] == "C" else 5, *map(int, number[1:])]
    return (sum(digits[0:-1:2]) + 2 * sum(digits[1:-1:2]) + digits[-1]) % 10 == 0


def iso_6346(number: str) -> bool:
    """ISO 6346, for freight containers."""
    return bool(iso6346.is_valid(number))


def intermodal(number: str) -> bool:
    """EN 13044, for loading units of European rail and road: ISO 6346's check digit, whatever the fourth letter."""
    return str(iso6346.calc_check_digit(number[:-1])) == number[-1]


def mod_10_luhn(number: str) -> bool:
    """IMEI, Purolator, Old Dominion."""
    return bool(luhn.is_valid(number))


def dpd(number: str) -> bool:
    """ISO 7064, modulo 37 and 36."""
    return bool(mod_37_36.is_valid(number))


def _fedex(number: str) -> bool:
    total = sum(int(digit) * _FEDEX_WEIGHTS[position % 3] for position, digit in enumerate(reversed(number[:-1])))
    return total % 11 % 10 == int(number[-1])


def _weighted(digits: str, weights: Sequence[int]) -> int:
    return sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=True))
