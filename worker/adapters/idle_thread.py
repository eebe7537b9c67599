"""Threads that give way: the kernel schedules by thread, so one thread can do work that delays no other.

Invariant: a kernel that refuses changes nothing but that; the work is done all the same.
"""

import logging
import os
import threading
from typing import Final

_LOGGER = logging.getLogger(__name__)
_LOWEST_PRIORITY: Final = 19


def run_when_idle() -> None:
    """Give the calling thread the lowest priority, for good: Linux has one for each thread, whatever POSIX says."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
    except OSError as error:
        _LOGGER.warning("Comparisons of a rollout run at the priority of jobs: %s.", error.strerror)
