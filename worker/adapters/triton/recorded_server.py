"""A recorded Triton in a process of its own: `python -m worker.adapters.triton.recorded_server FOLDER PORT`.

It describes the models of a recording and answers each request out of it, at next to no cost. Invariant: no request is
answered by anything but the recording; one that holds a row which was not recorded is refused.
"""

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from worker.adapters.triton.recording import read_models, read_rows, row_keys
from worker.adapters.triton.wire import AnswerError, input_arrays

_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.so_reuseport", 0),
)


class RecordedTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Serves what `read_models` and `read_rows` return."""

    def __init__(self, models: Mapping[str, tuple[Any, Any]], rows: Mapping[bytes, Any]) -> None:
        self._models = models
        self._rows = rows

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802, ARG002 - generated names
        """Say yes."""
        return service_pb2.ServerReadyResponse(ready=True)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        """Describe a model's tensors."""
        return (await self._model(request.name, request.version, context))[0]

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        """Return a model's config."""
        return (await self._model(request.name, request.version, context))[1]

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        """Put a request's answer together from its rows."""
        metadata, _ = await self._model(request.model_name, request.model_version, context)
        try:
            tensors = input_arrays(request)
        except (AnswerError, ValueError) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        keys = list(row_keys(request.model_name, tensors))
        rows = [self._rows[key] for key in keys if key in self._rows]
        if not rows or len(rows) < len(keys):
            shapes = [tensor.shape for tensor in tensors]
            text = f"a row of {request.model_name}, inputs {shapes}, was not recorded"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        answer = service_pb2.ModelInferResponse(
            model_name=request.model_name, model_version=metadata.versions[0], id=request.id
        )
        for number, output in enumerate(rows[0].outputs):
            described = answer.outputs.add(name=output.name, datatype=output.datatype)
            described.shape.extend([len(rows), *output.shape])
            answer.raw_output_contents.append(b"".join(row.raw_output_contents[number] for row in rows))
        return answer

    async def _model(self, name: str, version: str, context: Any) -> tuple[Any, Any]:  # noqa: ANN401
        found = self._models.get(name)
        if found is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        elif version not in {"", found[0].versions[0]}:
            text = f"Request for unknown model: '{name}' version {version} is not found"
            await context.abort(grpc.StatusCode.NOT_FOUND, text)
        else:
            return found
        raise AssertionError("abort raises")


async def serve(folder: Path, port: int) -> None:
    """Answer on 127.0.0.1 until SIGTERM or SIGINT. Raises RecordingError if there is no recording."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = grpc.aio.server(options=_OPTIONS)
    servicer = RecordedTriton(read_models(folder), read_rows(folder))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await stopping.wait()
    await server.stop(grace=None)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
