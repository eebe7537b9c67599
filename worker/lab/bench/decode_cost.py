"""What decoding alone costs: the yardstick for the worker's own work.

Measured as CPU seconds of one thread in OpenCV's decoder, best of three for each picture, so that a busy machine does
not make the yardstick longer.
"""

import time
from collections.abc import Iterable

import cv2
import numpy as np

_REPEATS = 3


def decode_cpu_seconds(pictures: Iterable[bytes]) -> float:
    """Return the mean CPU seconds to decode one of the pictures; 0 if there is none."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        costs = [min(_once(np.frombuffer(picture, np.uint8)) for _ in range(_REPEATS)) for picture in pictures]
    finally:
        cv2.setNumThreads(threads)
    return sum(costs) / len(costs) if costs else 0.0


def _once(encoded: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> float:
    started = time.thread_time()
    cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return time.thread_time() - started
