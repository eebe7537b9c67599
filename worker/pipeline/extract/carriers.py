"""The numbers of carriers, as they publish them for their customers.

A form without a published check digit carries `check: none`: it is taken where its prefix, a caption or the carrier's
name tell it, and proves nothing.
"""

from typing import Final

from worker.pipeline.extract import checks
from worker.pipeline.extract.captions import Carrier, Topic
from worker.pipeline.extract.forms import Form, Proof

_TRACKING: Final = frozenset({Topic.TRACKING})
_WAYBILL: Final = frozenset({Topic.TRACKING, Topic.AIR_WAYBILL})


def _zip_is_printed(number: str) -> bool:
    """Return whether the routing code of a USPS number could be one: no ZIP code begins with 000."""
    return number[3:6] != "000"


def _is_no_telephone(number: str) -> bool:
    """Return whether it may be a waybill: national telephone numbers begin with a zero."""
    return number[0] != "0"


def _is_no_sscc(number: str) -> bool:
    return not number.startswith("00")


CARRIER_FORMS: Final = (
    Form("ups_1z", "1Z*{6}#{10}", checks.ups_1z, Proof.SHAPE, _TRACKING, Carrier.UPS, certain=True),
    # Services of two letters; those that are read for digits are left to the form above.
    Form("ups_1z", "1Z*{6}[ACEFHJKMNPRUVWXY]{2}#{8}", checks.ups_1z, Proof.SHAPE, _TRACKING, Carrier.UPS, certain=True),
    Form("usps_impb", "9[2345]#{20}", checks.gs1, Proof.SHAPE, _TRACKING, Carrier.USPS),
    Form("usps_impb", "91#{20}", checks.gs1, Proof.SHAPE, _TRACKING, Carrier.USPS),
    Form("usps_impb", "9[2345]#{24}", checks.gs1, Proof.SHAPE, _TRACKING, Carrier.USPS),
    Form(
        "usps_impb",
        "420#{5}9[12345]#{20}",
        checks.gs1,
        Proof.SHAPE,
        _TRACKING,
        Carrier.USPS,
        plausible=_zip_is_printed,
        strip=8,
    ),
    Form(
        "usps_impb",
        "420#{9}9[12345]#{20}",
        checks.gs1,
        Proof.SHAPE,
        _TRACKING,
        Carrier.USPS,
        plausible=_zip_is_printed,
        strip=12,
    ),
    Form(
        "usps_impb",
        "#{20}",
        checks.legacy_usps,
        Proof.CARRIED,
        _TRACKING,
        Carrier.USPS,
        groups=((4, 4, 4, 4, 4),),
        plausible=_is_no_sscc,
    ),
    Form("fedex", "#{12}", checks.fedex, Proof.CARRIED, _TRACKING, Carrier.FEDEX, groups=((4, 4, 4),)),
    Form("fedex", "#{15}", checks.gs1, Proof.CARRIED, _TRACKING, Carrier.FEDEX, groups=((4, 4, 4, 3), (7, 8))),
    Form("fedex", "#{20}", checks.gs1, Proof.CARRIED, _TRACKING, Carrier.FEDEX, plausible=_is_no_sscc),
    Form("fedex", "96#{20}", checks.fedex_96, Proof.CARRIED, _TRACKING, Carrier.FEDEX),
    Form("fedex", "3#{31}", checks.fedex_32, Proof.CARRIED, _TRACKING, Carrier.FEDEX),
    Form("fedex", "1#{33}", checks.fedex_34, Proof.CARRIED, _TRACKING, Carrier.FEDEX),
    Form("fedex", "96#{32}", checks.fedex_34, Proof.SHAPE, _TRACKING, Carrier.FEDEX),
    Form(
        "dhl_express",
        "#{10}",
        checks.ends_modulo_7,
        Proof.CARRIED,
        _WAYBILL,
        Carrier.DHL,
        groups=((2, 4, 4), (3, 4, 3)),
        plausible=_is_no_telephone,
    ),
    Form(
        "dhl_express", "#{11}", checks.ends_modulo_7, Proof.CARRIED, _TRACKING, Carrier.DHL, plausible=_is_no_telephone
    ),
    Form("dhl_express", "JVGL#{10}", None, Proof.UNDENIED, _TRACKING, Carrier.DHL),
    Form("dhl_express", "JVGL#{20}", None, Proof.SHAPE, _TRACKING, Carrier.DHL),
    Form("dhl_parcel", "JJD#{18}", None, Proof.SHAPE, _TRACKING, Carrier.DHL),
    Form("dhl_parcel", "JD#{18}", None, Proof.SHAPE, _TRACKING, Carrier.DHL),
    Form(
        "dhl_parcel",
        "#{12}",
        checks.identcode,
        Proof.CARRIED,
        _TRACKING,
        Carrier.DHL,
        groups=((2, 3, 3, 3, 1), (2, 2, 3, 5)),
    ),
    Form("dhl_ecommerce", "GM#{16}", None, Proof.UNDENIED, _TRACKING, Carrier.DHL),
    Form("dhl_ecommerce", "GM#{18}", None, Proof.UNDENIED, _TRACKING, Carrier.DHL),
    Form("dpd", "#{14}*", checks.dpd, Proof.CARRIED, _TRACKING, Carrier.DPD, groups=((4, 4, 4, 2, 1), (4, 4, 4, 3))),
    Form("dpd", "*{7}#{20}*", checks.dpd, Proof.CARRIED, _TRACKING, Carrier.DPD, groups=((4, 3, 4, 4, 4, 2, 3, 3, 1),)),
    Form("gls", "#{11}", None, Proof.CARRIED, _TRACKING, Carrier.GLS),
    Form("gls", "#{12}", None, Proof.CARRIED, _TRACKING, Carrier.GLS),
    Form("evri", "[HTCPE]*{4}A#{10}", None, Proof.CARRIED, _TRACKING, Carrier.EVRI),
    Form("sf_express", "SF#{13}", None, Proof.UNDENIED, _TRACKING, Carrier.SF_EXPRESS),
    Form("sf_express", "SF#{12}", None, Proof.CARRIED, _TRACKING, Carrier.SF_EXPRESS),
    Form("amazon", "TB[ACM]#{12}", None, Proof.SHAPE, _TRACKING, Carrier.AMAZON),
    Form("ontrac", "[CD]#{14}", checks.ontrac, Proof.CARRIED, _TRACKING, Carrier.ONTRAC),
    Form("lasership", "L[AIEHNX][123]#{7}", None, Proof.CARRIED, _TRACKING, Carrier.LASERSHIP),
    Form("lasership", "1LS7[12]#{10}", None, Proof.SHAPE, _TRACKING, Carrier.LASERSHIP),
    Form("lasership", "1LSCX*{10}", None, Proof.SHAPE, _TRACKING, Carrier.LASERSHIP),
    Form("canada_post", "#{16}", checks.gs1, Proof.CARRIED, _TRACKING, Carrier.CANADA_POST, groups=((4, 4, 4, 4),)),
    Form("purolator", "[012345]#{11}", checks.mod_10_luhn, Proof.CARRIED, _TRACKING, Carrier.PUROLATOR),
    Form("yodel", "JJD#{16}", None, Proof.SHAPE, _TRACKING, Carrier.YODEL),
    Form("yodel", "JD#{16}", None, Proof.CARRIED, _TRACKING, Carrier.YODEL),
    Form("yun_express", "YT#{16}", None, Proof.UNDENIED, _TRACKING),
)
