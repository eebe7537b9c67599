"""Letters as files."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dlq.letters import LETTERS, NOW_MS, job, standing, written
from worker.dlq.inspect.export import MANIFEST, ExportResult, export
from worker.dlq.inspect.files import extension_of, longer_stem_of, save_new, stem_of
from worker.dlq.letter import DeadLetter
from worker.domain.errors import LabelwireError
from worker.domain.records import Coordinate, OutgoingRecord, Record

SAFE = set("0123456789abcdefghijklmnopqrstuvwxyz-.")


def letters(count: int) -> list[DeadLetter]:
    return [DeadLetter.of(standing(written(job(number, b"%d" % number)), number)) for number in range(count)]


def foreign(name: str, value: bytes) -> DeadLetter:
    return DeadLetter.of(standing(OutgoingRecord(LETTERS, None, b"x", ((name, value),)), 3))


def manifest_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]


def gone(_: Coordinate) -> Record | None:
    return None


def written_to(folder: Path, chosen: list[DeadLetter], *, resume: bool = False) -> ExportResult:
    return export(chosen, folder, gone, resume=resume)


def test_each_letter_is_its_payload_and_what_is_known_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"

    exported = written_to(folder, letters(3))

    assert (exported.written, exported.present, exported.missing) == (3, 0, [])
    lines = manifest_of(folder)
    assert [line["job_id"] for line in lines] == ["parcel-0", "parcel-1", "parcel-2"]
    for number, line in enumerate(lines):
        assert line["payload_file"] == f"{line['id']}.png"
        assert (folder / str(line["payload_file"])).read_bytes() == b"%d" % number
        told = json.loads((folder / str(line["letter_file"])).read_bytes())
        assert told["coordinate"] == line["coordinate"] == f"{LETTERS}/0/{number}"
        assert told["error"]["code"] == "IMAGE_CORRUPT"
        assert {"name": "job-id", "text": f"parcel-{number}"} in told["headers"]
    assert len(list(folder.iterdir())) == 7
    assert folder.stat().st_mode & 0o077 == 0


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")

    with pytest.raises(LabelwireError, match="is not empty; choose another, or continue its export with --resume"):
        written_to(tmp_path, letters(1))
    with pytest.raises(LabelwireError, match="holds no export to resume"):
        written_to(tmp_path, letters(1), resume=True)
    with pytest.raises(LabelwireError, match="cannot be read: Not a directory"):
        written_to(tmp_path / "mine", letters(1))
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_nothing_selected_makes_no_folder(tmp_path: Path) -> None:
    assert written_to(tmp_path / "new", []).written == 0
    assert not (tmp_path / "new").exists()


def test_an_export_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    def broken() -> Iterator[DeadLetter]:
        yield from letters(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(broken(), tmp_path, gone, resume=False)
    # Killed while it wrote: a line and a file that are not whole.
    with (tmp_path / MANIFEST).open("ab") as manifest:
        manifest.write(b'{"coordinate": "label-im')
    third = letters(3)[2]
    (tmp_path / f"{third.id}.png").write_bytes(b"half")

    exported = written_to(tmp_path, letters(4), resume=True)

    assert (exported.written, exported.present) == (2, 2)
    assert [line["job_id"] for line in manifest_of(tmp_path)] == [f"parcel-{number}" for number in range(4)]
    assert (tmp_path / f"{third.id}.png").read_bytes() == b"2"


def test_letters_of_a_topic_that_was_made_anew_are_exported_beside_those_of_the_former(tmp_path: Path) -> None:
    former = letters(2)
    anew = [DeadLetter.of(standing(written(job(n, b"new %d" % n), at_ms=NOW_MS + 9), n)) for n in range(3)]

    written_to(tmp_path, former)
    exported = written_to(tmp_path, anew, resume=True)
    again = written_to(tmp_path, anew, resume=True)

    assert [letter.id for letter in former] == [letter.id for letter in anew[:2]]
    assert (exported.written, exported.present, again.written, again.present) == (3, 0, 0, 3)
    payloads = [(tmp_path / str(line["payload_file"])).read_bytes() for line in manifest_of(tmp_path)]
    assert payloads == [b"0", b"1", b"new 0", b"new 1", b"new 2"]


def test_a_manifest_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"something": "else"}\n')

    with pytest.raises(LabelwireError, match=r"letters.jsonl, line 1, is not a letter of an export"):
        written_to(tmp_path, letters(1), resume=True)


def test_a_letter_that_stands_twice_is_there_twice(tmp_path: Path) -> None:
    twice = [DeadLetter.of(standing(written(job(1, b"same")), offset)) for offset in (4, 9)]

    exported = written_to(tmp_path, twice)

    lines = manifest_of(tmp_path)
    assert exported.written == 2
    assert len({str(line["letter_file"]) for line in lines}) == 2
    assert {line["coordinate"] for line in lines} == {f"{LETTERS}/0/4", f"{LETTERS}/0/9"}
    assert all((tmp_path / str(line["payload_file"])).read_bytes() == b"same" for line in lines)


def test_a_payload_left_at_its_source_is_fetched_or_missed_aloud(tmp_path: Path) -> None:
    received = job(1, b"large" * 1000)
    reference = DeadLetter.of(standing(written(received, max_message_bytes=2000), 0))

    found = export([reference], tmp_path / "found", lambda _: received, resume=False)
    missed = export([reference], tmp_path / "missed", gone, resume=False)
    again = export([reference], tmp_path / "missed", gone, resume=True)

    assert (tmp_path / "found" / f"{reference.id}.png").read_bytes() == received.value
    assert found.missing == []
    assert len(missed.missing) == 1
    assert "retention removed it" in missed.missing[0]
    assert manifest_of(tmp_path / "missed")[0]["payload_file"] is None
    assert (again.written, again.present, again.missing) == (0, 1, missed.missing)


@pytest.mark.parametrize(
    ("content_type", "extension"),
    [
        (b"image/jpeg", ".jpg"),
        (b"IMAGE/PNG; q=1", ".png"),
        (b"application/json", ".payload.json"),
        (b"text/html", ".bin"),
        (b"../../x", ".bin"),
        (b"", ".bin"),
    ],
)
def test_extensions(content_type: bytes, extension: str) -> None:
    assert extension_of(foreign("content-type", content_type).record) == extension


@given(st.binary(max_size=300) | st.sampled_from([b"../../x", b"/etc/passwd", b"..", b"", b"a/b", b"con", b"F" * 32]))
def test_names_are_safe_whatever_the_headers_say(value: bytes) -> None:
    letter = foreign("labelwire.dlq.id", value)

    for name in (stem_of(letter), longer_stem_of(letter)):
        assert set(name) <= SAFE
        assert not name.startswith(".")
        assert len(name) < 100


def test_hostile_ids_stay_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "export"

    written_to(folder, [foreign("labelwire.dlq.id", b"../evil")])

    assert [each.name for each in tmp_path.iterdir()] == ["export"]
    assert len(list(folder.iterdir())) == 3


def test_a_saved_file_replaces_nothing(tmp_path: Path) -> None:
    save_new(tmp_path / "picture.png", b"first")

    with pytest.raises(LabelwireError, match="exists already"):
        save_new(tmp_path / "picture.png", b"second")
    with pytest.raises(LabelwireError, match="cannot be written: No such file or directory"):
        save_new(tmp_path / "no" / "picture.png", b"first")
    assert (tmp_path / "picture.png").read_bytes() == b"first"
