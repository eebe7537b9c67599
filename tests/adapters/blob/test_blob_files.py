"""Files: of allowed folders after every link, and regular ones only."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contracts.blob_stores import settings
from worker.adapters.blob.store import UriStore
from worker.domain.errors import ErrorCode, JobError
from worker.domain.uri import PictureUri


async def _room(_: int) -> None:
    pass


async def outcome(folder: Path, name: str) -> bytes | ErrorCode:
    async with UriStore(settings((f"file://{folder}/",), None)) as store:
        try:
            return await store.fetch(PictureUri.parse(f"file://{folder}/{name}"), _room)
        except JobError as error:
            return error.code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.png").write_bytes(b"a")
    (tmp_path / "in" / "deep" / "b c.png").write_bytes(b"b")
    return tmp_path / "in"


async def test_a_link_is_followed_within_the_folder_and_the_folder_may_be_one(folder: Path) -> None:
    (folder / "to-b.png").symlink_to("deep/../deep/b c.png")
    (folder.parent / "elsewhere").symlink_to(folder)
    assert await outcome(folder, "deep/b%20c.png") == b"b"
    assert await outcome(folder, "to-b.png") == b"b"
    assert await outcome(folder.parent / "elsewhere", "to-b.png") == b"b"


@pytest.mark.parametrize("target", ["../secret.png", "{parent}/secret.png", "/etc/passwd", "/proc/self/environ"])
async def test_a_link_out_of_the_folder_is_forbidden(folder: Path, target: str) -> None:
    (folder / "link.png").symlink_to(target.format(parent=folder.parent))
    assert await outcome(folder, "link.png") is ErrorCode.URI_FORBIDDEN


async def test_a_linked_folder_out_of_the_folder_is_forbidden(folder: Path) -> None:
    (folder / "up").symlink_to("..")
    assert await outcome(folder, "up/secret.png") is ErrorCode.URI_FORBIDDEN


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize("make", [_fifo, _socket, Path.mkdir], ids=["fifo", "socket", "folder"])
async def test_what_is_no_regular_file_is_not_opened(folder: Path, make: Callable[[Path], None]) -> None:
    make(folder / "odd.png")
    assert await outcome(folder, "odd.png") is ErrorCode.URI_FORBIDDEN


async def test_a_device_is_not_opened() -> None:
    assert await outcome(Path("/dev"), "zero") is ErrorCode.URI_FORBIDDEN


async def test_a_file_that_may_not_be_read_may_be_later(folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    (folder / "a.png").chmod(0)
    assert await outcome(folder, "a.png") is ErrorCode.URI_UNAVAILABLE


async def test_a_file_that_grows_while_there_is_no_room_is_not_taken(folder: Path) -> None:
    async def grow(_: int) -> None:
        with (folder / "a.png").open("ab") as file:
            file.write(bytes(1000))

    async with UriStore(settings((f"file://{folder}/",), None, retries=0)) as store:
        with pytest.raises(JobError, match="the server sent more or fewer than the 1 bytes") as raised:
            await store.fetch(PictureUri.parse(f"file://{folder}/a.png"), grow)
    assert raised.value.code is ErrorCode.URI_UNAVAILABLE
