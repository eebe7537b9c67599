"""The real `InferenceBackend`: Triton over gRPC. Only this package imports tritonclient and grpc."""

from worker.adapters.triton.client import TritonBackend

__all__ = ["TritonBackend"]
