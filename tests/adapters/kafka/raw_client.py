"""A client that writes what confluent_kafka refuses to: header names and commit metadata of any bytes.

It calls the librdkafka that confluent_kafka brings.
"""

import contextlib
import ctypes
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import files

# Of librdkafka's enum rd_kafka_vtype_t.
_END, _TOPIC, _PARTITION, _VALUE, _KEY, _MSGFLAGS, _HEADER = 0, 1, 3, 4, 5, 7, 9
_COPY = 0x2
_PRODUCER, _CONSUMER = 0, 1
_FLUSH_MS = 20_000
_TEXT_BYTES = 512

RawHeaders = Sequence[tuple[bytes, bytes | None]]


class _Offset(ctypes.Structure):
    """rd_kafka_topic_partition_t."""

    _fields_ = (
        ("topic", ctypes.c_char_p),
        ("partition", ctypes.c_int32),
        ("offset", ctypes.c_int64),
        ("metadata", ctypes.c_void_p),
        ("metadata_size", ctypes.c_size_t),
        ("opaque", ctypes.c_void_p),
        ("err", ctypes.c_int),
        ("private", ctypes.c_void_p),
    )


def produce_raw(
    bootstrap_servers: str,
    topic: str,
    records: Sequence[RawHeaders],
    *,
    key: bytes = b"key",
    value: bytes = b"value",
    partition: int = 0,
) -> None:
    """Write a record with each of these headers, and return once all are acknowledged. A name ends at its first NUL."""
    with _handle(_PRODUCER, {"bootstrap.servers": bootstrap_servers}) as (library, producer):
        for headers in records:
            arguments: list[object] = [_TOPIC, topic.encode(), _PARTITION, partition, _MSGFLAGS, _COPY]
            arguments += [_VALUE, value, ctypes.c_size_t(len(value)), _KEY, key, ctypes.c_size_t(len(key))]
            for name, content in headers:
                arguments += [_HEADER, name, content, ctypes.c_ssize_t(len(content or b""))]
            assert library.rd_kafka_producev(producer, *arguments, _END) == 0
        assert library.rd_kafka_flush(producer, _FLUSH_MS) == 0


def commit_raw(bootstrap_servers: str, group: str, topic: str, partition: int, offset: int, metadata: bytes) -> None:
    """Commit for a group that has no member."""
    with _handle(_CONSUMER, {"bootstrap.servers": bootstrap_servers, "group.id": group}) as (library, consumer):
        new = library.rd_kafka_topic_partition_list_new
        add = library.rd_kafka_topic_partition_list_add
        new.restype, add.restype = ctypes.c_void_p, ctypes.POINTER(_Offset)
        offsets = ctypes.c_void_p(new(1))
        point = add(offsets, topic.encode(), partition).contents
        kept = ctypes.create_string_buffer(metadata)
        point.offset, point.metadata, point.metadata_size = offset, ctypes.addressof(kept), len(metadata)
        assert library.rd_kafka_commit(consumer, offsets, 0) == 0
        point.metadata = None  # librdkafka would free it
        library.rd_kafka_topic_partition_list_destroy(offsets)


@contextlib.contextmanager
def _handle(kind: int, options: Mapping[str, str]) -> Iterator[tuple[ctypes.CDLL, ctypes.c_void_p]]:
    library = _librdkafka()
    said = ctypes.create_string_buffer(_TEXT_BYTES)
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    for name, value in options.items():
        refused = library.rd_kafka_conf_set(conf, name.encode(), value.encode(), said, ctypes.c_size_t(_TEXT_BYTES))
        assert refused == 0, said.value
    handle = ctypes.c_void_p(library.rd_kafka_new(kind, conf, said, ctypes.c_size_t(_TEXT_BYTES)))
    assert handle, said.value
    try:
        yield library, handle
    finally:
        library.rd_kafka_destroy(handle)


def _librdkafka() -> ctypes.CDLL:
    bundled = [file for file in files("confluent-kafka") or () if file.name.startswith("librdkafka")]
    library = ctypes.CDLL(str(bundled[0].locate()))
    for function in (library.rd_kafka_conf_new, library.rd_kafka_new):
        function.restype = ctypes.c_void_p
    return library
