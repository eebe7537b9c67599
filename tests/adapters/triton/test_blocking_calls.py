"""What is asked outside a loop, statistics and configurations, of a server with TLS."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.adapters.blob.https_server import make_certificate
from worker.adapters.triton.channel import addresses
from worker.adapters.triton.serving import read_serving
from worker.adapters.triton.statistics import ModelTimes, read_times
from worker.domain.errors import ErrorCode, JobError
from worker.settings import TritonSettings


class _Triton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated code without types
    """Serves one model, which has answered three requests in one batch."""

    def ModelStatistics(self, _request: object, _context: object) -> Any:  # noqa: ANN401, N802 - generated names
        answer = service_pb2.ModelStatisticsResponse()
        model = answer.model_stats.add(name="text_detector", inference_count=3, execution_count=1)
        model.inference_stats.queue.count, model.inference_stats.queue.ns = 3, 6_000_000_000
        model.inference_stats.compute_infer.count, model.inference_stats.compute_infer.ns = 3, 9_000_000_000
        model.inference_stats.compute_input.count, model.inference_stats.compute_input.ns = 3, 3_000_000_000
        batch = model.batch_stats.add(batch_size=3)
        batch.compute_infer.count, batch.compute_infer.ns = 1, 3_000_000_000
        batch.compute_input.count, batch.compute_input.ns = 1, 1_000_000_000
        return answer

    def ModelConfig(self, _request: object, _context: object) -> Any:  # noqa: ANN401, N802 - generated names
        answer = service_pb2.ModelConfigResponse()
        answer.config.name, answer.config.backend, answer.config.max_batch_size = "text_detector", "onnxruntime", 4
        answer.config.instance_group.add(count=2, kind=2)
        return answer


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[TritonSettings]:
    made = make_certificate(tmp_path)
    server = grpc.server(ThreadPoolExecutor(1))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Triton(), server)
    tls = grpc.ssl_server_credentials([(made.key.read_bytes(), made.certificate.read_bytes())])
    port = server.add_secure_port("localhost:0", tls)
    server.start()
    yield TritonSettings(url=f"localhost:{port}", tls=True, tls_root_certificates=str(tmp_path / "authority.pem"))
    server.stop(0).wait()


def test_the_time_of_a_batch_counts_once_and_waiting_for_each_request(settings: TritonSettings) -> None:
    assert read_times(settings) == {
        "text_detector": ModelTimes(
            requests=3,
            items=3,
            executions=1,
            queued=6.0,
            copied=1.0,
            computed=3.0,
            waited_copying=3.0,
            waited_computing=9.0,
        )
    }


def test_a_configuration_is_read(settings: TritonSettings) -> None:
    serving = read_serving(settings, "text_detector")
    assert serving is not None
    assert (serving.backend, serving.devices, serving.instances) == ("onnxruntime", frozenset({"cpu"}), 2)
    assert not serving.is_batched


def test_who_does_not_answer_is_named_in_one_sentence(settings: TritonSettings) -> None:
    plain = settings.model_copy(update={"tls": False})
    for ask in (lambda: read_times(plain), lambda: read_serving(plain, "text_detector")):
        with pytest.raises(JobError) as raised:
            ask()
        assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE
        assert str(raised.value).startswith(f"Triton at {settings.url} did not ")
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (TritonSettings(url="dns:///headless:8001"), ["10.0.0.1:8001", "10.0.0.2:8001"]),
        (TritonSettings(url="headless:8001"), ["10.0.0.1:8001", "10.0.0.2:8001"]),
        (TritonSettings(url="dns:///headless:8001", tls=True), ["dns:///headless:8001"]),
        (TritonSettings(url="single:8001"), ["single:8001"]),
        (TritonSettings(url="absent:8001"), ["absent:8001"]),
        (TritonSettings(url="unix:/run/triton.sock"), ["unix:/run/triton.sock"]),
    ],
)
def test_each_server_behind_a_name_has_an_address(settings: TritonSettings, found: list[str]) -> None:
    zone = {"headless": ["10.0.0.2", "10.0.0.1", "10.0.0.1"], "single": ["10.0.0.3"]}

    def resolve(host: str, port: int, *_: object) -> list[Any]:
        if host not in zone:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in zone[host]]

    assert addresses(settings, resolve) == found


def test_the_systems_own_resolver_is_asked() -> None:
    assert addresses(TritonSettings(url="127.0.0.1:8001")) == ["127.0.0.1:8001"]
