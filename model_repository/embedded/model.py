# noqa: INP001  Triton loads this file by its path
"""Triton's python backend as a shell around OpenVINO: one ONNX graph of one input, one thread, no Python beside it.

Invariant: each row is inferred by itself, so its result depends on nothing but its pixels, and requests of any shapes
may come in one batch. For the shapes in `static_shapes` the graph is compiled once each, with every size fixed; there a
row costs the same alone as in a batch. Rows of other shapes go to one graph with free sizes.
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
_TURNED_ABOVE = 0.5


class TritonPythonModel:
    """One instance of one model; Triton runs each in a process of its own."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Compile the graph for each of the fixed shapes."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self._turned_where = parameters.get("turned_where")
        (self._input,) = (tensor["name"] for tensor in config["input"] if tensor["name"] != self._turned_where)
        self._outputs = [tensor["name"] for tensor in config["output"]]
        self._options = _COMPILE_OPTIONS | {
            "INFERENCE_NUM_THREADS": int(parameters["threads"]),
            "INFERENCE_PRECISION_HINT": parameters["inference_precision"],
        }
        self._core = openvino.Core()
        folder = Path(args["model_repository"]) / args["model_version"]
        self._graph = self._core.read_model(str(folder / "model.onnx"))
        shapes = json.loads(parameters["static_shapes"])
        self._fixed = {tuple(shape): self._compiled(shape) for shape in shapes}
        self._free: openvino.InferRequest | None = None

    def execute(self, requests: "Sequence[pb_utils.InferenceRequest]") -> "list[pb_utils.InferenceResponse]":
        """Answer each request, in order; a failure is told to its own request only."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: "pb_utils.InferenceRequest") -> "pb_utils.InferenceResponse":
        try:
            rows = [self._infer(row) for row in self._rows(request)]
        except Exception as error:  # noqa: BLE001  the next request may be a sound one
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"OpenVINO could not infer: {error}"))
        outputs = (parts[0] if len(rows) == 1 else np.concatenate(parts) for parts in zip(*rows, strict=True))
        return pb_utils.InferenceResponse(list(map(pb_utils.Tensor, self._outputs, outputs)))

    def _rows(self, request: "pb_utils.InferenceRequest") -> Iterator[np.ndarray]:
        """Yield what is inferred, with a first dimension of 1.

        Lines are turned by 180° here: in the graph every line would pay for the few that are turned.
        """
        pixels = pb_utils.get_input_tensor_by_name(request, self._input).as_numpy()
        turned = np.zeros(len(pixels), dtype=np.bool_)
        if self._turned_where is not None:
            sides = pb_utils.get_input_tensor_by_name(request, self._turned_where).as_numpy()
            turned = sides[:, 0] > _TURNED_ABOVE
        for row, is_turned in enumerate(turned.tolist()):
            yield np.ascontiguousarray(pixels[row : row + 1, ::-1, ::-1]) if is_turned else pixels[row : row + 1]

    def _infer(self, row: np.ndarray) -> list[np.ndarray]:
        """Return the outputs of one row. The graph with free sizes is compiled when it is first needed."""
        request = self._fixed.get(row.shape[1:]) or self._free
        if request is None:
            request = self._free = self._compiled(None)
        request.infer({self._input: openvino.Tensor(row, shared_memory=True)})
        return [request.get_tensor(name).data.copy() for name in self._outputs]

    def _compiled(self, shape: Sequence[int] | None) -> openvino.InferRequest:
        graph = self._graph.clone()
        if shape is not None:
            graph.reshape({self._input: [1, *shape]})
        return self._core.compile_model(graph, "CPU", self._options).create_infer_request()
