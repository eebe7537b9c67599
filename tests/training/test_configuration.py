"""The files that training programs are started with."""

import re
import shlex
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from worker.cli.canary import app as canary
from worker.cli.models import app as models
from worker.training.configuration import detector_configuration, recognizer_configuration
from worker.training.figures import TrainingFigures
from worker.training.manifest import SavedOptions
from worker.training.readme import readme
from worker.training.split import Split, SplitBy
from worker.training.trust import Trust

FIGURES = TrainingFigures(
    pictures=Counter({Split.TRAIN: 800, Split.VALIDATION: 100, Split.TEST: 100}),
    lines=Counter({Split.TRAIN: 16_000, Split.VALIDATION: 2000, Split.TEST: 2000}),
    single_words=Counter({Split.TRAIN: 9000}),
    review_lines=40,
    review_pictures=3,
    longest_text=30,
    trust=Counter({Trust.CONFIDENT: 19_000, Trust.BARCODE: 1000}),
)
OPTIONS = SavedOptions(seed=4, split=(80, 10, 10), split_by=SplitBy.CONTENT, min_confidence=0.9)


def detector(folder: Path, figures: TrainingFigures = FIGURES) -> Any:  # noqa: ANN401 - YAML
    return yaml.safe_load(detector_configuration(folder, figures))


def recognizer(folder: Path, figures: TrainingFigures = FIGURES) -> Any:  # noqa: ANN401 - YAML
    return yaml.safe_load(recognizer_configuration(folder, figures))


@pytest.mark.parametrize("name", ["plain", "with space", 'quo"te', "colon: x", "brace {x}"])
def test_paths_arrive_whatever_the_folder_is_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name

    for read, room, prefix in ((detector, "detection", "det"), (recognizer, "recognition", "rec")):
        configuration = read(folder)
        assert configuration["Global"]["save_model_dir"].startswith(f"{folder}/output/")
        for mode, split in (("Train", "train"), ("Eval", "validation")):
            dataset = configuration[mode]["dataset"]
            assert dataset["data_dir"] == str(folder / room)
            assert dataset["label_file_list"] == [str(folder / room / f"{prefix}_gt_{split}.txt")]


def test_the_detector_is_the_teacher_with_its_full_weights() -> None:
    configuration = detector(Path("/data"))

    assert configuration["Architecture"]["Backbone"] == {"name": "PPHGNet_small", "det": True}
    assert configuration["Architecture"]["Neck"] == {"name": "LKPAN", "out_channels": 256, "intracl": True}
    assert configuration["Architecture"]["Head"]["name"] == "PFHeadLocal"
    assert configuration["Global"]["pretrained_model"].endswith("/PP-OCRv4_server_det_pretrained.pdparams")
    assert configuration["Global"]["use_amp"] is True
    assert configuration["Optimizer"]["lr"]["learning_rate"] == 1e-4
    assert configuration["Optimizer"]["regularizer"]["factor"] == 1e-6


def test_the_best_model_is_looked_for_each_epoch_but_not_all_the_time() -> None:
    assert detector(Path("/data"))["Global"]["eval_batch_step"] == [0, 100]
    few = replace(FIGURES, pictures=Counter({Split.TRAIN: 9}))
    assert detector(Path("/data"), few)["Global"]["eval_batch_step"] == [0, 50]


@pytest.mark.parametrize(("longest", "text"), [(3, 25), (30, 32), (300, 38), (0, 25)])
def test_the_recognizer_takes_texts_as_long_as_its_steps_allow(longest: int, text: int) -> None:
    configuration = recognizer(Path("/data"), replace(FIGURES, longest_text=longest))

    for mode in ("Train", "Eval"):
        (resize,) = [each for each in configuration[mode]["dataset"]["transforms"] if "RecResizeImg" in each]
        assert resize["RecResizeImg"]["image_shape"] == [3, 48, 320]
    assert configuration["Global"]["max_text_length"] == text
    heads = configuration["Architecture"]["Head"]["head_list"]
    assert heads[1]["NRTRHead"]["max_text_length"] == text


def test_the_recognizer_starts_from_its_full_weights_with_a_rate_that_is_a_number() -> None:
    configuration = recognizer(Path("/data"))

    assert configuration["Optimizer"]["lr"]["learning_rate"] == 5e-5
    assert configuration["Optimizer"]["regularizer"]["factor"] == 3e-5
    assert configuration["Global"]["pretrained_model"].endswith("/PP-OCRv4_server_rec_pretrained.pdparams")
    assert configuration["Global"]["character_dict_path"] == "ppocr/utils/ppocr_keys_v1.txt"


def commands_of(text: str) -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.replace("\\\n", "").splitlines()]


def test_the_readme_says_what_is_there() -> None:
    text = readme(Path("/data/export"), FIGURES, OPTIONS)

    assert "| lines | 16000 | 2000 | 2000 |" in text
    assert "1000 barcode, 19000 confident" in text
    assert "80/10/10 by content with seed 4" in text
    assert "{" not in text


def test_the_commands_of_the_readme_have_the_options_that_they_use() -> None:
    commands = commands_of(readme(Path("/data/my export"), FIGURES, OPTIONS))

    groups: Any = {"models": typer.main.get_command(models), "canary": typer.main.get_command(canary)}
    ours = [command for command in commands if command[0] == "labelwire"]
    assert {" ".join(command[1:3]) for command in ours} == {
        *("models import", "models build", "models evaluate", "canary start", "canary status")
    }
    for command in ours:
        options = {name for parameter in groups[command[1]].commands[command[2]].params for name in parameter.opts}
        assert {word for word in command if word.startswith("--")} <= options
    assert ["python", "tools/train.py", "-c", "/data/my export/paddle_det.yml"] in commands
