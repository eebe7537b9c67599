"""Pictures that end the process that decodes them, where `POISON_PATH` is on PYTHONPATH; elsewhere they are good ones.

Invariant: without that folder on PYTHONPATH nothing imports what is in it, and a poisonous picture decodes as the
picture that it was made of.
"""

from enum import StrEnum
from pathlib import Path
from typing import Final

POISON_PATH: Final = Path(__file__).parent


class PoisonKind(StrEnum):
    """How a picture ends its reader; the value is what stands after its last byte."""

    SEGV = "LABELWIRE-SEGV"
    OOM = "LABELWIRE-OOM"
    ABORT = "LABELWIRE-ABORT"


def poisonous(picture: bytes, kind: PoisonKind) -> bytes:
    """Return the JPEG or PNG with a trailer that `sitecustomize.py` of `POISON_PATH` answers with a signal.

    SEGV is a codec that runs off its memory, OOM the kernel's SIGKILL, ABORT an assertion in native code.
    """
    return picture + kind.value.encode()
