"""Pixels of pictures: whole pages, upright, and strips of pages that do not fit into memory."""

from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.decode.whole import decode, upright

__all__ = ["decode", "decode_strips", "upright"]
