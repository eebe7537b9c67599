"""The README of an export: what is in it, and the commands from here to a model that serves."""

import shlex
from pathlib import Path
from typing import Final

from worker.training.figures import TrainingFigures
from worker.training.manifest import SavedOptions
from worker.training.split import Split

_TEXT: Final = """\
# Training data

This folder holds pictures and texts of customers. It is private (mode 0700): keep it so, and delete it when the models
are trained. `manifest.jsonl` says for each record where it came from, by which consent it may be kept, and why each of
its texts is trusted. `labelwire models export-data {path} --resume` with the same options goes on or adds new records.

{table}

Split {split} by {split_by} with seed {seed}: another export with the same seed puts a picture in the same split. A text
is a label if its confidence is {min_confidence} or more, if it passes its check, or if a barcode says the same.
{trust}
The labels were read by the models that are to be improved: correct those of `detection/test` before you believe a score
on them. Until then a score says how far two models agree.

## 1. Correct

Open `to_review/review.html`. Lines to correct are in `to_review/lines/<split>`, pictures of dead letters, which have no
labels yet, in `to_review/pictures/<split>` (PPOCRLabel opens its folder `images`). The lists there are called
`*_uncorrected`. Copy a list before you correct it, because `--resume` writes it anew, and name the copy beside the list
of its split, for instance:

```sh
sed 's#^#../to_review/lines/train/#' corrected.txt > {path}/recognition/rec_gt_train_corrected.txt
```

Then name both lists in `label_file_list` of `paddle_rec.yml`, and give them `ratio_list: [1.0, 1.0]`.

## 2. Train

PaddleOCR, in its checkout, on a GPU. A moved folder needs its new place in the configurations:
`sed -i "s#"{path}"#/new/place#" *.yml`. There is no early stopping: the best model so far is `best_accuracy`; stop with
Ctrl-C when it no longer changes.

```sh
python tools/train.py -c {path}/paddle_det.yml
python tools/train.py -c {path}/paddle_rec.yml
```

Or docTR, in its checkout. It has no ignored regions, so doubtful lines count as text. Its recognizers know no space: of
the lines to train on, only those of a single word are labels ({single_words}), and their characters must be in the
vocabulary. A detector that is trained on these lines finds lines and no words, so it does not fit such a recognizer:
train one of the two.

```sh
mkdir -p {path}/output
python references/detection/train.py db_resnet50 --pretrained --rotation --epochs 20 --lr 0.0001 --early-stop --amp \\
  --train_path {path}/detection/train --val_path {path}/detection/validation \\
  --output_dir {path}/output --name detector
python references/recognition/train.py crnn_vgg16_bn --vocab french --pretrained --epochs 20 --lr 0.0001 --early-stop \\
  --train_path {path}/recognition/train --val_path {path}/recognition/validation \\
  --output_dir {path}/output --name recognizer
```

## 3. Export to ONNX

PaddleOCR's models, in its checkout; docTR's checkpoints are exported by the import itself.

```sh
python tools/export_model.py -c {path}/paddle_det.yml -o \\
  Global.pretrained_model={path}/output/detector/best_accuracy \\
  Global.save_inference_dir={path}/output/detector/inference
paddle2onnx --model_dir {path}/output/detector/inference --model_filename inference.json \\
  --params_filename inference.pdiparams --save_file {path}/output/detector.onnx
python tools/export_model.py -c {path}/paddle_rec.yml -o \\
  Global.pretrained_model={path}/output/recognizer/best_accuracy \\
  Global.save_inference_dir={path}/output/recognizer/inference
paddle2onnx --model_dir {path}/output/recognizer/inference --model_filename inference.json \\
  --params_filename inference.pdiparams --save_file {path}/output/recognizer.onnx
```

## 4. Import, build, evaluate

```sh
labelwire models import --kind paddle-det --onnx {path}/output/detector.onnx --license Apache-2.0
labelwire models import --kind paddle-rec --onnx {path}/output/recognizer.onnx --license Apache-2.0 \\
  --dictionary PaddleOCR/ppocr/utils/ppocr_keys_v1.txt
labelwire models build --profile onnx --model-set v2 --detector build/models/text_detector \\
  --recognizer build/models/text_recognizer
labelwire models evaluate build/model_repository/onnx.v2 REPOSITORY_IN_USE --data {path}/detection/test
```

Without REPOSITORY_IN_USE it scores the new models alone.

Or docTR's checkpoint, by the interpreter that has docTR:

```sh
labelwire models import --kind doctr-det --checkpoint {path}/output/detector.pt --architecture db_resnet50 \\
  --python PYTHON
```

## 5. Canary

Let Triton serve both, and the new models read a growing share of the jobs. If they read worse, they are rolled back by
themselves; `model_set` of each result says which models read it.

```sh
tritonserver --model-repository=REPOSITORY_IN_USE --model-repository=build/model_repository/onnx.v2
labelwire canary start v2
labelwire canary status
```
"""

_HEAD: Final = "| | training | validation | test |\n| --- | ---: | ---: | ---: |"


def readme(folder: Path, figures: TrainingFigures, options: SavedOptions) -> str:
    """Return the text, in Markdown."""
    rows = [("pictures", figures.pictures), ("lines", figures.lines)]
    table = "\n".join(
        [_HEAD, *(f"| {name} | {' | '.join(str(count[split]) for split in Split)} |" for name, count in rows)]
    )
    review = f"To review: {figures.review_lines} lines, {figures.review_pictures} pictures."
    reasons = ", ".join(f"{count} {trust.value}" for trust, count in sorted(figures.trust.items()))
    return _TEXT.format(
        path=shlex.quote(str(folder)),
        table=f"{table}\n\n{review}",
        split="/".join(map(str, options.split)),
        split_by=options.split_by.value,
        seed=options.seed,
        min_confidence=f"{options.min_confidence:g}",
        trust=f"Lines by why they are labels: {reasons}.\n" if reasons else "",
        single_words=", ".join(f"{split.value} {figures.single_words[split]}" for split in Split),
    )
