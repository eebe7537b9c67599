"""Triton's own counts: requests, executions and their batch sizes, by model."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from worker.adapters.triton.channel import blocking_channel, target
from worker.domain.errors import ErrorCode, JobError
from worker.settings import TritonSettings

_TIMEOUT_SECONDS: Final = 10.0
_NANOSECONDS: Final = 1e9


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """A model's counts since its server started, all versions together.

    `requests` were answered in `executions`; `batches` maps a batch size in items to the executions that had it.
    """

    requests: int = 0
    executions: int = 0
    batches: Mapping[int, int] = field(default_factory=dict)

    def since(self, earlier: "ModelStatistics") -> "ModelStatistics":
        """Return what was counted after `earlier`; sizes without an execution are left out."""
        batches = {size: count - earlier.batches.get(size, 0) for size, count in self.batches.items()}
        return ModelStatistics(
            requests=self.requests - earlier.requests,
            executions=self.executions - earlier.executions,
            batches={size: count for size, count in sorted(batches.items()) if count},
        )

    def plus(self, other: "ModelStatistics") -> "ModelStatistics":
        """Return both counts together."""
        sizes = sorted({*self.batches, *other.batches})
        return ModelStatistics(
            requests=self.requests + other.requests,
            executions=self.executions + other.executions,
            batches={size: self.batches.get(size, 0) + other.batches.get(size, 0) for size in sizes},
        )


@dataclass(frozen=True, slots=True)
class ModelTimes:
    """What a model did since its server started, all versions together; times are seconds.

    `requests` waited for `queued` together. `items` were computed in `executions`, whose tensors were copied in
    `copied` and computed in `computed`. `waited_copying` and `waited_computing` are the same as requests see it: the
    time of a batch counts for each request in it.
    """

    requests: int = 0
    items: int = 0
    executions: int = 0
    queued: float = 0.0
    copied: float = 0.0
    computed: float = 0.0
    waited_copying: float = 0.0
    waited_computing: float = 0.0

    def since(self, earlier: "ModelTimes") -> "ModelTimes":
        """Return what was done after `earlier`; nothing where the counts do not fit, as after a restart."""
        difference = ModelTimes(*(now - then for now, then in zip(astuple(self), astuple(earlier), strict=True)))
        return difference if min(astuple(difference)) >= 0 else ModelTimes()


def read_times(settings: TritonSettings) -> dict[str, ModelTimes]:
    """Return what every model did. Raises JobError if the server does not answer."""
    with blocking_channel(settings) as channel:
        answer = _ask(channel, settings.url, "ModelStatistics", service_pb2.ModelStatisticsRequest())
    found: dict[str, ModelTimes] = {}
    for model in answer.model_stats:
        before = found.get(model.name, ModelTimes())
        # The times of `inference_stats` count for each request of a batch; those of `batch_stats` once.
        batches, requests = model.batch_stats, model.inference_stats
        copied = requests.compute_input.ns + requests.compute_output.ns
        found[model.name] = ModelTimes(
            requests=before.requests + int(requests.queue.count),
            items=before.items + int(model.inference_count),
            executions=before.executions + int(model.execution_count),
            queued=before.queued + requests.queue.ns / _NANOSECONDS,
            copied=before.copied + sum(one.compute_input.ns + one.compute_output.ns for one in batches) / _NANOSECONDS,
            computed=before.computed + sum(one.compute_infer.ns for one in batches) / _NANOSECONDS,
            waited_copying=before.waited_copying + copied / _NANOSECONDS,
            waited_computing=before.waited_computing + requests.compute_infer.ns / _NANOSECONDS,
        )
    return found


def server_version(url: str) -> str:
    """Return the version that a server says it is of. Raises JobError if it does not answer."""
    with grpc.insecure_channel(target(url)) as channel:
        return str(_ask(channel, url, "ServerMetadata", service_pb2.ServerMetadataRequest()).version)


def read_statistics(url: str) -> dict[str, ModelStatistics]:
    """Return the counts of every model of a server. Raises JobError if the server does not answer."""
    with grpc.insecure_channel(target(url)) as channel:
        answer = _ask(channel, url, "ModelStatistics", service_pb2.ModelStatisticsRequest())
    found: dict[str, ModelStatistics] = {}
    for model in answer.model_stats:
        counted = ModelStatistics(
            requests=int(model.inference_stats.success.count),
            executions=int(model.execution_count),
            batches={int(one.batch_size): int(one.compute_infer.count) for one in model.batch_stats},
        )
        found[model.name] = found.get(model.name, ModelStatistics()).plus(counted)
    return found


def _ask(channel: grpc.Channel, url: str, method: str, request: Any) -> Any:  # noqa: ANN401 - protobuf's are untyped
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    try:
        return getattr(stub, method)(request, timeout=_TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        message = f"Triton at {url} did not answer {method} ({error.code().name}: {error.details()})."
        raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, message) from error
