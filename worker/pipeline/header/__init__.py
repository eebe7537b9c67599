"""What pictures claim to be, by format."""

from worker.pipeline.header.reading import read_header

__all__ = ["read_header"]
