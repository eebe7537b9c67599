"""From records to a folder of training data."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.dlq.letters import standing, written
from tests.training.drawn import ALLOWED, FOLDER, JOBS, LETTERS, NOW_MS, Topics, drawn, field_of, page_of, read_line
from worker.domain.errors import ErrorCode, LabelwireError
from worker.domain.records import Coordinate, Headers, Record
from worker.domain.redaction import MASK
from worker.lab.evaluation.dataset import load
from worker.pipeline.options import ImageLimits
from worker.reporting.progress import counted
from worker.training.consent import Consent
from worker.training.counts import Skip, TrainingCounts
from worker.training.export import ExportOrder, TrainingExport
from worker.training.lists import write_lists
from worker.training.manifest import MANIFEST, TrainingKind, TrainingManifest, TrainingRecord
from worker.training.split import SplitBy, Splitter

RESULTS, LINES, DEAD = TrainingKind.RESULTS, TrainingKind.LINES, TrainingKind.DEAD_LETTERS
SURE, DOUBTFUL = read_line(0, "HELLO"), read_line(1, "W0RLD", 0.7)
PICTURE = drawn("HELLO", "WORLD")


def order(*kinds: TrainingKind, **changes: Any) -> ExportOrder:  # noqa: ANN401 - whatever an order takes
    splitter = Splitter.parse(
        changes.pop("split", "100/0/0"), changes.pop("seed", 0), changes.pop("by", SplitBy.CONTENT)
    )
    consent = Consent.parse(None, granted=changes.pop("granted", False))
    plain = ExportOrder(kinds or (RESULTS,), consent, splitter, 0.9, 100, ImageLimits())
    return replace(plain, **changes)


def export(topics: Topics, folder: Path, ordered: ExportOrder | None = None, *, resume: bool = False) -> TrainingCounts:
    ordered = ordered or order()
    with TrainingManifest.opened(folder, ordered.saved, resume=resume) as manifest:
        counts = TrainingExport(ordered, topics.records, manifest).run(counted)
        if manifest.records:
            write_lists(manifest)
    return counts


def manifest_of(folder: Path) -> list[TrainingRecord]:
    return [TrainingRecord.model_validate_json(line) for line in (folder / MANIFEST).read_text().splitlines()]


def one_result() -> Topics:
    topics = Topics()
    topics.add(PICTURE, page_of([SURE, DOUBTFUL]), key=b"parcel-1")
    return topics


def letter(job: Record, number: int, **failure: Any) -> Record:  # noqa: ANN401 - as `written` takes it
    return standing(written(job, topic=LETTERS, **failure), number)


def job(number: int, value: bytes, *headers: tuple[str, bytes | None]) -> Record:
    own: Headers = (("content-type", b"image/png"), ("job-id", b"parcel"), *headers)
    return Record(Coordinate(JOBS, 3, number), b"key", value, own, NOW_MS)


def test_a_result_becomes_a_picture_with_its_lines_and_the_crops_of_the_sure_ones(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "export"

    counts = export(one_result(), folder)

    assert (counts.written[RESULTS], counts.skipped.total()) == (1, 0)
    assert folder.stat().st_mode & 0o077 == 0
    (record,) = manifest_of(folder)
    assert (record.kind, record.coordinate, record.job) == (RESULTS, "label-text/0/0", "label-images/0/0")
    assert (record.consent, record.models) == ("header labelwire.consent=training", {"text_recognizer": "7 fp32"})
    (page,) = record.pages
    assert page.file is not None
    assert (folder / page.file).read_bytes() == PICTURE
    assert [(line.text, line.trust.value, line.crop is not None) for line in page.lines] == [
        ("HELLO", "confident", True),
        ("W0RLD", "unsure", False),
    ]
    crop = cv2.imread(str(folder / str(page.lines[0].crop)))
    assert crop is not None
    assert crop.shape[0] == 48
    assert not (folder / "to_review").exists()


def test_paddles_lists_ignore_what_is_doubtful(tmp_path: Path) -> None:
    export(one_result(), tmp_path)

    path, _, regions = (tmp_path / "detection/det_gt_train.txt").read_text().rstrip("\n").partition("\t")
    assert (tmp_path / "detection" / path).read_bytes() == PICTURE
    assert json.loads(regions) == [
        {"transcription": "HELLO", "points": [list(point) for point in SURE.polygon]},
        {"transcription": "###", "points": [list(point) for point in DOUBTFUL.polygon]},
    ]
    path, _, text = (tmp_path / "recognition/rec_gt_train.txt").read_text().rstrip("\n").partition("\t")
    assert text == "HELLO"
    assert cv2.imread(str(tmp_path / "recognition" / path)) is not None
    assert (tmp_path / "detection/det_gt_validation.txt").read_text() == ""


def test_doctrs_labels_hold_all_lines_to_find_and_the_single_words_to_read(tmp_path: Path) -> None:
    topics = one_result()
    topics.add(drawn("TWO WORDS", "ONE"), page_of([read_line(0, "TWO WORDS"), read_line(1, "ONE")]))

    export(topics, tmp_path)

    labels = json.loads((tmp_path / "detection/train/labels.json").read_bytes())
    assert sorted(len(label["polygons"]) for label in labels.values()) == [2, 2]
    for name, label in labels.items():
        picture = cv2.imread(str(tmp_path / "detection/train/images" / name))
        assert picture is not None
        assert list(picture.shape[:2]) == label["img_dimensions"]
    words = json.loads((tmp_path / "recognition/train/labels.json").read_bytes())
    assert sorted(words.values()) == ["HELLO", "ONE"]
    assert all((tmp_path / "recognition/train/images" / name).is_file() for name in words)


def test_doubtful_lines_are_for_review_and_never_among_the_labels(tmp_path: Path) -> None:
    counts = export(one_result(), tmp_path, order(LINES))

    assert counts.written[LINES] == 1
    assert (tmp_path / "recognition/rec_gt_train.txt").read_text() == ""
    assert (tmp_path / "detection/det_gt_train.txt").read_text() == ""
    path, _, text = (tmp_path / "to_review/lines/train/rec_gt_uncorrected.txt").read_text().rstrip("\n").partition("\t")
    assert text == "W0RLD"
    crop = (tmp_path / "to_review/lines/train" / path).read_bytes()
    assert json.loads((tmp_path / "to_review/lines/train/labels_uncorrected.json").read_bytes()) == {
        Path(path).name: "W0RLD"
    }
    page = (tmp_path / "to_review/review.html").read_text()
    assert "W0RLD" in page
    assert "HELLO" not in page
    assert cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR) is not None


def test_proven_lines_are_labels_and_contradicted_ones_are_for_review(tmp_path: Path) -> None:
    proven, repaired = read_line(0, "00 340123", 0.6), read_line(1, "1Z999", 0.99)
    fields = [field_of(proven), field_of(repaired).model_copy(update={"repaired": True, "value": "1Z998"})]
    topics = Topics()
    topics.add(drawn("00 340123", "1Z999"), page_of([proven, repaired], fields))

    export(topics, tmp_path, order(RESULTS, LINES))

    assert (tmp_path / "recognition/rec_gt_train.txt").read_text().endswith("\t00 340123\n")
    assert (tmp_path / "to_review/lines/train/rec_gt_uncorrected.txt").read_text().endswith("\t1Z999\n")
    trusts = {record.kind: [line.trust.value for line in record.pages[0].lines] for record in manifest_of(tmp_path)}
    assert trusts == {RESULTS: ["check", "disputed"], LINES: ["disputed"]}


@pytest.mark.parametrize("headers", [(), (("labelwire.consent", b"none"),)])
def test_without_consent_nothing_is_written(tmp_path: Path, headers: Headers) -> None:
    topics = Topics()
    topics.add(PICTURE, page_of([SURE, DOUBTFUL]), headers=headers)
    topics.letters.append(letter(job(0, PICTURE, *headers), 0))
    folder = tmp_path / "export"

    counts = export(topics, folder, order(RESULTS, LINES, DEAD))

    assert {
        reason: counts.skipped[kind, reason] for kind, reason in counts.skipped if counts.skipped[kind, reason]
    } == {Skip.NO_CONSENT: 1}
    assert counts.written.total() == 0
    assert not folder.exists()


def test_a_job_that_does_not_agree_is_left_out_whatever_its_result_says(tmp_path: Path) -> None:
    topics = one_result()
    (bare,) = topics.jobs
    topics.jobs[0] = Record(bare.coordinate, bare.key, bare.value, bare.headers[:1], bare.timestamp_ms)

    counts = export(topics, tmp_path / "export")

    assert counts.reasons(RESULTS) == {"no-consent": 1}
    assert not (tmp_path / "export").exists()


def test_only_named_kinds_are_exported(tmp_path: Path) -> None:
    topics = one_result()
    topics.letters.append(letter(job(0, drawn("LOST"), *ALLOWED), 0))

    export(topics, tmp_path, order(DEAD))

    assert {record.kind for record in manifest_of(tmp_path)} == {DEAD}


def test_a_picture_comes_once_whatever_jobs_brought_it(tmp_path: Path) -> None:
    topics = one_result()
    topics.add(PICTURE, page_of([read_line(0, "NEWER")]), at_ms=NOW_MS + 1)
    topics.letters += [letter(job(number, PICTURE, *ALLOWED), number) for number in range(2)]

    counts = export(topics, tmp_path, order(RESULTS, DEAD, split="50/25/25"))

    result, dead = manifest_of(tmp_path)
    assert [line.text for line in result.pages[0].lines] == ["NEWER"]
    assert result.split is dead.split
    assert (counts.reasons(RESULTS), counts.reasons(DEAD)) == ({"repeated": 1}, {"repeated": 1})


def test_no_picture_is_in_two_splits_though_its_keys_are(tmp_path: Path) -> None:
    topics = Topics()
    for number in range(12):
        picture = drawn(f"LABEL {number}")
        topics.add(picture, page_of([read_line(0, f"LABEL {number}")]), key=b"%d" % number)
        other = Record(
            Coordinate(JOBS, 3, number), b"other", picture, (("content-type", b"image/png"), *ALLOWED), NOW_MS
        )
        topics.letters.append(letter(other, number))

    export(topics, tmp_path, order(RESULTS, DEAD, split="34/33/33", by=SplitBy.KEY))

    splits: dict[str, set[str]] = {}
    for record in manifest_of(tmp_path):
        splits.setdefault(record.content_sha256, set()).add(record.split)
    assert len(splits) == 12
    assert all(len(each) == 1 for each in splits.values())
    assert len(set.union(*splits.values())) == 3


def test_a_limit_is_for_each_kind_and_holds_over_a_resumed_export(tmp_path: Path) -> None:
    topics = Topics()
    for number in range(6):
        topics.add(drawn(f"LABEL {number}"), page_of([read_line(0, f"LABEL {number}"), DOUBTFUL]))

    first = export(topics, tmp_path, order(RESULTS, LINES, limit=2))
    again = export(topics, tmp_path, order(RESULTS, LINES, limit=3), resume=True)

    assert (first.written[RESULTS], first.written[LINES], first.reasons(RESULTS)) == (2, 2, {"over-limit": 4})
    assert (again.written[RESULTS], again.present[RESULTS]) == (1, 2)
    assert len(manifest_of(tmp_path)) == 6


def test_pictures_that_cannot_be_had_are_counted_by_reason(tmp_path: Path) -> None:
    topics = Topics()
    gone = topics.add(drawn("A"), page_of([SURE]))
    topics.add(drawn("B"), page_of([SURE]), read_from=drawn("C"))
    topics.add(b"\x89PNG\r\n\x1a\nbroken", page_of([SURE]))
    topics.add(drawn("D"), page_of([SURE]).model_copy(update={"width": 5}))
    topics.add(drawn("E"), page_of([SURE]), page_of([SURE]))
    topics.add(drawn("F"), page_of([]))
    topics.add(drawn("G"), page_of([DOUBTFUL]))
    topics.add(drawn("H"), page_of([SURE, read_line(1, MASK)]))
    topics.results.append(Record(Coordinate("label-text", 0, 99), None, b"{}", ALLOWED, 0))
    topics.results.append(Record(Coordinate("label-text", 0, 100), None, None, ALLOWED, 0))
    topics.jobs = [each for each in topics.jobs if each.coordinate.offset != gone.coordinate.offset]

    counts = export(topics, tmp_path / "export")

    assert counts.written.total() == 0
    assert counts.reasons(RESULTS) == {
        "not-a-result": 2,
        "no-such-lines": 2,
        "redacted": 1,
        "picture-missing": 1,
        "picture-changed": 3,
        "picture-unreadable": 1,
    }
    assert any("is no longer on its topic label-images" in sentence for sentence in counts.sentences)


def test_pictures_of_dead_letters_are_for_review_without_labels(tmp_path: Path) -> None:
    topics = Topics()
    by_uri = json.dumps({"image_uri": "s3://labels/in/a.png"}).encode()
    topics.blobs.put(f"{FOLDER}a.png", drawn("URI"))
    large = job(2, PICTURE, *ALLOWED)
    topics.jobs.append(large)
    topics.letters = [
        letter(job(0, drawn("FAINT"), *ALLOWED), 0, code=ErrorCode.IMAGE_QUALITY_POOR),
        letter(Record(Coordinate(JOBS, 3, 1), None, by_uri, (("content-type", b"application/json"), *ALLOWED), 0), 1),
        letter(large, 2, max_message_bytes=1500),
        letter(job(3, drawn("CRASH"), *ALLOWED), 3, code=ErrorCode.POISON),
        letter(job(4, b"no picture", *ALLOWED), 4),
        letter(job(5, b'{"image_uri": "s3://labels/in/b.png"}', ("content-type", b"application/json"), *ALLOWED), 5),
        letter(job(7, b"{}", ("content-type", b"application/json"), *ALLOWED), 7),
        letter(job(6, b'{"image_uri": "s3://others/a.png"}', ("content-type", b"application/json"), *ALLOWED), 6),
    ]

    counts = export(topics, tmp_path, order(DEAD))

    assert counts.written[DEAD] == 3
    assert counts.reasons(DEAD) == {"picture-missing": 2, "picture-unreadable": 2, "poison": 1}
    assert {str(uri) for uri in topics.blobs.fetched} == {f"{FOLDER}a.png", f"{FOLDER}b.png"}
    records = manifest_of(tmp_path)
    assert sorted(record.code for record in records) == ["IMAGE_CORRUPT", "IMAGE_CORRUPT", "IMAGE_QUALITY_POOR"]
    pictures = {(tmp_path / str(record.pages[0].file)).read_bytes() for record in records}
    assert pictures == {drawn("FAINT"), drawn("URI"), PICTURE}
    rows = (tmp_path / "to_review/pictures/train/det_gt_uncorrected.txt").read_text().splitlines()
    assert [row.partition("\t")[2] for row in rows] == ["[]"] * 3
    assert "IMAGE_QUALITY_POOR" in (tmp_path / "to_review/review.html").read_text()
    assert (tmp_path / "detection/det_gt_train.txt").read_text() == ""


def test_letters_that_are_exported_already_are_not_fetched_again(tmp_path: Path) -> None:
    topics = Topics()
    by_uri = json.dumps({"image_uri": "s3://labels/in/a.png"}).encode()
    topics.blobs.put(f"{FOLDER}a.png", drawn("URI"))
    for number in range(2):
        coordinate = Coordinate(JOBS, 3, number)
        received = Record(coordinate, None, by_uri, (("content-type", b"application/json"), *ALLOWED), NOW_MS)
        topics.letters.append(letter(received, number, at_ms=NOW_MS + number))
    first = export(topics, tmp_path, order(DEAD))
    topics.blobs.fetched.clear()
    topics.letters = topics.letters[1:]

    again = export(topics, tmp_path, order(DEAD), resume=True)

    assert (first.written[DEAD], first.reasons(DEAD)) == (1, {"repeated": 1})
    assert (again.written[DEAD], again.present[DEAD], again.reasons(DEAD)) == (0, 1, {})
    assert topics.blobs.fetched == []


def test_a_letter_whose_job_stayed_behind_needs_the_consent_of_that_job(tmp_path: Path) -> None:
    topics = Topics()
    large = job(2, PICTURE * 3)
    topics.jobs.append(large)
    topics.letters = [letter(large, 2, max_message_bytes=1500)]

    counts = export(topics, tmp_path / "export", order(DEAD))

    assert counts.reasons(DEAD) == {"no-consent": 1}
    assert not (tmp_path / "export").exists()


def test_an_export_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    topics = Topics()
    for number in range(5):
        topics.add(drawn(f"LABEL {number}"), page_of([read_line(0, f"LABEL {number}")]))
    ordered = order()
    with TrainingManifest.opened(tmp_path, ordered.saved, resume=False) as manifest:
        running = TrainingExport(ordered, topics.records, manifest)
        with pytest.raises(KeyboardInterrupt):
            running.run(stopping_after(2))
    # Killed while it wrote: a line and a picture that are not whole.
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(b'{"kind": "resul')
    before = manifest_before(tmp_path)

    counts = export(topics, tmp_path, resume=True)

    assert (counts.present[RESULTS], counts.written[RESULTS]) == (3, 2)
    records = manifest_of(tmp_path)
    assert [record.coordinate for record in records[:3]] == before
    assert len({record.content_sha256 for record in records}) == 5
    assert len((tmp_path / "detection/det_gt_train.txt").read_text().splitlines()) == 5
    assert len(load(tmp_path / "detection/train").samples) == 5


def manifest_before(folder: Path) -> list[str]:
    whole = [line for line in (folder / MANIFEST).read_text().splitlines() if line.endswith("}")]
    return [json.loads(line)["coordinate"] for line in whole]


@contextmanager
def _stopping(after: int) -> Iterator[Any]:
    done: list[int] = []

    def advance() -> None:
        done.append(1)
        if len(done) > after:
            raise KeyboardInterrupt

    yield advance


def stopping_after(count: int) -> Any:  # noqa: ANN401 - as `counted`, which is called with what it counts
    return lambda _what, _total: _stopping(count)


def test_the_same_options_are_needed_to_go_on(tmp_path: Path) -> None:
    export(one_result(), tmp_path)

    for changes, sentence in (
        ({"seed": 7}, "was begun with --seed 0, not --seed 7: give the same with --resume"),
        ({"split": "80/10/10"}, "was begun with --split 100/0/0, not --split 80/10/10"),
        ({"by": SplitBy.KEY}, "was begun with --split-by content, not --split-by key"),
        ({"min_confidence": 0.8}, r"was begun with --min-confidence 0\.9, not --min-confidence 0\.8"),
    ):
        with pytest.raises(LabelwireError, match=sentence):
            export(one_result(), tmp_path, order(**changes), resume=True)


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")

    with pytest.raises(LabelwireError, match="is not empty; choose another, or continue its export with --resume"):
        export(one_result(), tmp_path)
    with pytest.raises(LabelwireError, match=r"holds no export to resume: it has no export\.json"):
        export(one_result(), tmp_path, resume=True)
    with pytest.raises(LabelwireError, match="cannot be read: Not a directory"):
        export(one_result(), tmp_path / "mine")
    (tmp_path / "export.json").write_text("{}")
    with pytest.raises(LabelwireError, match="is not the options of an export"):
        export(one_result(), tmp_path, resume=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["export.json", "mine"]


def test_a_manifest_of_something_else_is_refused(tmp_path: Path) -> None:
    export(one_result(), tmp_path)
    (tmp_path / MANIFEST).write_text('{"something": "else"}\n')

    with pytest.raises(LabelwireError, match=r"manifest\.jsonl, line 1, is not a record of an export"):
        export(one_result(), tmp_path, resume=True)


def test_a_full_disk_ends_the_export_in_a_sentence_and_names_no_record_that_is_not_whole(tmp_path: Path) -> None:
    topics = one_result()
    topics.add(np.random.default_rng(1).integers(0, 255, 40_000, np.uint8).tobytes(), page_of([SURE]))
    noise = np.random.default_rng(1).integers(0, 255, (320, 640, 3), np.uint8)
    topics.add(cv2.imencode(".png", noise)[1].tobytes(), page_of([SURE]))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(LabelwireError, match=r"\.png cannot be written: File too large"):
            export(topics, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    counts = export(topics, tmp_path, resume=True)

    assert len(manifest_of(tmp_path)) == 2
    assert counts.reasons(RESULTS) == {"picture-unreadable": 1}
    assert len(load(tmp_path / "detection/train").samples) == 2


def test_a_text_that_would_break_a_list_has_no_crop(tmp_path: Path) -> None:
    topics = Topics()
    lines = [read_line(0, "A\tB"), read_line(1, "C\nD"), read_line(2, "E\u3000F")]
    topics.add(drawn("A", "C", "E"), page_of(lines))

    export(topics, tmp_path)

    rows = (tmp_path / "recognition/rec_gt_train.txt").read_text().splitlines()
    assert [row.split("\t")[1] for row in rows] == ["E\u3000F"]
    (row,) = (tmp_path / "detection/det_gt_train.txt").read_text().splitlines()
    assert len(row.split("\t")) == 2
    assert [region["transcription"] for region in json.loads(row.split("\t")[1])] == ["A\tB", "C\nD", "E\u3000F"]
