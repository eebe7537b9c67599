"""A fetch that is cancelled while its file is being opened or read leaves nothing open, and holds nobody up."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from worker.adapters.blob.files import FileFetcher
from worker.domain.uri import AllowedPrefixes, PictureUri

ENOUGH_TURNS = 200


async def test_a_file_opened_for_nobody_is_closed(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"x")
    may_open, opened = threading.Event(), []

    class Slow(FileFetcher):
        def _open(self, uri: PictureUri):  # type: ignore[no-untyped-def] # noqa: ANN202 - as the method it stands for
            may_open.wait(5)
            file = super()._open(uri)
            opened.append(file)
            return file

    async def no_room(_: int) -> None:
        raise AssertionError("nothing may be read")

    fetcher = Slow(allowed=AllowedPrefixes.of((f"file://{tmp_path}/",)), max_bytes=100)
    fetching = asyncio.create_task(fetcher.fetch(PictureUri.parse(picture.as_uri()), no_room))
    await asyncio.sleep(0.01)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    may_open.set()
    for _ in range(ENOUGH_TURNS):
        if opened and opened[0].closed:
            break
        await asyncio.sleep(0.01)
    assert [file.closed for file in opened] == [True]


async def test_a_read_that_hangs_does_not_hold_up_the_loop() -> None:
    outlet, inlet = os.pipe()  # stands for a file on a server that is away
    file = os.fdopen(outlet, "rb")

    class Hanging(FileFetcher):
        def _open(self, uri: PictureUri):  # type: ignore[no-untyped-def] # noqa: ANN202, ARG002 - as the method it stands for
            return file

    async def room(_: int) -> None:
        return

    fetcher = Hanging(allowed=AllowedPrefixes.of(("file:///labels/",)), max_bytes=100)
    fetching = asyncio.create_task(fetcher.fetch(PictureUri.parse("file:///labels/a.png"), room))
    await asyncio.sleep(0.05)
    comes_back = threading.Timer(1.0, os.close, (inlet,))
    comes_back.start()
    begun = time.monotonic()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert time.monotonic() - begun < 0.5
    comes_back.join()
    for _ in range(ENOUGH_TURNS):
        if file.closed:
            break
        await asyncio.sleep(0.01)
    assert file.closed
