"""Which pictures an evaluation is made on."""

from pathlib import Path

import pytest

from worker.domain.errors import SettingsError
from worker.lab.evaluation.dataset import Dataset, Sample
from worker.lab.evaluation.embedded import EvaluationSet, Labels, drawn, with_mosaic
from worker.lab.synth.camera import Degradation
from worker.lab.synth.held_out import HELD_OUT

SIZE = (2700, 2700)


def test_a_mosaic_is_made_of_the_sound_pictures_alone(tmp_path: Path) -> None:
    labels = Labels(count=2, degradations=(Degradation.NONE, Degradation.LOW_RESOLUTION), held_out=True)
    dataset = drawn(labels, tmp_path / "labels")

    pictures = with_mosaic(dataset, tmp_path / "labels", tmp_path / "mosaic", SIZE)

    assert [sample.degradation for sample in dataset.samples] == ["none", "low-resolution"]
    assert {sample.layout for sample in dataset.samples} == {HELD_OUT[0].name}
    assert pictures.mosaic is not None
    assert set(pictures.mosaic.pieces) == {dataset.samples[0].name}
    assert (pictures.mosaic.width, pictures.mosaic.height) == SIZE
    assert [sample.name for sample in pictures.all.samples] == [
        *(sample.name for sample in dataset.samples),
        "images/mosaic.jpg",
    ]
    assert EvaluationSet(dataset).all == dataset


def test_a_mosaic_needs_truth(tmp_path: Path) -> None:
    bare = Dataset("set", (Sample("a.jpg", tmp_path / "a.jpg", ""),))

    with pytest.raises(SettingsError, match=r"has no truth\.jsonl"):
        with_mosaic(bare, tmp_path, tmp_path / "mosaic", SIZE)
