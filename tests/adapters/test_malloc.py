"""What the C library's allocator does with blocks once the worker has told it how, in a process of its own."""

import subprocess
import sys

_PROGRAM = """
import resource, sys
from worker.adapters.malloc import return_large_blocks

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


def faults_of_twenty_blocks(size_bytes: int) -> int:
    """Return how many pages were new to the process in twenty blocks, each freed before the next one."""
    command = [sys.executable, "-c", _PROGRAM, str(size_bytes)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_a_block_of_a_small_page_is_memory_at_hand() -> None:
    pages = 6 * 1024 * 1024 // 4096
    assert faults_of_twenty_blocks(6 * 1024 * 1024) < pages


def test_a_block_of_a_large_page_is_given_back_each_time() -> None:
    pages = 12 * 1024 * 1024 // 4096
    assert faults_of_twenty_blocks(12 * 1024 * 1024) > 19 * pages
