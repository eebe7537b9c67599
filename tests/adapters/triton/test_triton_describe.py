"""What a model's configuration says of how it is run."""

from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2

from worker.adapters.triton.describe import description
from worker.ports import ServingCapacity


def capacity(config: str) -> ServingCapacity | None:
    parsed: Any = text_format.Parse(config, model_config_pb2.ModelConfig())
    return description(service_pb2.ModelMetadataResponse(name="model", versions=["1"]), parsed).capacity


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("max_batch_size: 4 dynamic_batching {} instance_group { count: 2 kind: KIND_CPU }", ServingCapacity(2, 1)),
        ("max_batch_size: 64 dynamic_batching {} instance_group { count: 1 kind: KIND_GPU }", ServingCapacity(1, 64)),
        (
            "max_batch_size: 8 dynamic_batching {} instance_group { count: 2 kind: KIND_GPU gpus: [0, 1, 3] }",
            ServingCapacity(6, 8),
        ),
        ("max_batch_size: 8 instance_group { count: 3 kind: KIND_GPU }", ServingCapacity(3, 1)),
        ("dynamic_batching {} instance_group { count: 1 kind: KIND_GPU }", ServingCapacity(1, 1)),
        (
            "instance_group { count: 2 kind: KIND_CPU } instance_group { count: 4 kind: KIND_CPU passive: true }",
            ServingCapacity(2, 1),
        ),
        ("platform: 'ensemble' max_batch_size: 16", None),
    ],
    ids=["CPU", "GPU", "several GPUs", "no batches", "no rows", "passive", "ensemble"],
)
def test_a_model_says_how_many_of_it_run_and_what_fills_them(config: str, expected: ServingCapacity | None) -> None:
    assert capacity(config) == expected
