"""Imported by every Python that has this folder on its PYTHONPATH, and by no other: plants the defect of a codec.

A picture that contains one of the marks ends the decoding process by a real signal, as a defect in native code would
or as the kernel does when memory runs out.
"""

import contextlib
import signal
import threading
from typing import Any

# The marks of `PoisonKind`; this file stands alone, because it is imported before any package is wanted.
_SIGNALS = {
    b"LABELWIRE-SEGV": signal.SIGSEGV,
    b"LABELWIRE-OOM": signal.SIGKILL,
    b"LABELWIRE-ABORT": signal.SIGABRT,
}

with contextlib.suppress(ImportError):
    import cv2

    _imdecode = cv2.imdecode

    def _fragile_imdecode(buf: Any, flags: int, *rest: Any) -> Any:  # noqa: ANN401 - as OpenCV's
        encoded = bytes(buf)
        for mark, number in _SIGNALS.items():
            if mark in encoded:
                signal.pthread_kill(threading.get_ident(), number)  # here, as a codec's fault would be
        return _imdecode(buf, flags, *rest)

    cv2.imdecode = _fragile_imdecode
