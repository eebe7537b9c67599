"""PP-OCR's own pre- and post-processing in numpy, as the rewritten graphs must compute it."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray


def normalized(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """UINT8 [N, H, W, 3] to FP32 [N, 3, H, W] with mean 0.5 and deviation 0.5."""
    scaled = (pictures.astype(np.float32) / 255 - 0.5) / 0.5
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def run_original(session: Any, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: ANN401
    output: NDArray[np.float32] = session.run(None, {"x": normalized(pictures)})[0]
    return output


def decoded(tokens: NDArray[np.int32], dictionary: list[str]) -> str:
    """Greedy CTC: repeats collapse, class 0 is no character."""
    steps = [0, *tokens.tolist()]
    kept = [now for before, now in pairwise(steps) if now not in (0, before)]
    return "".join(dictionary[token] for token in kept)


def onnxruntime_session(model: Path | bytes) -> Any:  # noqa: ANN401
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
