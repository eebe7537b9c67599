import random

import grpc
import pytest

from worker.adapters.triton.translate import SendAgain, StopSending, classify, decide, full_jitter, job_error
from worker.domain.errors import ErrorCode
from worker.settings import TritonSettings

Status = grpc.StatusCode

# What operations say: status, text, the reason, how often it is sent again here, what the caller gets in the end.
TABLE = [
    (Status.UNAVAILABLE, "failed to connect to all addresses", "unreachable", 2, "INFERENCE_UNAVAILABLE"),
    (Status.UNAVAILABLE, "Socket closed", "unreachable", 2, "INFERENCE_UNAVAILABLE"),
    (Status.UNAVAILABLE, "Server is stopping, ...", "stopping", 3, "INFERENCE_UNAVAILABLE"),
    (Status.UNAVAILABLE, "Exceeds maximum queue size", "overloaded", 0, "INFERENCE_OVERLOADED"),
    (Status.UNAVAILABLE, "Request timeout expired", "overloaded", 0, "INFERENCE_OVERLOADED"),
    (Status.UNAVAILABLE, "'m' version 1 is not at ready state", "no_version", 3, "INFERENCE_UNAVAILABLE"),
    (Status.NOT_FOUND, "unknown model: 'm' has no available versions", "no_version", 3, "INFERENCE_UNAVAILABLE"),
    (Status.NOT_FOUND, "Request for unknown model: 'm' is not found", "unfit", 0, "INFERENCE_UNAVAILABLE"),
    (Status.NOT_FOUND, "Request for unknown model: 'm' version 7 is not found", "changed", 2, "MODELS_CHANGED"),
    (Status.UNIMPLEMENTED, "", "unfit", 0, "INFERENCE_UNAVAILABLE"),
    (Status.UNAUTHENTICATED, "", "denied", 0, "INFERENCE_UNAVAILABLE"),
    (Status.DEADLINE_EXCEEDED, "Deadline Exceeded", "deadline_exceeded", 1, "INFERENCE_FAILED"),
    (Status.CANCELLED, "", "cancelled", 1, "INFERENCE_FAILED"),
    (Status.INTERNAL, "stub process is not healthy", "internal", 1, "INFERENCE_FAILED"),
    (Status.UNKNOWN, "Stream removed", "other", 1, "INFERENCE_FAILED"),
    (Status.INVALID_ARGUMENT, "unexpected shape", "rejected", 0, "INFERENCE_REJECTED"),
    (Status.RESOURCE_EXHAUSTED, "Sent message larger than max (9 vs. 8)", "oversized", 0, "INFERENCE_REJECTED"),
    (Status.RESOURCE_EXHAUSTED, "rate limit", "overloaded", 0, "INFERENCE_OVERLOADED"),
]


@pytest.mark.parametrize(("status", "text", "reason", "resends", "code"), TABLE)
def test_each_status_has_its_action(status: grpc.StatusCode, text: str, reason: str, resends: int, code: str) -> None:
    if resends:
        last_resend = decide(status, text, resends)
        assert isinstance(last_resend, SendAgain)
        assert last_resend.fault.reason == reason
    end = decide(status, text, resends + 1)
    assert isinstance(end, StopSending)
    assert end.fault.reason == reason
    assert classify(status, text).code is ErrorCode[code]


def test_every_status_of_grpc_is_answered() -> None:
    assert all(isinstance(decide(status, "", 1), SendAgain | StopSending) for status in Status)


def test_pauses_double_and_all_of_them_take_less_than_a_second() -> None:
    actions = [decide(Status.UNAVAILABLE, "Server is stopping", failures) for failures in (1, 2, 3)]
    assert [action.longest_delay_seconds for action in actions if isinstance(action, SendAgain)] == [0.1, 0.2, 0.4]


def test_full_jitter_uses_the_whole_range() -> None:
    chance = random.Random(7)  # noqa: S311
    pauses = [full_jitter(0.4, chance) for _ in range(2000)]
    assert min(pauses) < 0.01
    assert max(pauses) > 0.39
    assert 0.19 < sum(pauses) / len(pauses) < 0.21


def test_the_sentence_names_server_model_status_and_remedy() -> None:
    error = grpc.aio.AioRpcError(
        Status.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="Exceeds maximum\nqueue  size."
    )
    sentence = str(job_error(error, settings=TritonSettings(url="triton:8001"), model="text_reader"))
    assert sentence == (
        "Triton at triton:8001 gave no answer for text_reader: UNAVAILABLE (Exceeds maximum queue size); "
        "Triton needs more capacity or fewer workers."
    )


def test_long_details_are_cut() -> None:
    error = grpc.aio.AioRpcError(Status.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata(), details="x" * 10_000)
    assert len(str(job_error(error, settings=TritonSettings(url="u"), model="m"))) < 450
