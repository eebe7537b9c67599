"""The real broker and the real Triton that the tests of the third ring share, one of each a session."""

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.real_kafka import demand_real_kafka
from tests.real_redis import demand_real_redis
from worker.local.kafka import KafkaServer
from worker.local.redis import RedisServer
from worker.local.triton import TritonServer

LONG = ("setup", "image")

# So that two runs of a commit agree, its tests draw the same values, but for a few: Hypothesis takes some from the
# modules that are imported. `make properties` draws others, also where the variable CI brings Hypothesis's own profile.
settings.register_profile("same values", derandomize=True, deadline=None)
settings.register_profile("other values", derandomize=False, max_examples=1000, deadline=None, print_blob=True)
settings.load_profile("same values")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that take minutes, unless `-m` names their mark."""
    asked: str = config.option.markexpr
    unasked = [mark for mark in LONG if mark not in asked]
    left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in unasked)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


class _RealFirst:
    """Runs files with tests on real servers first: they take minutes, and at the end other workers would wait."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Sort files, and leave the order within them as it is, which is random."""
        real = {item.path for item in items if item.get_closest_marker("real")}
        items.sort(key=lambda item: item.path not in real)


def pytest_configure(config: pytest.Config) -> None:
    """Register what has a hook that stands here already."""
    config.pluginmanager.register(_RealFirst())


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A real broker; topics are made by the tests, with names of their own."""
    demand_real_kafka()
    with KafkaServer(run_dir=tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis; tests take keys of their own, and leave it running."""
    demand_real_redis()
    with RedisServer(run_dir=tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def model_repository() -> Path:
    """The embedded profile with few graphs of fixed sizes, built once and kept while nothing of it changes."""
    from tests.embedded_few import few_static_shapes  # noqa: PLC0415  (onnx is slow to import)
    from worker.models.build import build_repository  # noqa: PLC0415

    return build_repository(few_static_shapes(), Path("build/model_repository/embedded-few"))


@pytest.fixture(scope="session")
def onnx_repository() -> Path:
    """The onnx profile for a CPU, built once and kept while nothing of it changes."""
    from worker.models.build import build_repository  # noqa: PLC0415  (onnx is slow to import)
    from worker.models.profiles import select_profile  # noqa: PLC0415

    return build_repository(select_profile("onnx", device="cpu"), Path("build/model_repository/onnx-cpu"))


@pytest.fixture(scope="session")
def onnx_on_gpu() -> Path:
    """The onnx profile for a GPU, built once and kept. Tests leave it as it is."""
    from worker.models.build import build_repository  # noqa: PLC0415  (onnx is slow to import)
    from worker.models.profiles import select_profile  # noqa: PLC0415

    return build_repository(select_profile("onnx", device="gpu"), Path("build/model_repository/onnx-gpu"))


@pytest.fixture(scope="session")
def triton(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A real Triton over the embedded profile. A test that stops or kills it starts it again."""
    with TritonServer(model_repository, run_dir=tmp_path_factory.mktemp("triton")) as server:
        yield server


@pytest.fixture(autouse=True)
def _living_triton(request: pytest.FixtureRequest) -> None:
    """Start the shared Triton again if it ended under an earlier test: that test fails, and not all that follow."""
    if "triton" in request.fixturenames:
        server: TritonServer = request.getfixturevalue("triton")
        if not server.is_ready():
            sys.stderr.write(f"Triton had ended before this test; its log is {server.log_path}\n")
            server.restart()


@pytest.fixture
def topic() -> str:
    """A topic name that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}"
