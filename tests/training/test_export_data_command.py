"""`labelwire models export-data`, on files and on the real broker."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.dlq.failures import written
from tests.dlq.replays import Ward
from tests.training.drawn import ALLOWED, drawn, page_of, read_line, result_of
from worker.adapters.kafka.offline.bounded_reader import BoundedReader
from worker.adapters.kafka.offline.submit import submit
from worker.cli.models import app
from worker.domain.errors import BrokerError, ErrorCode, LabelwireError
from worker.domain.records import Coordinate, OutgoingRecord, Record
from worker.runtime.results import result_record
from worker.training.manifest import TrainingRecord

SURE, DOUBTFUL = read_line(0, "HELLO"), read_line(1, "W0RLD", 0.7)


def run(*arguments: str | Path, environment: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, ["export-data", *map(str, arguments)], env=environment or {})


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two pictures and what was read off them, and a result whose picture is missing."""
    folder = tmp_path / "files"
    folder.mkdir()
    rows = []
    for number in range(2):
        picture = drawn("HELLO", f"WORLD {number}")
        (folder / f"{number}.png").write_bytes(picture)
        rows.append(result_of(picture, Coordinate("file", 0, number), page_of([SURE, DOUBTFUL])).to_json())
    (folder / "results.jsonl").write_bytes(b"\n".join(rows) + b"\n")
    lost = result_of(b"lost", Coordinate("file", 0, 2), page_of([SURE]))
    (folder / "lost.json").write_text(json.dumps(json.loads(lost.to_json()), indent=2))
    return folder


def test_files_become_training_data(files: Path, tmp_path: Path) -> None:
    ended = run(tmp_path / "out", "--results", "--lines", "--data", files, "--consent-granted", "--split", "100/0/0")

    assert ended.exit_code == 0, ended.output
    assert "results: 2 records written; left out: 1 picture-missing.\n" in ended.stdout
    assert "lines: 2 records written; left out: 1 no-such-lines.\n" in ended.stdout
    assert "dead-letters" not in ended.stdout
    assert "No picture is in the split for validation" in ended.stderr
    assert "HELLO" not in ended.output
    for name in ("README.md", "paddle_det.yml", "paddle_rec.yml", "to_review/review.html", "manifest.jsonl"):
        assert (tmp_path / "out" / name).stat().st_size > 0


