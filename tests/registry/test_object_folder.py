"""What a folder of objects must do, on this machine and in a bucket of a real S3 server."""

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.registries import Place, ReadOnly
from worker.adapters.blob.object_folder import (
    ObjectExistsError,
    ObjectFolder,
    ObjectFolderError,
    ObjectMissingError,
    ObjectTooLargeError,
)

NOBODY = 65534
CONTENT = bytes(range(256)) * 20_000


def test_what_was_created_is_read_and_listed(registry: ObjectFolder) -> None:
    for name in ("a/x.json", "a/deep/er/y.onnx", "b/z.json"):
        registry.create(name, name.encode())
    registry.create("a/large", CONTENT)

    assert registry.read("a/deep/er/y.onnx", 100) == b"a/deep/er/y.onnx"
    assert b"".join(registry.chunks("a/large", len(CONTENT))) == CONTENT
    assert registry.sizes("a") == {"a/deep/er/y.onnx": 16, "a/large": len(CONTENT), "a/x.json": 8}
    assert registry.folders("a") == ["deep"]
    assert (registry.has("b/z.json"), registry.has("b/none"), registry.has("a/deep")) == (True, False, False)
    assert (registry.sizes("none"), registry.folders("none")) == ({}, [])


def test_what_is_there_is_never_written_again(registry: ObjectFolder) -> None:
    registry.create("a/x.json", b"first")

    with pytest.raises(ObjectExistsError, match=r"a/x\.json in .* is there already"):
        registry.create("a/x.json", b"second")

    assert registry.read("a/x.json", 100) == b"first"


def test_of_many_that_create_the_same_name_at_once_exactly_one_succeeds(place: Place) -> None:
    names, writers = [f"p/{number:03}.json" for number in range(40)], 6
    barrier = threading.Barrier(writers, timeout=60)
    won: list[tuple[str, int]] = []

    def write(writer: int) -> None:
        folder = place.open()
        for name in names:
            barrier.wait()
            try:
                folder.create(name, f"{writer}".encode())
            except ObjectExistsError:
                continue
            won.append((name, writer))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for name, _ in won) == names
    assert [int(place.open().read(name, 10)) for name, _ in won] == [writer for _, writer in won]


def test_nothing_is_read_that_is_missing_or_larger_than_allowed(registry: ObjectFolder) -> None:
    registry.create("a/large", CONTENT)

    with pytest.raises(ObjectMissingError, match="there is no a/none in"):
        registry.read("a/none", 100)
    with pytest.raises(ObjectTooLargeError, match=f"a/large in .* is larger than the {len(CONTENT) - 1} bytes"):
        next(registry.chunks("a/large", len(CONTENT) - 1))


@pytest.mark.parametrize(
    "address",
    [
        "ftp://labels/a",
        "http://labels/a",
        "s3://",
        "s3://Labels/a",
        "s3://labels/../other",
        "s3://labels//a",
        "gs://a?b",
    ],
)
def test_an_address_that_could_mean_something_else_is_refused(address: str) -> None:
    with pytest.raises(ObjectFolderError, match="names no folder: give a path, or s3://, gs:// or az://"):
        ObjectFolder.open(address)


def test_a_folder_that_is_missing_is_only_made_to_write_in(tmp_path: Path) -> None:
    with pytest.raises(ObjectFolderError, match=r"registry does not exist: give another, or publish to it first"):
        ObjectFolder.open(str(tmp_path / "registry"))
    assert not (tmp_path / "registry").exists()

    ObjectFolder.open(str(tmp_path / "registry"), create=True).create("a", b"1")

    assert ObjectFolder.open(str(tmp_path / "registry")).read("a", 1) == b"1"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")

    with pytest.raises(ObjectFolderError, match=r"file cannot be used: File exists"):
        ObjectFolder.open(str(tmp_path / "file"), create=True)


@pytest.mark.real
def test_a_bucket_that_is_missing_is_named_and_never_made(s3: Place) -> None:
    folder = ObjectFolder.open("s3://no-such-bucket/a", root_certificates=s3.root_certificates)

    with pytest.raises(ObjectFolderError, match=r"x cannot be written in s3://no-such-bucket/a, whose .* does not"):
        folder.create("x", b"1")
    with pytest.raises(ObjectFolderError, match=r"a in s3://no-such-bucket/a cannot be listed: .*NoSuchBucket"):
        folder.sizes("a")


@pytest.mark.real
def test_no_message_holds_a_secret_or_a_signed_request(s3: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    folder = s3.open()

    for attempt in (lambda: folder.create("x", b"1"), lambda: folder.sizes("a"), lambda: folder.read("x", 1)):
        with pytest.raises(ObjectFolderError) as raised:
            attempt()
        assert "cannot be" in str(raised.value)
        assert not [word for word in ("wrong-secret", "AWS4", "Amz", "Credential") if word in str(raised.value)]


@pytest.mark.real
def test_a_server_that_is_away_is_told_in_one_sentence(s3: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://localhost:1")

    with pytest.raises(ObjectFolderError, match=r"a in s3://.* cannot be listed: the store failed \(GenericError\)"):
        s3.open().sizes("a")


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that everybody may read; the folders of pytest are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="labelwire-registry-") as folder:
        Path(folder).chmod(0o555)
        yield Path(folder)


def test_a_folder_that_may_only_be_read_is_told_in_one_sentence(readable: Path) -> None:
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        with pytest.raises(ObjectFolderError, match=r"a/x in .* cannot be written: Permission denied; look at"):
            ObjectFolder.open(str(readable)).create("a/x", b"1")
        with pytest.raises(ObjectFolderError, match="new cannot be used: Permission denied"):
            ObjectFolder.open(str(readable / "new"), create=True)
    finally:
        os.seteuid(user)


@pytest.mark.real
def test_a_store_that_may_only_be_read_is_told_in_one_sentence(s3: Place, read_only: ReadOnly) -> None:
    s3.open().create("a/x", b"1")
    folder = read_only(s3).open()

    assert folder.read("a/x", 1) == b"1"
    with pytest.raises(ObjectFolderError, match=r"a/y in s3://models/r cannot be written, because the store refuses"):
        folder.create("a/y", b"1")
