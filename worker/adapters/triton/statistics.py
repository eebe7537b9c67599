"""Triton's own counts: requests, executions and their batch sizes, by model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from worker.adapters.triton.channel import target
from worker.domain.errors import ErrorCode, JobError

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
    """Where a model's requests spent their time since its server started, in seconds, all versions together.

    `items` were computed in `executions`; a request waits (`queue`), its tensors are copied (`transfer`) and computed.
    """

    items: int = 0
    executions: int = 0
    queue: float = 0.0
    transfer: float = 0.0
    compute: float = 0.0

    def since(self, earlier: "ModelTimes") -> "ModelTimes":
        """Return what was spent after `earlier`."""
        return ModelTimes(
            items=self.items - earlier.items,
            executions=self.executions - earlier.executions,
            queue=self.queue - earlier.queue,
            transfer=self.transfer - earlier.transfer,
            compute=self.compute - earlier.compute,
        )


def read_times(url: str) -> dict[str, ModelTimes]:
    """Return where the requests of every model spent their time. Raises JobError if the server does not answer."""
    answer = _ask(url, "ModelStatistics", service_pb2.ModelStatisticsRequest())
    found: dict[str, ModelTimes] = {}
    for model in answer.model_stats:
        before, spent = found.get(model.name, ModelTimes()), model.inference_stats
        found[model.name] = ModelTimes(
            items=before.items + int(model.inference_count),
            executions=before.executions + int(model.execution_count),
            queue=before.queue + spent.queue.ns / _NANOSECONDS,
            transfer=before.transfer + (spent.compute_input.ns + spent.compute_output.ns) / _NANOSECONDS,
            compute=before.compute + spent.compute_infer.ns / _NANOSECONDS,
        )
    return found


def server_version(url: str) -> str:
    """Return the version that a server says it is of. Raises JobError if it does not answer."""
    return str(_ask(url, "ServerMetadata", service_pb2.ServerMetadataRequest()).version)


def read_statistics(url: str) -> dict[str, ModelStatistics]:
    """Return the counts of every model of a server. Raises JobError if the server does not answer."""
    answer = _ask(url, "ModelStatistics", service_pb2.ModelStatisticsRequest())
    found: dict[str, ModelStatistics] = {}
    for model in answer.model_stats:
        counted = ModelStatistics(
            requests=int(model.inference_stats.success.count),
            executions=int(model.execution_count),
            batches={int(one.batch_size): int(one.compute_infer.count) for one in model.batch_stats},
        )
        found[model.name] = found.get(model.name, ModelStatistics()).plus(counted)
    return found


def _ask(url: str, method: str, request: Any) -> Any:  # noqa: ANN401 - protobuf's classes have no types
    with grpc.insecure_channel(target(url)) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            return getattr(stub, method)(request, timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            message = f"Triton at {url} did not answer {method}: {error}."
            raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, message) from error
