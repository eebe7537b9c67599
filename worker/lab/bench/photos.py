"""Labels as a camera takes them: the same picture with more pixels."""

from collections.abc import Sequence

import cv2
import numpy as np

_JPEG_QUALITY = 90


def as_photos(pictures: Sequence[bytes], pixels: int) -> list[bytes]:
    """Return encoded pictures enlarged to so many pixels, as JPEG; those that OpenCV cannot decode are left out."""
    decoded = (cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) for picture in pictures)
    return [enlarged(picture, pixels) for picture in decoded if picture is not None]


def enlarged(picture: "cv2.typing.MatLike", pixels: int) -> bytes:
    """Return a picture enlarged to so many pixels, as JPEG."""
    scale = (pixels / (picture.shape[0] * picture.shape[1])) ** 0.5
    photo = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return bytes(cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())
