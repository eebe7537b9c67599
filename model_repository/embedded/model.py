# noqa: INP001  Triton loads this file by its path
"""Triton's python backend as a shell around OpenVINO: one ONNX graph, one thread, no Python beside it.

Invariant: every row of a request is inferred by itself, so a row's result cannot depend on its batch. On a CPU this
costs nothing (time follows the pixels), and it keeps the shapes that OpenVINO has to compile for few. Requests of any
shapes may come in one batch.
"""

import json
from collections.abc import Mapping, Sequence
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
        """Compile the graph, or load it from the compile cache."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        folder = Path(args["model_repository"]) / args["model_version"]
        core = openvino.Core()
        if cache := parameters.get("compile_cache"):
            core.set_property({"CACHE_DIR": str(folder / cache)})
        options = _COMPILE_OPTIONS | {"INFERENCE_NUM_THREADS": int(parameters["threads"])}
        if parameters["inference_precision"] != "auto":
            options["INFERENCE_PRECISION_HINT"] = parameters["inference_precision"]
        compiled = core.compile_model(core.read_model(folder / "model.onnx"), "CPU", options)
        self._request = compiled.create_infer_request()

    def execute(self, requests: "Sequence[pb_utils.InferenceRequest]") -> "list[pb_utils.InferenceResponse]":
        """Answer each request, in order; a request that fails gets an error of its own."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: "pb_utils.InferenceRequest") -> "pb_utils.InferenceResponse":
        try:
            arrays = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs]
            outputs = self._infer_rows(arrays)
        except Exception as error:  # noqa: BLE001  one request's failure is not its batch's
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"OpenVINO could not infer: {error}"))
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, output) for name, output in zip(self._outputs, outputs, strict=True)]
        )

    def _infer_rows(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        rows = []
        for row in range(len(arrays[0])):
            feed = {
                name: openvino.Tensor(array[row : row + 1], shared_memory=True)
                for name, array in zip(self._inputs, arrays, strict=True)
            }
            self._request.infer(feed)
            rows.append([self._request.get_tensor(name).data.copy() for name in self._outputs])
        return [np.concatenate(column) for column in zip(*rows, strict=True)]
