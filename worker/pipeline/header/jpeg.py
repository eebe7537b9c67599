"""Headers of JPEG files (ITU-T T.81, Annex B).

Invariant: segments are passed over by their lengths, and no more than a fixed number; a block takes two bits at least,
one in a progressive file.
"""

import struct
from dataclasses import dataclass, replace
from typing import Final

from worker.domain.image import PageHeader
from worker.pipeline.header.density import Density, stretch_of
from worker.pipeline.header.exif import EXIF_START, UPRIGHT, densities, orientation
from worker.pipeline.page_claim import BEYOND_ITS_BYTES, DamagedHeaderError, PageClaim, unsupported

_MAX_SEGMENTS: Final = 2000
_MAX_SCANS: Final = 100  # each goes over the whole page; files as they are made have about ten
_BITS_OF_SAMPLES: Final = 8
_MAX_SAMPLING: Final = 4
_BLOCK_BYTES: Final = 64 * 2
_ADDED_COMPONENTS: Final = 2  # at most, while the file is looked through for damage
_COMPONENTS: Final = frozenset({1, 3, 4})
_BASELINE, _EXTENDED, _PROGRESSIVE, _LOSSLESS = 0xC0, 0xC1, 0xC2, 0xC3
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ARITHMETIC: Final = frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_WITHOUT_BODY: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_END, _SCAN, _APP0, _APP1 = 0xD9, 0xDA, 0xE0, 0xE1
_JFIF_START: Final = b"JFIF\0"
_JFIF: Final = struct.Struct(">7xB2H")


@dataclass(frozen=True, slots=True)
class _StartOfFrame:
    progressive: bool
    width: int
    height: int
    sampling: tuple[tuple[int, int], ...]  # of each component, across and down

    @property
    def units(self) -> int:
        """Units of blocks, each with what all components have of a piece of the page."""
        across = max(h for h, _ in self.sampling)
        down = max(v for _, v in self.sampling)
        if len(self.sampling) == 1:
            across = down = 1
        return -(-self.width // (8 * across)) * -(-self.height // (8 * down))

    @property
    def blocks(self) -> int:
        """8 x 8 blocks of all components, padded to whole units."""
        return self.units * (sum(h * v for h, v in self.sampling) if len(self.sampling) > 1 else 1)


def read(data: bytes) -> PageClaim:
    """Return the claim of the file's first picture. Raises DamagedHeaderError, JobError IMAGE_UNSUPPORTED."""
    frame, turned, claimed, at = None, UPRIGHT, list[Density](), 2
    for _ in range(_MAX_SEGMENTS):
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            raise DamagedHeaderError("it ends before its pixels begin")
        marker = data[at + 1]
        if marker in {0x00, 0xFF} or marker in _WITHOUT_BODY:
            at += 1 if marker == 0xFF else 2  # noqa: PLR2004 - a byte that fills up
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = memoryview(data)[at + 4 : at + 2 + length]
        if marker == _END or length < 2:  # noqa: PLR2004 - the length counts itself
            raise DamagedHeaderError("it has no pixels" if marker == _END else "a segment is shorter than its length")
        if marker in _FRAMES and frame is None:
            frame = _frame(marker, body)
        elif marker == _APP1 and bytes(body[:6]) == EXIF_START:
            turned = orientation(body)
            claimed += densities(body)
        elif marker == _APP0 and bytes(body[:5]) == _JFIF_START and len(body) >= _JFIF.size:
            claimed.insert(0, _density(*_JFIF.unpack_from(body)))
        elif marker == _SCAN:
            claim = _claim(data, frame, turned, components=body[0] if body else 0)
            return replace(claim, stretch=stretch_of(claimed, claim.page.width, claim.page.height))
        at += 2 + length
    raise DamagedHeaderError(f"it has more than {_MAX_SEGMENTS} segments before its pixels")


def _density(unit: int, across: int, down: int) -> Density:
    match unit:
        case 1:
            return Density(across, down)
        case 2:
            return Density.per_centimeter(across, down)
        case _:
            return Density(across, down, per_inch=False)


def _frame(marker: int, body: memoryview) -> _StartOfFrame:
    if marker in _ARITHMETIC:
        raise unsupported("a JPEG with arithmetic coding", instead="save it as a baseline JPEG")
    if marker not in {_BASELINE, _EXTENDED, _PROGRESSIVE}:
        raise unsupported("a lossless or hierarchical JPEG", instead="save it as a baseline JPEG")
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:  # noqa: PLR2004 - the fixed part
        raise DamagedHeaderError("its frame is cut short")
    bits, height, width, components = struct.unpack_from(">BHHB", body)
    if bits != _BITS_OF_SAMPLES:
        raise unsupported(f"a JPEG with samples of {bits} bits", instead="save it with 8 bits")
    if components not in _COMPONENTS:
        raise DamagedHeaderError(f"it has {components} components")
    sampling = tuple((body[7 + 3 * index] >> 4, body[7 + 3 * index] & 15) for index in range(components))
    if any(not (1 <= h <= _MAX_SAMPLING and 1 <= v <= _MAX_SAMPLING) for h, v in sampling):
        raise DamagedHeaderError("its components are sampled in no possible way")
    return _StartOfFrame(marker == _PROGRESSIVE, width, height, sampling)


def _claim(data: bytes, frame: _StartOfFrame | None, turned: int, *, components: int) -> PageClaim:
    if frame is None:
        raise DamagedHeaderError("it has no frame")
    # libjpeg keeps the coefficients of the whole page unless its first scan holds all components for good.
    in_passes = frame.progressive or components != len(frame.sampling)
    if in_passes and data.count(b"\xff\xda") > _MAX_SCANS:
        raise unsupported(f"a JPEG with more than {_MAX_SCANS} scans", instead="save it as a baseline JPEG")
    page = PageHeader(frame.width, frame.height, turned, streams=not in_passes)
    coefficients = frame.blocks * _BLOCK_BYTES if in_passes else 0
    possible = frame.blocks <= len(data) * (8 if frame.progressive else 4)
    checked = (frame.blocks + _ADDED_COMPONENTS * frame.units) * _BLOCK_BYTES  # given back before it is decoded
    held = max(checked, coefficients + page.pixels * (4 if turned == UPRIGHT else 7))
    return PageClaim(page, held, "" if possible else BEYOND_ITS_BYTES)
