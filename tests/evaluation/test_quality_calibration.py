"""The calibration of the quality score: samples, readings kept, the fit and its report."""

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.domain.errors import LabelwireError
from worker.lab.evaluation.quality.degradation import Factor, degrade
from worker.lab.evaluation.quality.fit import agreement, fit, seen
from worker.lab.evaluation.quality.readings import SampleReading, keep, load_readings
from worker.lab.evaluation.quality.report import write_report
from worker.lab.evaluation.quality.samples import AMOUNTS, CHECK_SEED, FIT_SEED, CalibrationSample, picture, plan
from worker.lab.synth.camera import Degradation
from worker.lab.synth.chance import Chance
from worker.pipeline.quality.score import CURVES, Logistic, scored
from worker.pipeline.quality.text import (
    BLUR_SHARE,
    CONTRAST,
    CONTRAST_TO_NOISE,
    COVERED,
    DETECTION,
    GLARE,
    INK,
    PAPER,
    TEXT_HEIGHT,
)

GOOD = {
    TEXT_HEIGHT: 30.0,
    BLUR_SHARE: 0.02,
    CONTRAST: 200.0,
    CONTRAST_TO_NOISE: 60.0,
    DETECTION: 0.9,
    GLARE: 0.0,
    COVERED: 0.0,
    PAPER: 230.0,
    INK: 20.0,
}
WORDS = 1000


def reading(recall: float, seed: int = FIT_SEED, index: int = 0, **changes: float) -> SampleReading:
    measures = GOOD | changes
    sample = CalibrationSample(seed, index, Degradation.MILD, Factor.DEFOCUS, 1.0)
    words, score = round(WORDS * recall), scored(measures, 0.5).score
    return SampleReading(sample, measures, score, WORDS, words, fields_true=10, fields_exact=round(10 * recall))


def series(seed: int, middle: float) -> list[SampleReading]:
    truth = Logistic(middle, -8.0)
    shares = np.linspace(0.01, 0.4, 60).tolist()
    return [
        reading(truth.share(share), seed, index, **{BLUR_SHARE: share, TEXT_HEIGHT: 30.0})
        for index, share in enumerate(shares)
    ]


@pytest.mark.parametrize("middle", [0.09, 0.2])
def test_the_fit_finds_the_curve_that_made_the_readings(middle: float) -> None:
    curve = fit(series(FIT_SEED, middle))[BLUR_SHARE]
    assert isinstance(curve, Logistic)
    assert curve.middle == pytest.approx(middle, rel=0.05)
    assert curve.steepness < 0


def test_a_score_that_foretells_all_agrees_and_one_that_foretells_nothing_does_not() -> None:
    curve = CURVES[BLUR_SHARE]
    shares = np.linspace(0.01, 0.4, 50).tolist()
    true = [reading(curve.share(share), index=index, **{BLUR_SHARE: share}) for index, share in enumerate(shares)]
    false = [
        reading(curve.share(share), index=index, **{BLUR_SHARE: other})
        for index, (share, other) in enumerate(zip(shares, shares[::-1], strict=True))
    ]
    assert agreement(true).area == 1.0
    assert agreement(true).error < 0.01
    assert agreement(false).area == 0.0
    assert sum(part.samples for part in agreement(true).bins) == 50


def test_what_no_pixel_tells_is_not_fitted() -> None:
    hidden = SampleReading(
        CalibrationSample(FIT_SEED, 1, Degradation.MILD, Factor.GLARE, 0.5), GOOD | {PAPER: 255.0}, 1.0, 10, 2, 0, 0
    )
    shown = SampleReading(hidden.sample, GOOD | {PAPER: 230.0}, 1.0, 10, 2, 0, 0)
    unfound = SampleReading(hidden.sample, {CONTRAST: 3.0}, 0.0, 10, 0, 0, 0)
    assert seen([hidden, shown, unfound]) == [shown]


def test_readings_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "readings.jsonl"
    assert load_readings(path) == []
    readings = [reading(0.5), reading(0.25, CHECK_SEED, 7)]
    for one in readings:
        keep(one, path)
    assert load_readings(path) == readings


def test_both_series_have_every_kind_and_share_no_label() -> None:
    samples = list(plan(2))
    fitted = [sample for sample in samples if sample.fitted]
    others = [sample for sample in samples if not sample.fitted]
    assert len(set(samples)) == len(samples)
    assert not {sample.seed for sample in fitted} & {sample.seed for sample in others}
    for part in (fitted, others):
        assert {(sample.factor, sample.amount) for sample in part if sample.factor} == {
            (factor, amount) for factor, amounts in AMOUNTS.items() for amount in amounts
        }
        assert {sample.degradation for sample in part if not sample.factor} == set(Degradation)


def test_a_sample_is_the_same_picture_every_time() -> None:
    sample = CalibrationSample(FIT_SEED, 3, Degradation.NONE, Factor.RESOLUTION, 0.5)
    image, label = picture(sample)
    assert image == picture(sample)[0]
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape[:2] == (round(label.height / 2), round(label.width / 2))


@pytest.mark.parametrize("factor", [factor for factor in Factor if factor is not Factor.RESOLUTION])
def test_a_factor_moves_nothing_and_changes_the_picture(factor: Factor) -> None:
    pixels = np.full((120, 160, 3), 255, dtype=np.uint8)
    cv2.putText(pixels, "PARCEL", (10, 70), cv2.FONT_HERSHEY_DUPLEX, 1, (0, 0, 0), 2)
    changed = degrade(pixels, factor, AMOUNTS[factor][2], Chance(2))
    assert changed.shape == pixels.shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, pixels)


def test_the_report_says_how_well_scores_hold(tmp_path: Path) -> None:
    page = write_report([*series(FIT_SEED, 0.128), *series(CHECK_SEED, 0.128)], 0.7, tmp_path)
    figures = json.loads((tmp_path / "quality.json").read_text())
    assert figures["check"]["samples"] == 60
    assert figures["check"]["area"] == 1.0
    assert figures["kinds"][0]["kind"] == "defocus, by amount"
    html = page.read_text()
    assert len(sizes := re.findall(r'viewBox="0 0 (\d+)[.\d]* (\d+)', html)) == 2
    assert len(set(sizes)) == 1, "they stand side by side"
    assert "The score ranks 100.0 % of the pairs right" in html
    assert "blur_share" in html


def test_kinds_are_named_as_one_writes_them(tmp_path: Path) -> None:
    both = [*series(FIT_SEED, 0.128), *series(CHECK_SEED, 0.128)]
    spoilt = [replace(one, sample=replace(one.sample, factor=Factor.OVER_EXPOSURE)) for one in both]
    html = write_report(spoilt, 0.7, tmp_path).read_text()
    assert "over-exposure, by amount" in html


def test_a_report_needs_readings_of_both_series(tmp_path: Path) -> None:
    with pytest.raises(LabelwireError, match="--url"):
        write_report(series(FIT_SEED, 0.128), 0.7, tmp_path)
    assert not list(tmp_path.iterdir())
