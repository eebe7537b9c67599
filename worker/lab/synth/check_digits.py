"""Check digits as the carriers and standards publish them. Each function takes the characters before the digit.

The pipeline checks what it reads with code of its own (`worker/pipeline/extract/numbers/checks.py`). The two
implementations check each other in the tests, so neither may use the other.
"""

from collections.abc import Callable

CheckDigit = Callable[[str], int]

_S10_WEIGHTS = (8, 6, 4, 2, 3, 5, 9, 7)


def gs1(digits: str) -> int:
    """Return the digit of a GTIN, SSCC or USPS IMpb number: weights 3 and 1 from the right, modulo 10."""
    weighted = sum(int(digit) * (3 if index % 2 == 0 else 1) for index, digit in enumerate(reversed(digits)))
    return -weighted % 10


def s10(digits: str) -> int:
    """Return the digit of a UPU S10 item of eight digits: 11 less the weighted sum modulo 11; 10 is 0, 11 is 5."""
    weighted = sum(weight * int(digit) for weight, digit in zip(_S10_WEIGHTS, digits, strict=True))
    return {10: 0, 11: 5}.get(11 - weighted % 11, 11 - weighted % 11)


def ups_1z(payload: str) -> int:
    """Return the digit of the 15 characters after `1Z`: letters from A = 2 upwards modulo 10, weights 1 and 2."""
    values = (int(mark) if mark.isdigit() else (ord(mark) - ord("A") + 2) % 10 for mark in payload)
    return -sum(value * (1 + index % 2) for index, value in enumerate(values)) % 10


def air_waybill(serial: str) -> int:
    """Return the eighth digit of an air waybill's serial number: its first seven modulo 7."""
    return int(serial) % 7


def iso6346(owner_and_serial: str) -> int:
    """Return the digit of a container's four letters and six digits.

    Letters count from A = 10 and skip the multiples of 11; weights are powers of two; modulo 11, then modulo 10.
    """
    total = sum(_container_value(mark) << index for index, mark in enumerate(owner_and_serial))
    return total % 11 % 10


def _container_value(mark: str) -> int:
    if mark.isdigit():
        return int(mark)
    value = ord(mark) - ord("A") + 10
    return value + (value - 1) // 10 if value > 10 else value  # noqa: PLR2004  (A alone stands before the first 11)


def fedex(digits: str) -> int:
    """Return the twelfth digit of a FedEx Express number: weights 3, 1, 7 from the left, modulo 11; 10 is 0."""
    return sum(int(digit) * (3, 1, 7)[index % 3] for index, digit in enumerate(digits)) % 11 % 10


def dhl_express(digits: str) -> int:
    """Return the tenth digit of a DHL Express waybill: its first nine modulo 7."""
    return int(digits) % 7
