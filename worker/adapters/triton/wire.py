"""Requests to bytes, answers to arrays.

Invariant: a tensor's bytes are copied once on their way out, straight into the message that gRPC sends.

tritonclient's own `infer` copies them three times (`tobytes`, into the protobuf message, out of it again). A protobuf
message may be the concatenation of its parts, so here the small part is serialized by protobuf and the tensors are
joined to it as field 7, `raw_input_contents`. The client's CPU time for one request, measured against an echo server:
1.15 → 0.80 ms at 1 MB, 3.0 → 1.9 ms at 2.8 MB, 0.31 → 0.25 ms at 100 KB.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from worker.ports import InferenceRequest, Tensor

_DATATYPES: Final[dict[np.dtype[Any], str]] = {
    np.dtype(np.uint8): "UINT8",
    np.dtype(np.int32): "INT32",
    np.dtype(np.float32): "FP32",
}
_DTYPES: Final[dict[str, np.dtype[Any]]] = {datatype: dtype for dtype, datatype in _DATATYPES.items()}
_RAW_INPUT_CONTENTS: Final = bytes([7 << 3 | 2])
_SEVEN_BITS: Final = 0x7F


class AnswerError(Exception):
    """Triton's answer is not what was asked for."""


def encode(request: InferenceRequest, timeout_microseconds: int) -> bytes:
    """Serialize a request; the timeout is Triton's queue timeout, which can only shorten the configured one.

    Raises ValueError for a dtype other than uint8, int32 and float32.
    """
    head = service_pb2.ModelInferRequest(model_name=request.model, model_version=request.version, id=request.request_id)
    head.parameters["timeout"].int64_param = timeout_microseconds
    parts: list[bytes | memoryview] = []
    for name, tensor in request.inputs.items():
        described = head.inputs.add(name=name, datatype=datatype_of(name, tensor))
        described.shape.extend(tensor.shape)
        parts += (_RAW_INPUT_CONTENTS, _varint(tensor.nbytes), np.ascontiguousarray(tensor).data)
    for name in request.outputs:
        head.outputs.add(name=name)
    return b"".join((head.SerializeToString(), *parts))


def parse(answer: bytes) -> Any:  # noqa: ANN401 - protobuf's class is untyped
    """Return the ModelInferResponse in an answer's bytes. Raises AnswerError."""
    try:
        return service_pb2.ModelInferResponse.FromString(answer)
    except DecodeError as error:
        raise AnswerError("it is not a ModelInferResponse") from error


def decode(response: Any, outputs: Sequence[str]) -> Mapping[str, Tensor]:  # noqa: ANN401 - protobuf's class is untyped
    """Return the asked outputs of a ModelInferResponse as read-only arrays. Raises AnswerError."""
    indices = {described.name: index for index, described in enumerate(response.outputs)}
    return {name: _array(response, indices.get(name), name) for name in outputs}


def input_arrays(request: Any) -> list[Tensor]:  # noqa: ANN401 - protobuf's class is untyped
    """Return the inputs of a ModelInferRequest, in their order, as read-only arrays. Raises AnswerError."""
    return [
        _tensor(described, contents, f"input {described.name}")
        for described, contents in zip(request.inputs, request.raw_input_contents, strict=True)
    ]


def _array(response: Any, index: int | None, name: str) -> Tensor:  # noqa: ANN401
    if index is None:
        raise AnswerError(f"it lacks the output {name}")
    if index >= len(response.raw_output_contents):
        raise AnswerError(f"it has no raw contents for the output {name}")
    return _tensor(response.outputs[index], response.raw_output_contents[index], f"output {name}")


def _tensor(described: Any, contents: bytes, what: str) -> Tensor:  # noqa: ANN401
    dtype = _DTYPES.get(described.datatype)
    if dtype is None:
        raise AnswerError(f"its {what} is of type {described.datatype}")
    try:
        flat: Tensor = np.frombuffer(contents, dtype=dtype)
        return flat.reshape(tuple(described.shape))
    except ValueError as error:
        raise AnswerError(f"its {what} is not {list(described.shape)} of {described.datatype}") from error


def datatype_of(name: str, tensor: Tensor) -> str:
    """Return Triton's name of a tensor's type. Raises ValueError for a dtype other than uint8, int32 and float32."""
    datatype = _DATATYPES.get(tensor.dtype)
    if datatype is None:
        raise ValueError(f"the input {name} is of type {tensor.dtype}; uint8, int32 and float32 can be sent")
    return datatype


def _varint(number: int) -> bytes:
    # Protobuf's variable-length integers: seven bits a byte, lowest first, the top bit says that more follow.
    encoded = bytearray()
    while number > _SEVEN_BITS:
        encoded.append(number & _SEVEN_BITS | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
