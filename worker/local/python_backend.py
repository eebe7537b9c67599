"""Triton's Python backend out of the wheel, laid out for one server, with more patience for its children.

The backend gives each child process a second to show that it lives. If the machine stands still for longer, or others
take its cores, the child is called unhealthy and its request fails. But its answer comes nonetheless, and is taken for
that to the next request: from then on every request of that instance gets the answer of another one, or the server ends
(server issue 8882; seen with 2.51 after pauses of 1.2 s). So the second is made five minutes. A child that
really ended is then noticed as late; requests have deadlines of their own.
"""

import re
import shutil
from pathlib import Path
from typing import Final

from worker.domain.errors import LocalStackError
from worker.local.provision import PythonEnvironment, python_version

_LIBRARY: Final = "libtriton_python.so"
_SECOND_ADDED: Final = re.compile(rb"(\x48\x05|\x48\x81\xc3)\x40\x42\x0f\x00")  # x86-64: add $1000000,%rax or %rbx
_EPOCH_MICROSECONDS: Final = 0xFD12D9C27C578000  # from Boost's time to Unix's, added with the second in two places
_PATIENCE_MICROSECONDS: Final = 300_000_000
_WAITS: Final = (8, 2)


def link_python_backend(environment: PythonEnvironment, folder: Path) -> Path:
    """Lay out the Python backend as the server wants it; links, because the stub finds its libraries by them.

    Raises LocalStackError if the backend's library is not the one that is known.
    """
    server = environment.site_packages / "pytriton" / "tritonserver"
    stub = server / "python_backend_stubs" / python_version() / "triton_python_backend_stub"
    target = folder / "python"
    shutil.rmtree(folder, ignore_errors=True)
    target.mkdir(parents=True)
    for source in (*(server / "backends" / "python").iterdir(), stub):
        if source.name == _LIBRARY:
            (target / _LIBRARY).write_bytes(with_patient_health_checks(source.read_bytes()))
        else:
            (target / source.name).symlink_to(source)
    return folder


def with_patient_health_checks(library: bytes) -> bytes:
    """Return the backend's library with five minutes in place of each second that it waits for a sign of life.

    Raises LocalStackError if it has another number of such waits than the one that is known.
    """
    added = _PATIENCE_MICROSECONDS.to_bytes(4, "little")
    patient, count = _SECOND_ADDED.subn(lambda found: found[1] + added, library)
    second, until = (_EPOCH_MICROSECONDS + wait for wait in (1_000_000, _PATIENCE_MICROSECONDS))
    folded = patient.count(second.to_bytes(8, "little"))
    if (count, folded) != _WAITS:
        raise LocalStackError(
            f"the wheel's {_LIBRARY} has {count} and {folded} waits of a second where {_WAITS[0]} and {_WAITS[1]} are "
            "known, so it is not of the version that Labelwire pins: remove its folder from the cache and set up again"
        )
    return patient.replace(second.to_bytes(8, "little"), until.to_bytes(8, "little"))