def test_counts_are_told_as_json(files: Path, tmp_path: Path) -> None:
    ended = run(tmp_path / "out", "--results", "--data", files, "--consent-granted", "--split", "100/0/0", "--json")

    told = json.loads(ended.stdout)
    assert told["kinds"]["results"] == {"written": 2, "present": 0, "skipped": {"picture-missing": 1}}
    assert (told["pictures"]["train"], told["lines"]["train"]) == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Nothing is named to export: give --results, --lines or --dead-letters"),
        (("--results", "--data", "."), "have no headers to carry a consent: give --consent-granted"),
        (("--dead-letters", "--data", ".", "--consent-granted"), "holds no dead letters: leave out one of the two"),
        (("--results", "--consent-granted", "--consent-header", "a=b"), "give one of them"),
        (("--results", "--consent-header", "a"), "is not NAME=VALUE"),
        (("--results", "--split", "1/2/3"), "write it as 80/10/10"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = run(tmp_path / "out", *arguments)

    assert isinstance(ended.exception, LabelwireError)
    assert sentence in str(ended.exception)
    assert str(ended.exception).count(". ") == 0
    assert not (tmp_path / "out").exists()


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    ended = run(tmp_path / "out", "--results", "--data", tmp_path, "--consent-granted")

    assert isinstance(ended.exception, LabelwireError)
    assert "holds no results" in str(ended.exception)


def test_no_record_that_may_be_exported_ends_with_the_counts_and_writes_nothing(files: Path, tmp_path: Path) -> None:
    for picture in files.glob("*.png"):
        picture.unlink()

    ended = run(tmp_path / "out", "--results", "--data", files, "--consent-granted")

    assert ended.exit_code == 1
    assert "results: 0 records written; left out: 3 picture-missing." in ended.stdout
    assert "No record may be exported, so nothing was written" in ended.stderr
    assert not (tmp_path / "out").exists()


def records_on(ward: Ward, topic: str) -> list[Record]:
    with BoundedReader(ward.bootstrap_servers, [topic]) as reader:
        return list(reader)


def sent(ward: Ward, topic: str, records: Iterable[OutgoingRecord]) -> list[Record]:
    submit(ward.bootstrap_servers, records)
    return records_on(ward, topic)


@pytest.fixture
def stream(ward: Ward) -> Ward:
    """Topics with eight results, six of them with consent, and four dead letters, two of them with consent."""
    jobs = []
    for number in range(12):
        headers = (("content-type", b"image/png"), *(ALLOWED if number % 4 != 3 else ()))
        jobs.append(OutgoingRecord(ward.jobs, b"key-%d" % (number % 3), drawn("HELLO", f"LABEL {number}"), headers))
    standing = sent(ward, ward.jobs, jobs)
    standing.sort(key=lambda job: [job.value for job in jobs].index(job.value))
    results = []
    for job in standing[:8]:
        result = result_of(job.value or b"", job.coordinate, page_of([SURE, DOUBTFUL]))
        results.append(result_record(job, result, ward.results))
    submit(ward.bootstrap_servers, results)
    codes = (ErrorCode.IMAGE_QUALITY_POOR, ErrorCode.POISON, ErrorCode.INTERNAL, ErrorCode.INTERNAL)
    letters = [
        written(job, code, topic=ward.dead_letters, cluster_id="c")
        for job, code in zip(standing[8:], codes, strict=True)
    ]
    submit(ward.bootstrap_servers, letters)
    return ward


def told(ended: Result) -> dict[str, Any]:
    assert ended.exit_code == 0, ended.output
    kinds: dict[str, Any] = json.loads(ended.stdout)["kinds"]
    return kinds


@pytest.mark.real
def test_topics_become_training_data_and_stay_as_they_are(stream: Ward, tmp_path: Path) -> None:
    folder, kinds = tmp_path / "out", ("--results", "--lines", "--dead-letters")
    before = {topic: len(records_on(stream, topic)) for topic in (stream.jobs, stream.results, stream.dead_letters)}

    first = told(run(folder, *kinds, "--limit", "4", "--json", environment=stream.environment))
    more = told(run(folder, *kinds, "--resume", "--json", environment=stream.environment))

    assert first["results"] == {"written": 4, "present": 0, "skipped": {"no-consent": 2, "over-limit": 2}}
    assert first["dead-letters"] == {"written": 2, "present": 0, "skipped": {"no-consent": 1, "poison": 1}}
    assert more["results"] == {"written": 2, "present": 4, "skipped": {"no-consent": 2}}
    assert more["lines"] == {"written": 2, "present": 4, "skipped": {"no-consent": 2}}
    assert more["dead-letters"]["written"] == 0
    manifest = [TrainingRecord.model_validate_json(row) for row in (folder / "manifest.jsonl").read_text().splitlines()]
    assert len(manifest) == 14
    jobs = {str(job.coordinate): job for job in records_on(stream, stream.jobs)}
    for record in manifest:
        job = jobs[record.job]
        assert dict(job.headers)["labelwire.consent"] == b"training"
        assert hashlib.sha256(job.value or b"").hexdigest() == record.content_sha256
        assert record.key_sha256 == hashlib.sha256(job.key or b"").hexdigest()
    after = {topic: len(records_on(stream, topic)) for topic in before}
    assert after == before


@pytest.mark.real
def test_with_another_header_or_the_operators_word_other_records_are_allowed(stream: Ward, tmp_path: Path) -> None:
    refused = run(tmp_path / "none", "--results", "--consent-header", "basis=x", environment=stream.environment)
    granted = told(run(tmp_path / "all", "--results", "--consent-granted", "--json", environment=stream.environment))

    assert refused.exit_code == 1
    assert "results: 0 records written; left out: 8 no-consent." in refused.stdout
    assert not (tmp_path / "none").exists()
    assert granted["results"] == {"written": 8, "present": 0, "skipped": {}}


@pytest.mark.real
def test_a_topic_that_is_missing_is_named(stream: Ward, tmp_path: Path) -> None:
    environment = stream.environment | {"LABELWIRE_TOPICS__RESULTS": "no-such-topic"}

    ended = run(tmp_path / "out", "--results", environment=environment)

    assert isinstance(ended.exception, BrokerError)
    assert "has no topic no-such-topic; create it, or name another" in str(ended.exception)
    assert not (tmp_path / "out").exists()
