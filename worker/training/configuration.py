"""Configurations for PaddleOCR's `tools/train.py`, with the paths of an export.

They fine-tune the PP-OCRv4 server models from their full pretrained weights: detector (PPHGNet_small, LKPAN, the
"teacher") and recognizer (PPHGNet_small with CTC and NRTR heads). Architectures, losses and the names of all fields are
those of PaddleOCR's own `PP-OCRv4_server_det.yml` and `PP-OCRv4_server_rec.yml`; another architecture would not take
the weights. PaddleOCR has no early stopping: it evaluates every so many steps and keeps the best as `best_accuracy`, so
an overlong training costs time only.
"""

import json
import math
from pathlib import Path
from typing import Final

from worker.training.crops import LINE_HEIGHT_PIXELS
from worker.training.figures import TrainingFigures
from worker.training.places import DETECTION, RECOGNITION
from worker.training.split import Split

_WEIGHTS: Final = "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_pretrained_model"
DETECTOR_WEIGHTS: Final = f"{_WEIGHTS}/PP-OCRv4_server_det_pretrained.pdparams"
RECOGNIZER_WEIGHTS: Final = f"{_WEIGHTS}/PP-OCRv4_server_rec_pretrained.pdparams"

# PaddleOCR's rates are 0.001 for 64 pictures and for 1024 lines at once, from weights of the backbone alone. For fewer
# at once they go down in proportion (its page on fine-tuning), and further, for nothing is to be unlearned.
_DETECTOR_BATCH: Final = 8
_DETECTOR_RATE: Final = 1e-4
_RECOGNIZER_BATCH: Final = 64
_RECOGNIZER_RATE: Final = 5e-5
_DETECTOR_EPOCHS: Final = 50
_RECOGNIZER_EPOCHS: Final = 30
_MIN_STEPS: Final = 50  # between two evaluations
# The backbone pools any width to 40 steps of CTC while it trains, and makes one of 8 columns when it reads. So crops
# are brought to 320 columns, as the weights were trained, and no text has more characters than fit into the steps.
_LINE_WIDTH_PIXELS: Final = 320
_LEAST_TEXT: Final = 25
_MOST_TEXT: Final = 38

_DETECTOR: Final = """\
# Fine-tuning of PP-OCRv4's server detector on an export of Labelwire. Its README.md has the command.
Global:
  use_gpu: true
  distributed: false
  epoch_num: {epochs}
  log_smooth_window: 20
  print_batch_step: 10
  save_model_dir: {output}
  save_epoch_step: {epochs}
  eval_batch_step: [0, {evaluate_each}]  # best_accuracy is kept
  cal_metric_during_train: false
  pretrained_model: {weights}
  checkpoints:
  save_inference_dir:
  use_visualdl: false
  d2s_train_image_shape: [3, 640, 640]
  use_amp: true
  amp_level: O1
  scale_loss: 1024.0
  use_dynamic_loss_scaling: true
Architecture:
  model_type: det
  algorithm: DB
  Transform:
  Backbone: {{name: PPHGNet_small, det: true}}
  Neck: {{name: LKPAN, out_channels: 256, intracl: true}}
  Head: {{name: PFHeadLocal, k: 50, mode: large, fix_nan: true}}
Loss: {{name: DBLoss, balance_loss: true, main_loss_type: DiceLoss, alpha: 5, beta: 10, ohem_ratio: 3}}
Optimizer:
  name: Adam
  beta1: 0.9
  beta2: 0.999
  lr: {{name: Cosine, learning_rate: {rate}, warmup_epoch: 2}}
  regularizer: {{name: L2, factor: 1.0e-6}}
PostProcess: {{name: DBPostProcess, thresh: 0.3, box_thresh: 0.6, max_candidates: 1000, unclip_ratio: 1.5}}
Metric: {{name: DetMetric, main_indicator: hmean}}
Train:
  dataset:
    name: SimpleDataSet
    data_dir: {data}
    label_file_list: [{train}]
    ratio_list: [1.0]
    transforms:
    - DecodeImage: {{img_mode: BGR, channel_first: false}}
    - DetLabelEncode:
    - IaaAugment:
        augmenter_args:
        - {{type: Affine, args: {{rotate: [-10, 10]}}}}
        - {{type: Resize, args: {{size: [0.5, 3]}}}}
    - EastRandomCropData: {{size: [640, 640], max_tries: 50, keep_ratio: true}}
    - MakeBorderMap: {{shrink_ratio: 0.4, thresh_min: 0.3, thresh_max: 0.7, total_epoch: {epochs}}}
    - MakeShrinkMap: {{shrink_ratio: 0.4, min_text_size: 8, total_epoch: {epochs}}}
    - NormalizeImage: {{scale: 1./255., mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: hwc}}
    - ToCHWImage:
    - KeepKeys: {{keep_keys: [image, threshold_map, threshold_mask, shrink_map, shrink_mask]}}
  loader: {{shuffle: true, drop_last: false, batch_size_per_card: {batch}, num_workers: 4}}
Eval:
  dataset:
    name: SimpleDataSet
    data_dir: {data}
    label_file_list: [{validation}]
    transforms:
    - DecodeImage: {{img_mode: BGR, channel_first: false}}
    - DetLabelEncode:
    - DetResizeForTest: {{limit_side_len: 1056, limit_type: max}}
    - NormalizeImage: {{scale: 1./255., mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: hwc}}
    - ToCHWImage:
    - KeepKeys: {{keep_keys: [image, shape, polys, ignore_tags]}}
  loader: {{shuffle: false, drop_last: false, batch_size_per_card: 1, num_workers: 2}}
"""

