"""The gate before a plan serves: it has to find on golden pictures what ONNX Runtime finds with the same graph.

Invariant: the pictures are drawn, the same at each build; a plan that does not agree is never written to a repository.
A TensorRT plan may compute in TF32 and sum in another order, so a few steps and pixels may differ, but not texts.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from worker.domain.manifest import DetectionThresholds
from worker.models.drawn_lines import draw_lines
from worker.models.model_card import LINE_HEIGHT_PIXELS
from worker.models.profiles import LONG_SIDE_PIXELS
from worker.models.rewriting import PAD_VALUE
from worker.models.tensorrt_builder import PlanError

Tensors = Mapping[str, NDArray[Any]]
_LINES, _SEED = 32, 22
_MIN_AGREEMENT: Final = 0.99
_CONFIDENCE_TOLERANCE: Final = 0.05
_PAPER, _ROW_PIXELS = 235, 64
# (height, width): a page as it is usually searched, on its side, and a strip far from what the plan is tuned for.
_TILES: Final = ((LONG_SIDE_PIXELS, 768), (544, LONG_SIDE_PIXELS), (96, 320))


def golden_lines(width_pixels: int, batch: int) -> list[Tensors]:
    """Return requests of lines UINT8 [N, 48, width, 3] and sides FP32 [N, 1]: one line alone, then a batch of them.

    Every other line stands upside down. Long lines are cut, short ones padded.
    """
    drawn = [_fitted(line, width_pixels) for line in draw_lines(_LINES, _SEED)]
    lines = np.concatenate([drawn[index % _LINES] for index in range(batch)])
    sides = np.arange(batch, dtype=np.float32)[:, None] % 2
    turned = np.where(sides[:, :, None, None] > 0, lines[:, ::-1, ::-1], lines)
    both: Tensors = {"line": np.ascontiguousarray(turned), "upside_down": sides}
    return [{name: array[:1] for name, array in both.items()}, both]


def golden_tiles(batch: int, tile: tuple[int, int] | None = None) -> list[Tensors]:
    """Return requests of pages UINT8 [N, H, W, 3] with lines of text: of each shape one alone, of the first a batch.

    Where a detector takes one `tile` (height, width) only, all have that shape.
    """
    pages = [_page(height, width)[None] for height, width in (_TILES if tile is None else (tile,))]
    requests = [*pages, np.repeat(pages[0], batch, axis=0)]
    return [{"image": request} for request in requests]


def check_agreement(
    name: str,
    graph: Path,
    requests: Sequence[Tensors],
    run: Callable[[Tensors], Tensors],
    detection: DetectionThresholds | None = None,
) -> float:
    """Return the smallest part of a request's steps or pixels at which `run` answers as ONNX Runtime does.

    Steps agree if their best class is the same and its confidence within 0.05, pixels if they lie on the same side of
    the threshold of text, `detection.binarize`. Raises PlanError if that part is under 0.99, or an output is missing or
    of another shape.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    smallest = 1.0
    for request in requests:
        expected = dict(zip(names, session.run(names, dict(request)), strict=True))
        found = run(request)
        shapes = {output: found[output].shape if output in found else None for output in names}
        if any(shapes[output] != expected[output].shape for output in names):
            wanted = {output: tensor.shape for output, tensor in expected.items()}
            raise PlanError(f"the plan of {name} answers {shapes}, but its graph {wanted}: the plan is not used")
        part = _agreement(expected, found, (detection or DetectionThresholds()).binarize)
        if part < _MIN_AGREEMENT:
            raise PlanError(
                f"the plan of {name} agrees with ONNX Runtime at {part:.1%} of a golden picture, but "
                f"{_MIN_AGREEMENT:.0%} are needed: the plan is not used; serve the onnx profile on this GPU"
            )
        smallest = min(smallest, part)
    return smallest


def _agreement(expected: Tensors, found: Tensors, binarize: float) -> float:
    if "probability" in expected:
        threshold = binarize * 255
        return float(np.mean((expected["probability"] >= threshold) == (found["probability"] >= threshold)))
    same = expected["token"][..., 0] == found["token"][..., 0]
    # NaN is near to nothing.
    near = np.abs(expected["confidence"][..., 0] - found["confidence"][..., 0]) <= _CONFIDENCE_TOLERANCE
    return float(np.mean(same & near))


def _fitted(line: NDArray[np.uint8], width_pixels: int) -> NDArray[np.uint8]:
    missing = max(0, width_pixels - line.shape[2])
    return np.pad(line, ((0, 0), (0, 0), (0, missing), (0, 0)), constant_values=PAD_VALUE)[:, :, :width_pixels]


def _page(height: int, width: int) -> NDArray[np.uint8]:
    page = np.full((height, width, 3), _PAPER, dtype=np.uint8)
    margin = _ROW_PIXELS - LINE_HEIGHT_PIXELS
    tops = range(margin, height - LINE_HEIGHT_PIXELS, _ROW_PIXELS)
    for top, (line,) in zip(tops, draw_lines(len(tops), _SEED), strict=True):
        shown = line[:, : width - 2 * margin]
        page[top : top + LINE_HEIGHT_PIXELS, margin : margin + shown.shape[1]] = shown
    return page
