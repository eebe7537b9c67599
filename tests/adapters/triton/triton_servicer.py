"""A Triton in this process: real gRPC, scripted answers.

Its one model, `text_detector`, returns a picture's first channel.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Self

import grpc
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

MODEL: Final = "text_detector"
OPTIONS: Final = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
DICTIONARY: Final = ["", "a", "ß", "漢"]


@dataclass(frozen=True)
class Fails:
    """The next request ends with this status."""

    status: grpc.StatusCode
    text: str


@dataclass(frozen=True)
class Answers:
    """The next request gets these very bytes of a ModelInferResponse."""

    response: Any


@dataclass(frozen=True)
class Hangs:
    """The next request gets no answer until it is cancelled or late."""


Step = Fails | Answers | Hangs


class ScriptedTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Serves MODEL; each request takes one step off `script` first, and is answered properly where there is none."""

    def __init__(self, *script: Step) -> None:
        self.script: deque[Step] = deque(script)
        self.always: Step | None = None
        self.requests: list[Any] = []
        self.cancelled = asyncio.Event()
        self.arrived = asyncio.Event()
        self.now_running = 0
        self.most_running = 0
        self.is_ready = True
        self.described_as: Fails | None = None
        self.in_turn: deque[str] = deque()  # versions of servers behind this address that answer questions in turn
        self.pause_seconds = 0.0
        self.port = 0
        self.credentials: grpc.ServerCredentials | None = None
        self.host = "127.0.0.1"
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on a free port, or on the same one as before."""
        self._server = grpc.aio.server(options=(*OPTIONS, ("grpc.so_reuseport", 0)))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        if self.credentials is None:
            self.port = self._server.add_insecure_port(f"{self.host}:{self.port}")
        else:
            self.port = self._server.add_secure_port(f"{self.host}:{self.port}", self.credentials)
        await self._server.start()

    async def stop(self) -> None:
        """Drop all connections at once, as a killed server does."""
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802, ARG002 - generated names
        return service_pb2.ServerReadyResponse(ready=self.is_ready)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        await self._known(request.name, context)
        answer = service_pb2.ModelMetadataResponse(name=MODEL, versions=[self._turn()] if self.in_turn else ["2", "10"])
        answer.inputs.add(name="image", datatype="UINT8", shape=[-1, -1, -1, 3])
        answer.outputs.add(name="probability", datatype="UINT8", shape=[-1, -1, -1])
        return answer

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        await self._known(request.name, context)
        config = model_config_pb2.ModelConfig(name=MODEL, max_batch_size=4)
        config.parameters["dictionary"].string_value = json.dumps(DICTIONARY, ensure_ascii=False)
        if self.in_turn:
            version = self._turn()
            config.parameters["version"].string_value = version
            if request.version not in {"", version}:
                text = f"Request for unknown model: '{MODEL}' version {request.version} is not found"
                await context.abort(grpc.StatusCode.NOT_FOUND, text)
        return service_pb2.ModelConfigResponse(config=config)

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        self.requests.append(request)
        self.arrived.set()
        self.now_running += 1
        self.most_running = max(self.most_running, self.now_running)
        try:
            await asyncio.sleep(self.pause_seconds)
            step = self.script.popleft() if self.script else self.always
            return await self._take(step, request, context)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.now_running -= 1

    def _turn(self) -> str:
        self.in_turn.rotate(-1)
        return self.in_turn[-1]

    async def _take(self, step: Step | None, request: Any, context: Any) -> Any:  # noqa: ANN401
        if isinstance(step, Answers):
            return step.response
        if isinstance(step, Hangs):
            await asyncio.Event().wait()
        if isinstance(step, Fails):
            await context.abort(step.status, step.text)
        await self._known(request.model_name, context)
        if request.model_version not in {"", "10"}:
            text = f"Request for unknown model: '{MODEL}' version {request.model_version} is not found"
            await context.abort(grpc.StatusCode.NOT_FOUND, text)
        return await _first_channel(request, context.abort)

    async def _known(self, name: str, context: Any) -> None:  # noqa: ANN401
        if self.described_as is not None:
            await context.abort(self.described_as.status, self.described_as.text)
        if name != MODEL:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")


async def _first_channel(request: Any, abort: Callable[[Any, str], Awaitable[None]]) -> Any:  # noqa: ANN401
    if [described.name for described in request.inputs] != ["image"] or request.inputs[0].datatype != "UINT8":
        await abort(grpc.StatusCode.INVALID_ARGUMENT, f"expected input 'image' UINT8 for model '{MODEL}'")
    unknown = [described.name for described in request.outputs if described.name != "probability"]
    if unknown:
        await abort(grpc.StatusCode.INVALID_ARGUMENT, f"unexpected inference output '{unknown[0]}'")
    pixels = np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(tuple(request.inputs[0].shape))
    return answer_of(np.ascontiguousarray(pixels[..., 0]))


def answer_of(probability: np.ndarray[Any, Any], *, datatype: str = "UINT8", name: str = "probability") -> Any:  # noqa: ANN401
    """Return a ModelInferResponse with one output."""
    answer = service_pb2.ModelInferResponse(model_name=MODEL, model_version="10")
    answer.outputs.add(name=name, datatype=datatype, shape=list(probability.shape))
    answer.raw_output_contents.append(probability.tobytes())
    return answer
