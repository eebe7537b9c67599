"""Small files of every format and mode that is read, made in code: one scene, of which nothing looks like the rest."""

import io
import itertools
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pillow_heif
import pyvips
from numpy.typing import NDArray
from PIL import Image

from tests.pipeline.heif_files import Item, coded, ispe, muxed

WIDTH, HEIGHT = 64, 48

pillow_heif.register_heif_opener()


def scene(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """White, with a black corner at the top left and a gray bar at the right: no symmetry."""
    picture = Image.new("RGB", (width, height), "white")
    picture.paste((0, 0, 0), (0, 0, 24, 12))
    picture.paste((128, 128, 128), (width - 16, 12, width, height))
    return picture


def save(picture: Image.Image, pillow_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, pillow_format, **options)
    return buffer.getvalue()


def gray16(picture: Image.Image) -> NDArray[np.uint16]:
    return np.asarray(picture.convert("L")).astype(np.uint16) * 257


def encode(extension: str, pixels: NDArray[np.uint16] | NDArray[np.uint8], *options: int) -> bytes:
    return cv2.imencode(extension, pixels, options)[1].tobytes()


def transparent(mode: str) -> Image.Image:
    """Black everywhere, and the scene in the alpha: what is white shows paper."""
    picture = Image.merge(
        "RGBA", [Image.new("L", (WIDTH, HEIGHT), 0)] * 3 + [scene().convert("L").point(lambda v: 255 - v)]
    )
    return picture.convert(mode)


def bilevel() -> Image.Image:
    return scene().point(lambda v: 255 if v > 200 else 0).convert("1")


def top_down_bitmap() -> bytes:
    pixels = np.ascontiguousarray(np.asarray(scene())[:, :, ::-1])
    head = struct.pack("<IHHIIiiHHIIiiII", 54 + pixels.nbytes, 0, 0, 54, 40, WIDTH, -HEIGHT, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + head + pixels.tobytes()


def packed_bitmap(gray: Image.Image | None = None) -> bytes:
    """A gray bitmap in runs (RLE8), lowest row first: the scene, or another of at most 255 columns."""
    gray = gray or scene().convert("L")
    rows = b""
    for row in np.asarray(gray)[::-1]:
        cuts = [0, *(np.flatnonzero(np.diff(row)) + 1), gray.width]
        rows += b"".join(bytes([end - start, row[start]]) for start, end in itertools.pairwise(cuts)) + b"\0\0"
    rows += b"\0\1"
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))
    offset = 54 + len(palette)
    head = (offset + len(rows), 0, 0, offset, 40, *gray.size, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", *head) + palette + rows


def masked_bitmap() -> bytes:
    """A bitmap of 32 bits with masks for red, green and blue behind its old header, and nothing in the fourth byte."""
    pixels = np.dstack([np.asarray(scene())[::-1, :, ::-1], np.zeros((HEIGHT, WIDTH), np.uint8)])
    head = (66 + pixels.nbytes, 0, 0, 66, 40, WIDTH, HEIGHT, 1, 32, 3, pixels.nbytes, 0, 0, 0, 0)
    masks = struct.pack("<3I", 0xFF0000, 0xFF00, 0xFF)
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", *head) + masks + pixels.tobytes()


def planar_tiff() -> bytes:
    """A TIFF that holds red, green and blue one after another."""
    planes = np.ascontiguousarray(np.asarray(scene()).transpose(2, 0, 1)).tobytes()
    plane_bytes = WIDTH * HEIGHT
    tags = 10
    directory = 8 + len(planes)
    behind = directory + 2 + tags * 12 + 4
    entries = [
        (256, 4, 1, WIDTH), (257, 4, 1, HEIGHT), (258, 3, 3, behind), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 3, behind + 6), (277, 3, 1, 3), (278, 4, 1, HEIGHT), (279, 4, 3, behind + 18), (284, 3, 1, 2),
    ]  # fmt: skip
    places = [8 + plane_bytes * plane for plane in range(3)]
    return (
        struct.pack("<2sHI", b"II", 42, directory)
        + planes
        + struct.pack("<H", tags)
        + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        + struct.pack("<I3H3I3I", 0, 8, 8, 8, *places, *[plane_bytes] * 3)
    )


