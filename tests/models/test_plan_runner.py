"""How a plan is run: what the driver and TensorRT's runtime are asked, with stand-ins for both that keep to memory.

The driver is a library in C, so that arguments are passed as to the real one. No GPU computes anything here.
"""

import ctypes
import shutil
import subprocess
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.drawing import draw_line
from tests.models.reference import onnxruntime_session
from worker.models.plan_runner import DeviceMemory, run_plan
from worker.models.tensorrt_builder import PlanError

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="a C compiler makes the driver")

DRIVER = """
#include <stdlib.h>
#include <string.h>
typedef unsigned long long address;
static int allocated, current;
int in_use(void) { return allocated; }
int cuInit(unsigned flags) { return flags; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = &current; return device; }
int cuCtxSetCurrent(void *context) { return context == &current ? 0 : 201; }
int cuMemAlloc_v2(address *where, size_t size) {
  if (size > 1 << 30) return 2;
  allocated++; *where = (address)malloc(size); return 0;
}
int cuMemFree_v2(address where) { allocated--; free((void *)where); return 0; }
int cuMemcpyHtoD_v2(address to, const void *from, size_t size) { memcpy((void *)to, from, size); return 0; }
int cuMemcpyDtoH_v2(void *to, address from, size_t size) { memcpy(to, (void *)from, size); return 0; }
int cuCtxSynchronize(void) { return 0; }
"""
_DTYPES: Mapping[str, "np.dtype[Any]"] = {
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(float)": np.dtype(np.float32),
    "tensor(int32)": np.dtype(np.int32),
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> str:
    library = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=DRIVER, text=True, check=True)
    return str(library)


def in_use(driver: str) -> int:
    return int(ctypes.CDLL(driver).in_use())


class IOMode(Enum):
    INPUT = 1
    OUTPUT = 2


class Logger:
    Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)


class EngineOfGraph:
    """An engine and its context over ONNX Runtime; tensors lie where the driver put them."""

    def __init__(self, graph: bytes) -> None:
        self._session = onnxruntime_session(graph)
        every = (*self._session.get_inputs(), *self._session.get_outputs())
        self._tensors: dict[str, Any] = {str(tensor.name): tensor for tensor in every}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self.num_io_tensors = len(self._tensors)

    def create_execution_context(self) -> "EngineOfGraph":
        return self

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> IOMode:
        return IOMode.INPUT if name in {tensor.name for tensor in self._session.get_inputs()} else IOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> "np.dtype[Any]":
        return _DTYPES[self._tensors[name].type]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        batch, _, width, _ = self._shapes["line"]
        return (batch, width // 8, self._tensors[name].shape[2])

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return shape[0] <= 64

    def set_tensor_address(self, name: str, address: int) -> None:
        self._addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        inputs = {name: self._at(name, shape) for name, shape in self._shapes.items()}
        names = [output.name for output in self._session.get_outputs()]
        for name, answer in zip(names, self._session.run(names, inputs), strict=True):
            self._at(name, answer.shape)[...] = answer
        return stream == 0

    def _at(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        dtype = self.get_tensor_dtype(name)
        buffer = (ctypes.c_uint8 * (int(np.prod(shape)) * dtype.itemsize)).from_address(self._addresses[name])
        placed: NDArray[Any] = np.ctypeslib.as_array(buffer).view(dtype).reshape(shape)
        return placed


class RuntimeOfGraphs:
    def __init__(self, log: object) -> None:
        self.log = log

    def deserialize_cuda_engine(self, plan: bytes) -> EngineOfGraph | None:
        if plan == b"of another version":
            self.log.log(1, "stdVersionRead failed.\n  Expected: 240, read: 239")  # type: ignore[attr-defined]
            return None
        return EngineOfGraph(plan)


LIBRARY = SimpleNamespace(
    __version__="10.5.0.18",
    ILogger=Logger,
    Runtime=RuntimeOfGraphs,
    TensorIOMode=IOMode,
    nptype=lambda dtype: dtype,
)


@pytest.fixture(scope="module")
def graph(onnx_repository: Path) -> bytes:
    (path,) = (onnx_repository / "text_recognizer").glob("*/model.onnx")
    return path.read_bytes()


def request_of(batch: int) -> Mapping[str, NDArray[Any]]:
    line = draw_line("1Z 999 AA1")
    return {"line": np.stack([line] * batch), "upside_down": np.zeros((batch, 1), dtype=np.float32)}


def test_a_plan_answers_as_its_graph_and_gives_all_memory_back(driver: str, graph: bytes) -> None:
    request = request_of(3)

    answer = run_plan(graph, request, library=LIBRARY, driver=driver)

    expected = onnxruntime_session(graph).run(["token", "confidence"], dict(request))
    np.testing.assert_array_equal(answer["token"], expected[0])
    np.testing.assert_array_equal(answer["confidence"], expected[1])
    assert in_use(driver) == 0


def test_a_part_of_a_larger_array_is_copied_right(driver: str, graph: bytes) -> None:
    request = dict(request_of(1))
    wide = np.concatenate([request["line"], request["line"]], axis=2)
    request["line"] = wide[:, :, : wide.shape[2] // 2]
    assert not request["line"].flags.c_contiguous

    answer = run_plan(graph, request, library=LIBRARY, driver=driver)

    np.testing.assert_array_equal(
        answer["token"], run_plan(graph, request_of(1), library=LIBRARY, driver=driver)["token"]
    )


def test_a_plan_that_does_not_load_is_refused_in_the_library_s_words(driver: str) -> None:
    with pytest.raises(PlanError, match=r"10\.5\.0\.18 does not load the plan \(stdVersionRead failed\. Expected: 240"):
        run_plan(b"of another version", request_of(1), library=LIBRARY, driver=driver)


def test_a_shape_outside_of_the_profile_is_refused_and_no_memory_is_lost(driver: str, graph: bytes) -> None:
    with pytest.raises(PlanError, match=r"the plan takes no line of \[65, 48, \d+, 3\]"):
        run_plan(graph, request_of(65), library=LIBRARY, driver=driver)
    assert in_use(driver) == 0


def test_too_little_memory_is_said(driver: str) -> None:
    with DeviceMemory(driver) as memory, pytest.raises(PlanError, match=r"refuses cuMemAlloc_v2 \(CUDA error 2\)"):
        memory.allocate((1 << 30) + 1)
