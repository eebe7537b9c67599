"""Train a docTR model on drawn words for a few minutes; a program of its own, for an interpreter that has docTR.

`recognizer FILE` or `detector FILE` writes a checkpoint as training scripts do, the optimizer's state beside the
weights. Such models read what they were trained on and nothing else, which is what a test of the way needs.
"""

import os
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

os.environ["USE_TORCH"] = "1"

_WORDS = ("Halle", "1335", "HAMM", "2288", "SHIP", "Weight", "Otto")
_RECOGNIZER_STEPS, _DETECTOR_STEPS = 1000, 400
_LINE_HEIGHT, _LINE_WIDTH, _PAGE = 48, 192, 256


def draw_line(word: str, jitter: random.Random) -> Any:  # noqa: ANN401  the environment of docTR has its own numpy
    """A word as it is served, 48 pixels high and padded with black, scaled to docTR's 32 x 128."""
    font = ImageFont.load_default(jitter.randint(32, 36))
    width = round(font.getlength(word)) + 16
    drawn = Image.new("RGB", (width, _LINE_HEIGHT), (240,) * 3)
    at = (jitter.randint(4, 10), _LINE_HEIGHT / 2 + jitter.randint(-1, 1))
    ImageDraw.Draw(drawn).text(at, word, (20,) * 3, font, anchor="lm")
    line = Image.new("RGB", (_LINE_WIDTH, _LINE_HEIGHT))
    line.paste(drawn, (0, 0))
    return np.asarray(line.resize((128, 32), Image.Resampling.BILINEAR), dtype=np.float32) / 255


def draw_page(jitter: random.Random) -> tuple[Any, dict[str, Any]]:
    """A page with up to two words, and their boxes as parts of its size."""
    font = ImageFont.load_default(jitter.randint(31, 37))
    page = Image.new("RGB", (_PAGE, _PAGE), (240,) * 3)
    draw = ImageDraw.Draw(page)
    boxes = []
    for middle in (64, 192):
        if jitter.random() < 0.75:
            word = jitter.choice(_WORDS)
            at = (jitter.randint(8, _PAGE - 150), middle + jitter.randint(-20, 20))
            draw.text(at, word, (20,) * 3, font, anchor="lm")
            boxes.append(draw.textbbox(at, word, font, anchor="lm"))
    parts = np.array(boxes, dtype=np.float32).reshape(-1, 4) / _PAGE
    return np.asarray(page, dtype=np.float32) / 255, {"words": parts}


def train(kind: str, path: str) -> None:
    """Train and write the checkpoint, wrapped as other scripts wrap theirs."""
    import torch  # noqa: PLC0415
    from doctr.datasets import VOCABS  # noqa: PLC0415
    from doctr.models import detection, recognition  # noqa: PLC0415

    torch.manual_seed(0)
    torch.set_num_threads(1)  # several wait for each other where other programs run
    jitter = random.Random(0)  # noqa: S311  it draws words

    def lines() -> tuple[list[Any], list[Any]]:
        words = [jitter.choice(_WORDS) for _ in range(16)]
        return [draw_line(word, jitter) for word in words], words

    def pages() -> tuple[list[Any], list[Any]]:
        drawn = [draw_page(jitter) for _ in range(4)]
        return [page for page, _ in drawn], [boxes for _, boxes in drawn]

    sample: Callable[[], tuple[list[Any], list[Any]]]
    if kind == "recognizer":
        model = recognition.crnn_mobilenet_v3_small(
            pretrained=False, pretrained_backbone=False, vocab=VOCABS["english"]
        )
        steps, sample, mean, deviation = _RECOGNIZER_STEPS, lines, (0.694, 0.695, 0.693), (0.299, 0.296, 0.301)
    else:
        model = detection.db_mobilenet_v3_large(pretrained=False, pretrained_backbone=False)
        steps, sample, mean, deviation = _DETECTOR_STEPS, pages, (0.798, 0.785, 0.772), (0.264, 0.2749, 0.287)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.1  # its statistics have to settle within a few steps
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    model.train()
    for step in range(steps):
        pictures, targets = sample()
        pixels = torch.from_numpy(((np.stack(pictures) - mean) / deviation).astype(np.float32))
        loss = model(pixels.permute(0, 3, 1, 2).contiguous(), targets)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5)
        optimizer.step()
        schedule.step()
        if step % 10 == 0:
            print(step, loss.item(), flush=True)  # noqa: T201
    weights = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 1, "model": weights, "optimizer": optimizer.state_dict()}, path)


if __name__ == "__main__":
    train(*sys.argv[1:])
