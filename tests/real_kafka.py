"""What every test on a real Kafka asks for first."""

import os

import pytest

from worker.domain.errors import LocalStackError
from worker.local.stack import provision_kafka


def demand_real_kafka() -> None:
    """Fetch Kafka if it is missing; where it cannot be had, skip the test, or fail it in CI."""
    try:
        provision_kafka()
    except LocalStackError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has to run on a real Kafka: {error}")
        pytest.skip(f"no real Kafka here: {error}")