_RECOGNIZER: Final = """\
# Fine-tuning of PP-OCRv4's server recognizer on an export of Labelwire. Its README.md has the command.
Global:
  use_gpu: true
  distributed: false
  epoch_num: {epochs}
  log_smooth_window: 20
  print_batch_step: 10
  save_model_dir: {output}
  save_epoch_step: {epochs}
  eval_batch_step: [0, {evaluate_each}]  # best_accuracy is kept
  cal_metric_during_train: true
  pretrained_model: {weights}
  checkpoints:
  save_inference_dir:
  use_visualdl: false
  character_dict_path: ppocr/utils/ppocr_keys_v1.txt  # the weights' own: another one would not fit the head
  use_space_char: true
  max_text_length: &max_text_length {max_text}
  infer_mode: false
  d2s_train_image_shape: [3, {height}, {width}]
  use_amp: true
  amp_level: O1
  scale_loss: 1024.0
  use_dynamic_loss_scaling: true
Architecture:
  model_type: rec
  algorithm: SVTR_HGNet
  Transform:
  Backbone: {{name: PPHGNet_small}}
  Head:
    name: MultiHead
    head_list:
    - CTCHead:
        Neck: {{name: svtr, dims: 120, depth: 2, hidden_dims: 120, kernel_size: [1, 3], use_guide: true}}
        Head: {{fc_decay: 0.00001}}
    - NRTRHead: {{nrtr_dim: 384, max_text_length: *max_text_length}}
Loss:
  name: MultiLoss
  loss_config_list:
  - CTCLoss:
  - NRTRLoss:
Optimizer:
  name: Adam
  beta1: 0.9
  beta2: 0.999
  lr: {{name: Cosine, learning_rate: {rate}, warmup_epoch: 1}}
  regularizer: {{name: L2, factor: 3.0e-05}}
PostProcess: {{name: CTCLabelDecode}}
Metric: {{name: RecMetric, main_indicator: acc}}
Train:
  dataset:
    name: SimpleDataSet
    data_dir: {data}
    label_file_list: [{train}]
    ratio_list: [1.0]
    transforms:
    - DecodeImage: {{img_mode: BGR, channel_first: false}}
    - RecAug:
    - MultiLabelEncode: {{gtc_encode: NRTRLabelEncode}}
    - RecResizeImg: {{image_shape: [3, {height}, {width}]}}
    - KeepKeys: {{keep_keys: [image, label_ctc, label_gtc, length, valid_ratio]}}
  loader: {{shuffle: true, drop_last: false, batch_size_per_card: {batch}, num_workers: 4}}
Eval:
  dataset:
    name: SimpleDataSet
    data_dir: {data}
    label_file_list: [{validation}]
    transforms:
    - DecodeImage: {{img_mode: BGR, channel_first: false}}
    - MultiLabelEncode: {{gtc_encode: NRTRLabelEncode}}
    - RecResizeImg: {{image_shape: [3, {height}, {width}]}}
    - KeepKeys: {{keep_keys: [image, label_ctc, label_gtc, length, valid_ratio]}}
  loader: {{shuffle: false, drop_last: false, batch_size_per_card: {batch}, num_workers: 2}}
"""


def detector_configuration(folder: Path, figures: TrainingFigures) -> str:
    """Return the YAML that fine-tunes a detector on the export in `folder`."""
    return _DETECTOR.format(
        output=_quoted(folder / "output" / "detector"),
        epochs=_DETECTOR_EPOCHS,
        evaluate_each=_steps(figures.pictures[Split.TRAIN], _DETECTOR_BATCH),
        weights=DETECTOR_WEIGHTS,
        rate=f"{_DETECTOR_RATE:f}",
        batch=_DETECTOR_BATCH,
        data=_quoted(folder / DETECTION),
        train=_quoted(folder / DETECTION / "det_gt_train.txt"),
        validation=_quoted(folder / DETECTION / "det_gt_validation.txt"),
    )


def recognizer_configuration(folder: Path, figures: TrainingFigures) -> str:
    """Return the YAML that fine-tunes a recognizer on the export in `folder`.

    PaddleOCR squeezes a line that is wider than its pictures, and leaves out one with too many characters.
    """
    return _RECOGNIZER.format(
        output=_quoted(folder / "output" / "recognizer"),
        epochs=_RECOGNIZER_EPOCHS,
        evaluate_each=_steps(figures.lines[Split.TRAIN], _RECOGNIZER_BATCH),
        weights=RECOGNIZER_WEIGHTS,
        rate=f"{_RECOGNIZER_RATE:f}",  # YAML takes 5e-05 for a word
        batch=_RECOGNIZER_BATCH,
        height=LINE_HEIGHT_PIXELS,
        width=_LINE_WIDTH_PIXELS,
        # PaddleOCR counts a beginning and an end.
        max_text=min(_MOST_TEXT, max(_LEAST_TEXT, figures.longest_text + 2)),
        data=_quoted(folder / RECOGNITION),
        train=_quoted(folder / RECOGNITION / "rec_gt_train.txt"),
        validation=_quoted(folder / RECOGNITION / "rec_gt_validation.txt"),
    )


def _steps(items: int, batch: int) -> int:
    return max(_MIN_STEPS, math.ceil(items / batch))


def _quoted(path: Path) -> str:
    """Return a path as YAML takes it, whatever is in it: JSON's strings are YAML's."""
    return json.dumps(str(path))
