"""Runs a plan once on the first GPU of this host, to compare what it reads with what its graph reads.

Invariant: device memory is had from the driver itself (`libcuda.so.1`), so that a build needs no CUDA package for
Python; it is given back whatever happens.
"""

import ctypes
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from worker.models.tensorrt_builder import PlanError, builder_log, import_tensorrt, in_one_line

DRIVER: Final = "libcuda.so.1"
_DEFAULT_STREAM: Final = 0
_FREE: Final = -1
# The library ships no types.
_Library = Any
_Engine = Any


def run_plan(
    plan: bytes, inputs: Mapping[str, NDArray[Any]], *, library: _Library = None, driver: str = DRIVER
) -> dict[str, NDArray[Any]]:
    """Return all outputs of a plan for `inputs`, each C-contiguous with the batch in front.

    `library` is `tensorrt` and `driver` NVIDIA's, unless others of their kind are given. Raises PlanError if there is
    no driver, or if TensorRT does not load or run the plan.
    """
    library = library or import_tensorrt()
    with DeviceMemory(driver) as memory:
        log = builder_log(library)
        engine = library.Runtime(log).deserialize_cuda_engine(plan)
        if engine is None:
            raise PlanError(
                f"TensorRT {library.__version__} does not load the plan ({in_one_line(log.errors)}): build it with the "
                "TensorRT and the GPU that are to run it"
            )
        context = engine.create_execution_context()
        for name, array in inputs.items():
            # False without more words: a shape outside of the profile, or a name that the plan does not have.
            if not context.set_input_shape(name, array.shape):
                raise PlanError(
                    f"the plan takes no {name} of {list(array.shape)} ({in_one_line(log.errors)}): give a shape of its "
                    "profile"
                )
            context.set_tensor_address(name, memory.upload(array))
        outputs = {name: _empty(library, engine, context, name) for name in _output_names(library, engine)}
        addresses = {name: memory.allocate(array.nbytes) for name, array in outputs.items()}
        for name, address in addresses.items():
            context.set_tensor_address(name, address)
        if not context.execute_async_v3(_DEFAULT_STREAM):
            raise PlanError(f"TensorRT {library.__version__} does not run the plan ({in_one_line(log.errors)})")
        memory.synchronize()
        for name, address in addresses.items():
            memory.download(address, outputs[name])
    return outputs


def _output_names(library: _Library, engine: _Engine) -> list[str]:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    return [name for name in names if engine.get_tensor_mode(name) == library.TensorIOMode.OUTPUT]


def _empty(library: _Library, engine: _Engine, context: Any, name: str) -> NDArray[Any]:  # noqa: ANN401
    shape = tuple(context.get_tensor_shape(name))
    if _FREE in shape:
        raise PlanError(f"the size of the plan's output {name} is not known before it runs ({list(shape)})")
    return np.empty(shape, dtype=library.nptype(engine.get_tensor_dtype(name)))


class DeviceMemory:
    """Memory of GPU 0 in its primary context, the one that TensorRT uses; all of it is freed at the end of a `with`."""

    def __init__(self, driver: str = DRIVER) -> None:
        self._driver_name = driver
        self._driver: Any = None
        self._addresses: list[int] = []

    def __enter__(self) -> Self:
        try:
            self._driver = ctypes.CDLL(self._driver_name)
        except OSError as error:
            raise PlanError(
                f"the NVIDIA driver's {self._driver_name} does not load ({error}): run plans on a host with a GPU"
            ) from error
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuInit", ctypes.c_uint(0))
        self._call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The primary context stays until the process ends: TensorRT's own objects may live on for a while.
        for address in self._addresses:
            self._call("cuMemFree_v2", ctypes.c_uint64(address))
        self._addresses.clear()

    def allocate(self, size_bytes: int) -> int:
        """Return the device address of so many bytes. Raises PlanError if there are not so many."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(1, size_bytes)))
        self._addresses.append(address.value)
        return address.value

    def upload(self, array: NDArray[Any]) -> int:
        """Copy an array to the device and return its address there. Raises PlanError."""
        contiguous = np.ascontiguousarray(array)
        address = self.allocate(contiguous.nbytes)
        host = ctypes.c_void_p(contiguous.ctypes.data)
        self._call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), host, ctypes.c_size_t(contiguous.nbytes))
        return address

    def download(self, address: int, array: NDArray[Any]) -> None:
        """Fill a C-contiguous array from the device. Raises PlanError."""
        host = ctypes.c_void_p(array.ctypes.data)
        self._call("cuMemcpyDtoH_v2", host, ctypes.c_uint64(address), ctypes.c_size_t(array.nbytes))

    def synchronize(self) -> None:
        """Wait until the device has done all that it was asked for. Raises PlanError if something of that failed."""
        self._call("cuCtxSynchronize")

    def _call(self, function: str, *arguments: object) -> None:
        status = getattr(self._driver, function)(*arguments)
        if status != 0:
            raise PlanError(f"the NVIDIA driver refuses {function} (CUDA error {status}): see that the GPU is free")
