"""What the C library's allocator does with blocks once the worker has told it how, in a process of its own."""

import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
from worker.pipeline.malloc import return_large_blocks

return_large_blocks()
size = int(sys.argv[1])
kept = bytearray(1 << 20)


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


bytearray(size)
before = faults()
for _ in range(20):
    bytearray(size)
print(faults() - before)
"""


def printed_by(program: str, argument: str) -> int:
    """Return the number that a program prints."""
    command = [sys.executable, "-c", program, argument]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def faults_of_twenty_blocks(size_bytes: int) -> int:
    """Return how many pages were new to the process in twenty blocks, each freed before the next one."""
    return printed_by(_FAULTS, str(size_bytes))


def test_a_block_of_a_small_page_is_memory_at_hand() -> None:
    pages = 6 * 1024 * 1024 // 4096
    assert faults_of_twenty_blocks(6 * 1024 * 1024) < pages


def test_a_block_of_a_large_page_is_given_back_each_time() -> None:
    pages = 12 * 1024 * 1024 // 4096
    assert faults_of_twenty_blocks(12 * 1024 * 1024) > 19 * pages


_HOLES = """
import sys
import numpy as np
from tests.pipeline.strips_child import status_bytes
from worker.pipeline.decode.page_rows import StreamedRows
from worker.pipeline.malloc import return_free_memory, return_large_blocks

return_large_blocks()
strips = [np.zeros((512, 16, 3), dtype=np.uint8)] * 2
rows = StreamedRows(lambda: iter(strips), 16, 1024)
pins = []
blocks = []
for _ in range(50):
    blocks.append(bytearray(b"1") * (1 << 20))
    pins.append(bytearray(b"1") * (1 << 15))
blocks.clear()
before = status_bytes("VmRSS")
return_free_memory() if sys.argv[1] == "by itself" else rows.window(0, 512)
print(before - status_bytes("VmRSS"))
"""


@pytest.mark.parametrize("how", ["by itself", "with the window of a page that streams"])
def test_free_memory_between_blocks_in_use_is_given_back(how: str) -> None:
    assert printed_by(_HOLES, how) > 45 * 2**20  # bytes that are given back
