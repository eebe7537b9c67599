"""Records for the tests of the domain."""

from hypothesis import strategies as st

from worker.domain import headers as names
from worker.domain.records import CONTENT_TYPE_HEADER, JOB_ID_HEADER, Coordinate, Headers, Record

COORDINATE = Coordinate("label-images", 3, 41)
KNOWN_NAMES = [
    CONTENT_TYPE_HEADER,
    JOB_ID_HEADER,
    names.JOB_ID,
    names.ATTEMPT,
    names.ORIGIN_TOPIC,
    names.ORIGIN_PARTITION,
    names.ORIGIN_OFFSET,
    names.ORIGIN_TIMESTAMP,
    names.REPLAY_COUNT,
    names.REPLAY_RUN_ID,
    names.DEAD_LETTER_PREFIX + "id",
]

header_values = st.one_of(
    st.none(),
    st.binary(max_size=30),
    st.sampled_from([b"image/jpeg", b"application/json", b"7", b"-1", b"9" * 40, "²".encode()]),
)
any_headers = st.lists(st.tuples(st.sampled_from(KNOWN_NAMES) | st.text(max_size=20), header_values), max_size=12).map(
    tuple
)


def record(value: bytes | None = b"picture", *headers: tuple[str, bytes], key: bytes | None = b"key") -> Record:
    """Return a record of `COORDINATE`."""
    return Record(COORDINATE, key, value, tuple(headers), 1_700_000_000_000)


def typed(content_type: str) -> tuple[str, bytes]:
    """Return the header that names a content type."""
    return (CONTENT_TYPE_HEADER, content_type.encode())


def named(headers: Headers) -> dict[str, bytes]:
    """Return headers by name; each name may come once, and none be null."""
    found = {name: value for name, value in headers if value is not None}
    assert len(found) == len(headers)
    return found