def interlaced_png() -> bytes:
    """A PNG in Adam7 order, which no library here writes: one pass after another, unfiltered."""
    pixels = np.asarray(scene())
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(
        b"\0" + row.tobytes() for top, left, down, across in passes for row in pixels[top::down, left::across]
    )
    return png(struct.pack(">2I5B", WIDTH, HEIGHT, 8, 2, 0, 0, 1), zlib.compress(rows))


def keyed_png(depth: int) -> bytes:
    """Grays, of which the one that stands for the paper is transparent."""
    paper = 7 * (257 if depth > 8 else 1)
    levels = gray16(scene()) if depth > 8 else np.asarray(scene().convert("L"))
    levels = np.where(levels == levels.max(), paper, levels).astype(f">u{depth // 8}")
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    header = struct.pack(">2I5B", WIDTH, HEIGHT, depth, 0, 0, 0, 0)
    return png(header, zlib.compress(rows), png_chunk(b"tRNS", struct.pack(">H", paper)))


def tiled_avif() -> bytes:
    """A grid of one tile, as telephones write grids of many."""
    configuration, tile = coded(save(scene(), "AVIF", quality=95))
    grid = Item(1, b"grid", (2,), bytes(4) + struct.pack(">2H", WIDTH, HEIGHT))
    properties = [configuration, ispe(WIDTH, HEIGHT)]
    return muxed([grid, Item(2, b"av01", (1, 2), tile)], properties, [(b"dimg", 1, [2])])


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(header: bytes, packed: bytes, *between: bytes) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + b"".join(between)
        + png_chunk(b"IDAT", packed)
        + png_chunk(b"IEND", b"")
    )


def pdf(*, media_box: str = "0 0 23.04 17.28", pages: int = 1, drawing: bytes | None = None) -> bytes:
    """A document that draws the scene by paths, at 200 dots an inch as large as the other files."""
    stream = drawing or b"0 g 0 12.96 8.64 4.32 re f 0.502 g 17.28 0 5.76 12.96 re f"
    kids = " ".join(f"{number + 4} 0 R" for number in range(pages))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>".encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ] + [f"<< /Type /Page /Parent 2 0 R /MediaBox [{media_box}] /Contents 3 0 R >>".encode()] * pages
    written, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(places) + 1, table)
    return (
        written
        + head
        + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(places) + 1, len(written))
    )


