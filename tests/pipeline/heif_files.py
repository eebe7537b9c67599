"""HEIF and AVIF files put together box by box, so that they can lie."""

import struct
from dataclasses import dataclass


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, body: bytes, version: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24) + body)


def ispe(width: int, height: int) -> bytes:
    return full(b"ispe", struct.pack(">2I", width, height))


def clap(width: int, height: int) -> bytes:
    return box(b"clap", struct.pack(">8I", width, 1, height, 1, 0, 1, 0, 1))


ALPHA = full(b"auxC", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")


@dataclass(frozen=True)
class Item:
    """An item: its properties by their places among all, counted from 1."""

    number: int
    kind: bytes
    properties: tuple[int, ...]
    data: bytes = b""


def coded(file: bytes) -> tuple[bytes, bytes]:
    """Return the decoder's configuration and the coded picture of a file with one picture."""
    held = file.index(b"mdat") + 4
    at = file.index(b"av1C" if b"av1C" in file else b"hvcC") - 4
    return file[at : at + int.from_bytes(file[at : at + 4], "big")], file[held:]


def muxed(items: list[Item], properties: list[bytes], references: list[tuple[bytes, int, list[int]]] = []) -> bytes:  # noqa: B006
    """Return an AVIF of these items, of which the first is the picture."""
    start = box(b"ftyp", b"avif\0\0\0\0mif1avif")
    behind = len(start + _meta(items, properties, references, 0)) + 8
    meta = _meta(items, properties, references, behind)
    return start + meta + box(b"mdat", b"".join(item.data for item in items))


def _meta(items: list[Item], properties: list[bytes], references: list[tuple[bytes, int, list[int]]], at: int) -> bytes:
    places = b"\x44\0" + struct.pack(">H", len(items))
    for item in items:
        places += struct.pack(">3H2I", item.number, 0, 1, at, len(item.data))
        at += len(item.data)
    entries = b"".join(full(b"infe", struct.pack(">2H4sx", item.number, 0, item.kind), 2) for item in items)
    links = b"".join(struct.pack(">HB", item.number, len(item.properties)) + bytes(item.properties) for item in items)
    others = b"".join(box(kind, struct.pack(f">2H{len(to)}H", item, len(to), *to)) for kind, item, to in references)
    return full(
        b"meta",
        full(b"hdlr", b"\0\0\0\0pict" + bytes(13))
        + full(b"pitm", struct.pack(">H", items[0].number))
        + full(b"iloc", places)
        + full(b"iinf", struct.pack(">H", len(items)) + entries)
        + (full(b"iref", others) if references else b"")
        + box(b"iprp", box(b"ipco", b"".join(properties)) + full(b"ipma", struct.pack(">I", len(items)) + links)),
    )
