"""Held-out labels are valid, legible and apart from those that may be tuned on."""

import io
from datetime import date, timedelta
from itertools import combinations

import cv2
import numpy as np
import phonenumbers
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from stdnum.eu import vat
from stdnum.iso7064 import mod_37_36

from worker.lab.synth import check_digits
from worker.lab.synth.camera import Degradation
from worker.lab.synth.chance import Chance
from worker.lab.synth.dataset import generate
from worker.lab.synth.held_out import HELD_OUT, values
from worker.lab.synth.layouts import LAYOUTS
from worker.lab.synth.truth import FieldType, SyntheticLabel

SMALLEST_INK_PIXELS = 14
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def labels() -> list[SyntheticLabel]:
    """One of each layout, without anything wrong."""
    return [generate(11, index, degradation=Degradation.NONE, layouts=HELD_OUT) for index in range(len(HELD_OUT))]


def test_nothing_is_shared_with_the_layouts_that_may_be_tuned_on() -> None:
    assert len(HELD_OUT) >= 4
    assert not {layout.name for layout in HELD_OUT} & {layout.name for layout in LAYOUTS}
    for held_out in HELD_OUT:
        for shown in LAYOUTS:
            assert not set(held_out.families) & set(shown.families)
            assert not set(held_out.directory.firm_stems) & set(shown.directory.firm_stems)


def test_lines_stand_apart_and_are_large_enough(labels: list[SyntheticLabel]) -> None:
    for label in labels:
        polygons = [line.polygon for line in label.lines] + [barcode.polygon for barcode in label.barcodes]
        for one, other in combinations([np.array(polygon, np.float32) for polygon in polygons], 2):
            overlap, _ = cv2.intersectConvexConvex(one, other)
            assert overlap <= 0, label.layout
        for line in label.lines:
            (left, top), _, (right, bottom), _ = line.polygon
            assert min(bottom - top, right - left) >= SMALLEST_INK_PIXELS or len(line.text) == 1, line


def test_barcodes_read_back(labels: list[SyntheticLabel]) -> None:
    for label in labels:
        read = {code.text for code in zxingcpp.read_barcodes(np.asarray(Image.open(io.BytesIO(label.image))))}
        assert {code.value for code in label.barcodes} <= read, label.layout


def test_numbers_postcodes_and_addresses_are_printed(labels: list[SyntheticLabel]) -> None:
    elsewhere = {FieldType.DATE, FieldType.WEIGHT, FieldType.PHONE}
    for label in labels:
        printed = _squeezed("".join(line.text for line in label.lines))
        assert {field.type for field in label.fields} - elsewhere, label.layout
        for field in label.fields:
            if field.type not in elsewhere:
                assert all(_squeezed(part) in printed for part in field.value.splitlines()), field
            elif field.type is FieldType.PHONE:
                assert phonenumbers.is_valid_number(phonenumbers.parse(field.value)), field
                assert field.value[-10:] in printed


def _squeezed(text: str) -> str:
    return "".join(mark for mark in text.upper() if mark.isalnum())


@given(seeds)
@settings(deadline=None)
def test_numbers_carry_their_check_digits(seed: int) -> None:
    assert vat.is_valid(values.vat(Chance(seed)))
    assert mod_37_36.is_valid(values.dpd(Chance(seed)))
    waybill, parcel = values.dhl_express(Chance(seed)), values.impb(Chance(seed))
    assert int(waybill[:9]) % 7 == int(waybill[9])
    assert len(parcel) == 22
    assert check_digits.gs1(parcel[:-1]) == int(parcel[-1])
    assert check_digits.gs1(values.ean13(Chance(seed))[:-1]) == int(values.ean13(Chance(seed))[-1])


def test_a_published_fedex_number() -> None:
    assert check_digits.fedex("98657878885") == 5
    assert len(values.fedex(Chance(1))) == 12


@given(seeds)
@settings(deadline=None)
def test_days_that_could_be_months_are_moved(seed: int) -> None:
    day = date(2025, 1, 1) + timedelta(days=seed % 700)
    assert values.plain_day(day).day > 12
    assert abs(values.plain_day(day) - day) < timedelta(days=14)
