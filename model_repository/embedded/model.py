# noqa: INP001  Triton loads this file by its path
"""Triton's python backend as a shell around OpenVINO: one ONNX graph, one thread, no Python beside it.

Invariant: a row's result does not depend on the rows that it is batched with. Requests of any shapes may come in one
batch; rows of one shape are inferred together, whichever requests they are of, but only in chunks of 1, 2, 4 … rows
up to `chunk_pixels`: a CPU gains nothing from more, and each new shape of a chunk costs a compilation.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino
import triton_python_backend_utils as pb_utils

# A thread that OpenVINO pins shares its core with the pinned thread of every other instance: half the machine idles.
_COMPILE_OPTIONS = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,
}


class TritonPythonModel:
    """One instance of one model; Triton runs each in a process of its own."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Compile the graph."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        self._chunk_pixels = int(parameters["chunk_pixels"])
        options = _COMPILE_OPTIONS | {
            "INFERENCE_NUM_THREADS": int(parameters["threads"]),
            "INFERENCE_PRECISION_HINT": parameters["inference_precision"],
        }
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        compiled = openvino.Core().compile_model(str(graph), "CPU", options)
        self._request = compiled.create_infer_request()

    def execute(self, requests: "Sequence[pb_utils.InferenceRequest]") -> "list[pb_utils.InferenceResponse]":
        """Answer each request, in order; a failure is told to the requests of its shape only."""
        arrays = [
            [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs]
            for request in requests
        ]
        alike: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for index, tensors in enumerate(arrays):
            alike.setdefault(tuple(tensor.shape[1:] for tensor in tensors), []).append(index)
        responses = {}
        for indices in alike.values():
            answers = self._answer([arrays[index] for index in indices])
            responses.update(zip(indices, answers, strict=True))
        return [responses[index] for index in range(len(requests))]

    def _answer(self, requests: Sequence[Sequence[np.ndarray]]) -> "list[pb_utils.InferenceResponse]":
        """Answer requests whose rows have one shape."""
        try:
            outputs = self._infer([_join(tensors) for tensors in zip(*requests, strict=True)])
        except Exception as error:  # noqa: BLE001  the next batch may be a sound one
            # One error for each response: Triton 2.51 ends with signal 11 where two of them share one.
            said = f"OpenVINO could not infer: {error}"
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(said)) for _ in requests]
        ends = np.cumsum([len(tensors[0]) for tensors in requests])[:-1]
        parts = zip(*(np.split(output, ends) for output in outputs), strict=True)
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(name, part) for name, part in zip(self._outputs, row_parts, strict=True)]
            )
            for row_parts in parts
        ]

    def _infer(self, tensors: Sequence[np.ndarray]) -> list[np.ndarray]:
        rows, height, width = tensors[0].shape[:3]
        chunks = []
        for start, end in _chunks(rows, self._chunk_pixels // (height * width)):
            feed = {
                name: openvino.Tensor(tensor[start:end], shared_memory=True)
                for name, tensor in zip(self._inputs, tensors, strict=True)
            }
            self._request.infer(feed)
            chunks.append([self._request.get_tensor(name).data.copy() for name in self._outputs])
        return [_join(parts) for parts in zip(*chunks, strict=True)]


def _chunks(rows: int, limit: int) -> Iterator[tuple[int, int]]:
    """Cut a number of rows into powers of two, none over the limit unless it is one row."""
    start = 0
    while start < rows:
        most = max(1, min(rows - start, limit))
        end = start + (1 << (most.bit_length() - 1))
        yield start, end
        start = end


def _join(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
