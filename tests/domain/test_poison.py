import pytest

from worker.domain.errors import ErrorCode, JobError
from worker.domain.poison import CrashHistory


def test_the_third_crash_convicts_and_says_each_way_once() -> None:
    trial = CrashHistory()
    trial.crashed("signal SIGSEGV")
    trial.crashed("signal SIGKILL")
    with pytest.raises(JobError, match=r"three times \(signal SIGSEGV or signal SIGKILL\)") as raised:
        trial.crashed("signal SIGSEGV")
    assert raised.value.code is ErrorCode.POISON
