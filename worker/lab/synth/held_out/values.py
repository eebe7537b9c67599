"""Numbers of held-out labels that a consignment lacks, with right check digits, and ways to print values."""

from datetime import date, timedelta

from stdnum import luhn
from stdnum.iso7064 import mod_11_10, mod_37_36

from worker.lab.synth import check_digits
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Party

_LAST_AMBIGUOUS_DAY = 12
_NIP_WEIGHTS = (6, 5, 7, 2, 3, 4, 5, 6, 7)


def fedex(chance: Chance) -> str:
    """Return a FedEx Express number of twelve digits."""
    digits = chance.filled("%##########")
    return f"{digits}{check_digits.fedex(digits)}"


def dhl_express(chance: Chance) -> str:
    """Return a DHL Express waybill number of ten digits."""
    digits = chance.filled("%########")
    return f"{digits}{check_digits.dhl_express(digits)}"


def dpd(chance: Chance) -> str:
    """Return a DPD parcel number: fourteen digits and the check character of ISO 7064, modulo 37 and 36."""
    digits = "0" + chance.filled("%############")
    return f"{digits}{mod_37_36.calc_check_digit(digits)}"


def ean13(chance: Chance) -> str:
    """Return an EAN of thirteen digits."""
    digits = chance.filled("80%#########")
    return f"{digits}{check_digits.gs1(digits)}"


def impb(chance: Chance) -> str:
    """Return a USPS package barcode of 22 digits, with the service's code for priority mail."""
    digits = "9405511" + chance.digits(14)
    return f"{digits}{check_digits.gs1(digits)}"


def vat(chance: Chance) -> str:
    """Return a VAT number of one of five countries, with its country's letters and without punctuation."""
    return chance.pick((_italian, _german, _french, _polish, _belgian))(chance)


def _italian(chance: Chance) -> str:
    digits = chance.filled("0%#####") + chance.pick(("010", "015", "037"))
    return f"IT{digits}{luhn.calc_check_digit(digits)}"


def _german(chance: Chance) -> str:
    digits = chance.filled("%#######")
    return f"DE{digits}{mod_11_10.calc_check_digit(digits)}"


def _french(chance: Chance) -> str:
    digits = chance.filled("%#######")
    whole = f"{digits}{luhn.calc_check_digit(digits)}"
    return f"FR{(12 + 3 * (int(whole) % 97)) % 97:02d}{whole}"


def _polish(chance: Chance) -> str:
    while True:
        digits = chance.filled("5#%######")
        last = sum(weight * int(digit) for weight, digit in zip(_NIP_WEIGHTS, digits, strict=True)) % 11
        if last <= 9:  # noqa: PLR2004  (such numbers are not given out)
            return f"PL{digits}{last}"


def _belgian(chance: Chance) -> str:
    digits = chance.filled("04######")
    return f"BE{digits}{97 - int(digits) % 97:02d}"


def plain_day(day: date) -> date:
    """Return the day, or one soon after it, that no order of day and month can mistake."""
    return day if day.day > _LAST_AMBIGUOUS_DAY else day + timedelta(days=_LAST_AMBIGUOUS_DAY + 1)


def comma(amount: float, decimals: int = 1) -> str:
    """Return a number with a decimal comma."""
    return f"{amount:.{decimals}f}".replace(".", ",")


def american(party: Party) -> str:
    """Return an American telephone number as at home: `(208) 555-0134`."""
    _, area, exchange, line = party.phone.split()
    return f"({area}) {exchange}-{line}"