FILES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: save(scene(), "JPEG", quality=95),
    "jpeg progressive": lambda: save(scene(), "JPEG", quality=95, progressive=True),
    "jpeg gray": lambda: save(scene().convert("L"), "JPEG", quality=95),
    "jpeg cmyk": lambda: save(scene().convert("CMYK"), "JPEG", quality=95),
    "jpeg with a second picture": lambda: save(
        scene(), "MPO", quality=95, save_all=True, append_images=[scene().resize((16, 12))]
    ),
    "png": lambda: save(scene(), "PNG"),
    "png bilevel": lambda: save(bilevel(), "PNG"),
    "png interlaced": interlaced_png,
    "png gray": lambda: save(scene().convert("L"), "PNG"),
    "png palette": lambda: save(scene().quantize(8), "PNG"),
    "png alpha": lambda: save(transparent("RGBA"), "PNG"),
    "png gray alpha": lambda: save(transparent("LA"), "PNG"),
    "png gray with a key": lambda: keyed_png(8),
    "png 16 bit with a key": lambda: keyed_png(16),
    "png 16 bit": lambda: encode(".png", gray16(scene())),
    "png 16 bit color": lambda: encode(".png", np.dstack([gray16(scene())] * 3)),
    "webp": lambda: save(scene(), "WEBP", quality=95),
    "webp lossless": lambda: save(scene(), "WEBP", lossless=True),
    "webp alpha": lambda: save(transparent("RGBA"), "WEBP", lossless=True),
    "tiff": lambda: save(scene(), "TIFF"),
    "tiff lzw": lambda: save(scene(), "TIFF", compression="tiff_lzw"),
    "tiff deflate": lambda: save(scene(), "TIFF", compression="tiff_adobe_deflate"),
    "tiff packbits": lambda: save(scene(), "TIFF", compression="packbits"),
    "tiff jpeg": lambda: save(scene(), "TIFF", compression="jpeg", quality=95),
    "tiff fax": lambda: save(bilevel(), "TIFF", compression="group4"),
    "tiff bilevel": lambda: save(bilevel(), "TIFF"),
    "tiff gray": lambda: save(scene().convert("L"), "TIFF"),
    "tiff palette": lambda: save(scene().quantize(8), "TIFF"),
    "tiff cmyk": lambda: save(scene().convert("CMYK"), "TIFF"),
    "tiff alpha": lambda: save(transparent("RGBA"), "TIFF"),
    "tiff gray alpha": lambda: save(transparent("LA"), "TIFF"),
    "tiff 16 bit": lambda: encode(".tiff", gray16(scene())),
    "tiff 16 bit color": lambda: encode(".tiff", np.dstack([gray16(scene())] * 3)),
    "tiff planes": planar_tiff,
    "tiff gray in 4 bits": lambda: gray_tiff(bitdepth=4),
    "tiff white is zero": lambda: gray_tiff(miniswhite=True),
    "tiff tiled": lambda: tiled_tiff(compression="deflate"),
    "tiff tiled jpeg": lambda: tiled_tiff(compression="jpeg", Q=95),
    "tiff big": lambda: save(scene(), "TIFF", big_tiff=True),
    "tiff pages": lambda: save(
        scene(), "TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9)), Image.new("L", (20, 5))]
    ),
    "bmp": lambda: save(scene(), "BMP"),
    "bmp gray": lambda: save(scene().convert("L"), "BMP"),
    "bmp palette": lambda: save(scene().quantize(8), "BMP"),
    "bmp bilevel": lambda: save(bilevel(), "BMP"),
    "bmp alpha": lambda: save(scene().convert("RGBA"), "BMP"),
    "bmp with masks": masked_bitmap,
    "bmp top down": top_down_bitmap,
    "bmp packed": packed_bitmap,
    "heif": lambda: save(scene(), "HEIF", quality=95),
    "heif gray": lambda: save(scene().convert("L"), "HEIF", quality=95),
    "heif alpha": lambda: save(transparent("RGBA"), "HEIF", quality=95),
    "heif 16 bit": lambda: save(Image.fromarray(gray16(scene())), "HEIF", quality=95),
    "avif": lambda: save(scene(), "AVIF", quality=95),
    "avif alpha": lambda: save(transparent("RGBA"), "AVIF", quality=95),
    "avif tiles": tiled_avif,
    "avif 10 bit": lambda: encode(
        ".avif", np.dstack([gray16(scene()) >> 6] * 3), cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 95
    ),
    "pdf": pdf,
    "pdf picture": lambda: save(scene(), "PDF", resolution=200, quality=95),
    "pdf pages": lambda: pdf(pages=3),
}

BILEVEL = frozenset(name for name in FILES if "bilevel" in name or "fax" in name)


def tiled_tiff(picture: Image.Image | None = None, **options: object) -> bytes:
    image = pyvips.Image.new_from_array(np.asarray(picture or scene()), interpretation="srgb")
    written: bytes = image.tiffsave_buffer(tile=True, tile_width=16, tile_height=16, **options)
    return written


def gray_tiff(**options: object) -> bytes:
    image = pyvips.Image.new_from_array(np.asarray(scene().convert("L")), interpretation="b-w")
    written: bytes = image.tiffsave_buffer(**options)
    return written
