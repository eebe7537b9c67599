"""What every `BlobStore` must do: one in memory, files, a real https server and a real S3 server."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.blob.https_server import HttpsServer, make_certificate
from tests.adapters.blob.versitygw import GATEWAY, Certificate, S3Gateway
from tests.contracts.blob_stores import MAX_BYTES, S3, Files, Https, Memory, Place
from tests.go_tools import demand_go_tool
from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.uri import PictureUri
from worker.ports import BlobStore

PICTURE = bytes(range(256)) * 100


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def https_server(certificate: Certificate) -> Iterator[HttpsServer]:
    with HttpsServer(certificate) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Gateway]:
    demand_go_tool(GATEWAY)
    with S3Gateway(certificate, run_dir=tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["memory", "file", "https", pytest.param("s3", marks=pytest.mark.real)])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    name = f"labels-{uuid.uuid4().hex[:8]}"
    if request.param == "memory":
        return Memory()
    if request.param == "file":
        return Files(f"file://{tmp_path}/in/", f"file://{tmp_path}/other/")
    root = request.getfixturevalue("certificate").certificate.with_name("authority.pem")
    if request.param == "https":
        server = request.getfixturevalue("https_server")
        base = f"https://localhost:{server.port}/{name}"
        return Https(f"{base}/in/", f"{base}/other/", root, server)
    gateway: S3Gateway = request.getfixturevalue("gateway")
    for variable, value in gateway.environment.items():
        monkeypatch.setenv(variable, value)
    return S3(f"s3://{name}/in/", f"s3://{name}/other/", root, gateway.make_bucket(name))


class Room:
    """Notes for how much room was asked."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.asked: list[int] = []
        self._seconds = seconds

    async def make(self, size_bytes: int) -> None:
        self.asked.append(size_bytes)
        await asyncio.sleep(self._seconds)


async def fetch(store: BlobStore, uri: str, room: Room | None = None) -> bytes:
    return await store.fetch(PictureUri.parse(uri), (room or Room()).make)


async def failure(store: BlobStore, uri: str, room: Room | None = None) -> JobError:
    with pytest.raises(JobError) as raised:
        await fetch(store, uri, room)
    assert raised.value.message.endswith(".")
    return raised.value


@pytest.mark.parametrize("size_bytes", [0, 1, len(PICTURE), MAX_BYTES])
async def test_what_lies_there_comes_once_there_is_room_for_it(place: Place, size_bytes: int) -> None:
    picture = (PICTURE * 4)[:size_bytes]
    place.put(f"{place.allowed}deep/er/a.png", picture)
    store, room = place.open(), Room()
    assert await fetch(store, f"{place.allowed}deep/er/a.png", room) == picture
    assert room.asked == [size_bytes]
    await store.close()


async def test_where_nothing_lies_nothing_is_found(place: Place) -> None:
    store, room = place.open(), Room()
    place.put(f"{place.allowed}a.png", PICTURE)
    for name in ("b.png", "a.png/b.png", "none/b.png"):
        error = await failure(store, f"{place.allowed}{name}", room)
        assert (error.code, error.stage) == (ErrorCode.URI_NOT_FOUND, Stage.FETCH)
    assert room.asked == []
    await store.close()


async def test_what_no_prefix_allows_is_forbidden_also_where_it_lies(place: Place) -> None:
    place.put(f"{place.forbidden}a.png", PICTURE)
    store, room = place.open(), Room()
    error = await failure(store, f"{place.forbidden}a.png", room)
    assert error.code is ErrorCode.URI_FORBIDDEN
    assert "LABELWIRE_BLOB__ALLOWED_PREFIXES" in error.message
    assert room.asked == []
    await store.close()


async def test_one_byte_over_the_limit_is_too_large_before_any_room_is_taken(place: Place) -> None:
    place.put(f"{place.allowed}a.png", bytes(MAX_BYTES + 1))
    store, room = place.open(), Room()
    error = await failure(store, f"{place.allowed}a.png", room)
    assert (error.code, error.stage) == (ErrorCode.IMAGE_TOO_LARGE, Stage.FETCH)
    assert room.asked == []
    await store.close()


async def test_waiting_for_room_takes_none_of_the_time_to_fetch(place: Place) -> None:
    place.put(f"{place.allowed}a.png", PICTURE)
    store = place.open(timeout_seconds=1.5)
    assert await fetch(store, f"{place.allowed}a.png", Room(1.6)) == PICTURE
    await store.close()


async def test_many_come_at_once_and_one_that_is_cancelled_harms_none(place: Place) -> None:
    pictures = {f"{place.allowed}{number}.png": bytes([number]) * (1000 + number) for number in range(8)}
    for uri, picture in pictures.items():
        place.put(uri, picture)
    store = place.open()
    fetches = [asyncio.ensure_future(fetch(store, uri, Room(0.05))) for uri in pictures]
    await asyncio.sleep(0.01)
    fetches[3].cancel()
    came = await asyncio.gather(*fetches, return_exceptions=True)
    assert isinstance(came[3], asyncio.CancelledError)
    del came[3]
    assert came == [picture for number, picture in enumerate(pictures.values()) if number != 3]
    assert await fetch(store, f"{place.allowed}3.png") == bytes([3]) * 1003
    await store.close()
