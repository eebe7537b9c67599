"""Translates all gRPC errors: status → fault → action → `JobError`.

All of it is values. `classify` says what a status means, `decide` what to do about it, `job_error` what the caller gets
when nothing more is to be done here.
"""

import random
from dataclasses import dataclass
from typing import Final

import grpc

from worker.adapters.triton.connection_remedy import connection_remedy
from worker.domain.errors import ErrorCode, JobError
from worker.settings import TritonSettings

_LONGEST_DETAILS: Final = 300
_BACKOFF_INITIAL_SECONDS: Final = 0.1
_BACKOFF_MAX_SECONDS: Final = 0.4


@dataclass(frozen=True, slots=True)
class Fault:
    """A way in which a request can fail.

    `reason` is the label of the retry metric. `resends` is how often one request is sent again after it: enough to
    meet a sound connection or another server behind the same name, and no more. `code` is what the caller gets then.
    """

    reason: str
    code: ErrorCode
    resends: int
    remedy: str


_RUNS = "see that Triton runs and that LABELWIRE_TRITON__URL is right"
_FITS = "see that its model repository is the one that this worker was built for"

UNREACHABLE: Final = Fault("unreachable", ErrorCode.INFERENCE_UNAVAILABLE, 2, _RUNS)
STOPPING: Final = Fault("stopping", ErrorCode.INFERENCE_UNAVAILABLE, 3, _RUNS)
NO_VERSION: Final = Fault("no_version", ErrorCode.INFERENCE_UNAVAILABLE, 3, "see in Triton's log why it is not ready")
OVERLOADED: Final = Fault(
    "overloaded", ErrorCode.INFERENCE_OVERLOADED, 0, "Triton needs more capacity or fewer workers"
)
UNFIT: Final = Fault("unfit", ErrorCode.INFERENCE_UNAVAILABLE, 0, _FITS)
# Sent again, because behind one name some servers may have the new models already and others the old ones.
CHANGED: Final = Fault(
    "changed", ErrorCode.MODELS_CHANGED, 2, "the picture is read again with the models that are served now"
)
DENIED: Final = Fault("denied", ErrorCode.INFERENCE_UNAVAILABLE, 0, "see which access Triton wants of its clients")
LATE: Final = Fault("deadline_exceeded", ErrorCode.INFERENCE_FAILED, 1, "Triton may need more capacity")
CANCELLED: Final = Fault("cancelled", ErrorCode.INFERENCE_FAILED, 1, "see Triton's log")
BROKEN: Final = Fault("internal", ErrorCode.INFERENCE_FAILED, 1, "see Triton's log")
STRANGE: Final = Fault("other", ErrorCode.INFERENCE_FAILED, 1, "see Triton's log")
REJECTED: Final = Fault(
    "rejected", ErrorCode.INFERENCE_REJECTED, 0, "this picture gives tensors that the model refuses"
)
OVERSIZED: Final = Fault("oversized", ErrorCode.INFERENCE_REJECTED, 0, "raise LABELWIRE_TRITON__MAX_MESSAGE_BYTES")

_BY_STATUS: Final = {
    grpc.StatusCode.UNAVAILABLE: UNREACHABLE,
    grpc.StatusCode.NOT_FOUND: UNFIT,
    grpc.StatusCode.UNIMPLEMENTED: UNFIT,
    grpc.StatusCode.PERMISSION_DENIED: DENIED,
    grpc.StatusCode.UNAUTHENTICATED: DENIED,
    grpc.StatusCode.DEADLINE_EXCEEDED: LATE,
    grpc.StatusCode.CANCELLED: CANCELLED,
    grpc.StatusCode.INTERNAL: BROKEN,
    grpc.StatusCode.INVALID_ARGUMENT: REJECTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OVERLOADED,
}

# One status can mean several things; only Triton's text distinguishes them (as of 2.51).
_BY_TEXT: Final = (
    (grpc.StatusCode.UNAVAILABLE, "exceeds maximum queue size", OVERLOADED),
    (grpc.StatusCode.UNAVAILABLE, "request timeout expired", OVERLOADED),
    (grpc.StatusCode.UNAVAILABLE, "is stopping", STOPPING),
    (grpc.StatusCode.UNAVAILABLE, "not at ready state", NO_VERSION),
    (grpc.StatusCode.NOT_FOUND, "has no available versions", NO_VERSION),
    (grpc.StatusCode.NOT_FOUND, "not at ready state", NO_VERSION),
    (grpc.StatusCode.NOT_FOUND, "' version ", CHANGED),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max", OVERSIZED),
)


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Send the request again after a pause of full jitter between 0 and `longest_delay_seconds`."""

    fault: Fault
    longest_delay_seconds: float


@dataclass(frozen=True, slots=True)
class StopSending:
    """Send the request no more."""

    fault: Fault


Action = SendAgain | StopSending


def classify(status: grpc.StatusCode, text: str) -> Fault:
    """Return what a gRPC status and its text mean."""
    lowered = text.lower()
    for known_status, known_text, fault in _BY_TEXT:
        if status is known_status and known_text in lowered:
            return fault
    return _BY_STATUS.get(status, STRANGE)


def decide(status: grpc.StatusCode, text: str, failures: int) -> Action:
    """Say what to do after a request has failed.

    `failures` is how often this request has met this fault, this time included.
    """
    fault = classify(status, text)
    if failures > fault.resends:
        return StopSending(fault)
    return SendAgain(fault, min(_BACKOFF_MAX_SECONDS, _BACKOFF_INITIAL_SECONDS * 2.0 ** (failures - 1)))


def full_jitter(longest_seconds: float, chance: random.Random) -> float:
    """Return a pause in seconds (Brooker, "Exponential Backoff And Jitter", AWS 2015: full jitter)."""
    return chance.uniform(0.0, longest_seconds)


def status_and_text(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
    """Return an error's status and its text, shortened."""
    text = " ".join((error.details() or "").split())
    if len(text) > _LONGEST_DETAILS:
        text = text[:_LONGEST_DETAILS] + "…"
    return error.code(), text or "no details"


def job_error(error: grpc.aio.AioRpcError, *, settings: TritonSettings, model: str) -> JobError:
    """Return the error of the job whose request failed for good."""
    fault = classify(*status_and_text(error))
    return JobError(fault.code, f"Triton at {settings.url} gave no answer for {model}: {_cause(error, settings)}.")


def obstacle(error: grpc.aio.AioRpcError, settings: TritonSettings) -> str:
    """Return in a sentence why the server could not be asked whether it is ready."""
    return f"Triton at {settings.url} does not answer: {_cause(error, settings)}."


def is_precise(error: grpc.aio.AioRpcError, settings: TritonSettings) -> bool:
    """Say whether an error tells what is wrong with a connection, and not only that there is none."""
    return bool(connection_remedy(status_and_text(error)[1], settings))


def _cause(error: grpc.aio.AioRpcError, settings: TritonSettings) -> str:
    status, text = status_and_text(error)
    fault = classify(status, text)
    remedy = (connection_remedy(text, settings) if fault is UNREACHABLE else "") or fault.remedy
    return f"{status.name} ({text.rstrip('.')}); {remedy}"
