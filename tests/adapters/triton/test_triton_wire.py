from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from tests.adapters.triton.triton_servicer import answer_of
from worker.adapters.triton.wire import AnswerError, decode, encode, parse
from worker.ports import InferenceRequest

TENSORS = st.sampled_from([np.uint8, np.int32, np.float32]).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(max_dims=4, max_side=9))
)


@given(inputs=st.dictionaries(st.text(min_size=1, max_size=5), TENSORS, min_size=1, max_size=3))
def test_protobuf_reads_what_was_encoded(inputs: dict[str, Any]) -> None:
    payload = encode(InferenceRequest("model", inputs, ["a", "b"], request_id="job-7"), 1_500_000)
    read = service_pb2.ModelInferRequest.FromString(payload)
    assert (read.model_name, read.id, [asked.name for asked in read.outputs]) == ("model", "job-7", ["a", "b"])
    assert read.parameters["timeout"].int64_param == 1_500_000
    assert [described.name for described in read.inputs] == list(inputs)
    for described, raw, tensor in zip(read.inputs, read.raw_input_contents, inputs.values(), strict=True):
        assert raw == tensor.tobytes()
        assert tuple(described.shape) == tensor.shape


def test_a_view_that_is_not_contiguous_is_sent_in_its_own_order() -> None:
    page = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    view = page[None, 1:3, ::-1]
    payload = encode(InferenceRequest("m", {"image": view}, []), 1)
    assert service_pb2.ModelInferRequest.FromString(payload).raw_input_contents[0] == view.tobytes()


def test_a_long_tensor_is_framed_rightly() -> None:
    big = np.full((1, 3_000_000), 7, np.uint8)
    payload = encode(InferenceRequest("m", {"image": big, "more": big[:, :200]}, []), 1)
    sizes = [len(raw) for raw in service_pb2.ModelInferRequest.FromString(payload).raw_input_contents]
    assert sizes == [3_000_000, 200]


def test_another_dtype_is_refused_here() -> None:
    wide: Any = np.zeros((1, 2), np.float64)
    with pytest.raises(ValueError, match="float64"):
        encode(InferenceRequest("m", {"image": wide}, []), 1)


def test_only_what_was_asked_for_is_decoded() -> None:
    answer = answer_of(np.ones((1, 2), np.float32), datatype="FP32", name="confidence")
    answer.outputs.add(name="strange", datatype="BF16", shape=[1])
    answer.raw_output_contents.append(b"xx")
    decoded = decode(parse(answer.SerializeToString()), ["confidence"])
    assert list(decoded) == ["confidence"]
    assert decoded["confidence"].dtype == np.float32


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (answer_of(np.zeros((1, 2), np.uint8), name="other"), "lacks the output probability"),
        (answer_of(np.zeros((1, 2), np.uint8), datatype="BYTES"), "of type BYTES"),
        (answer_of(np.zeros((1, 2), np.uint8), datatype="INT32"), "is not"),
        (service_pb2.ModelInferResponse(outputs=[{"name": "probability"}]), "no raw contents"),
    ],
)
def test_an_answer_that_does_not_fit_is_an_error(answer: Any, complaint: str) -> None:  # noqa: ANN401
    with pytest.raises(AnswerError, match=complaint):
        decode(answer, ["probability"])


def test_an_answer_that_is_no_protobuf_is_an_error() -> None:
    with pytest.raises(AnswerError, match="ModelInferResponse"):
        parse(b"\xff\xff\xff")
