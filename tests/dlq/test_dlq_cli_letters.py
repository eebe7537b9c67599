"""`labelwire dlq ls | show | stats | export` on the real broker."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner, Result

from tests.dlq.letters import NOW_MS, job, written
from worker.adapters.kafka.admin import TopicSpec, create_topics
from worker.adapters.kafka.offline.record_fetcher import RecordFetcher
from worker.adapters.kafka.offline.submit import submit
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.cli.dlq import app
from worker.dlq.inspect.export import MANIFEST
from worker.domain.errors import BrokerError, ErrorCode, LabelwireError
from worker.domain.records import Coordinate, OutgoingRecord, Record
from worker.local.kafka import KafkaServer

pytestmark = pytest.mark.real

PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03"
    b"\x01\x01\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82"
)
CORRUPT, TOO_LARGE = ErrorCode.IMAGE_CORRUPT, ErrorCode.IMAGE_TOO_LARGE


@pytest.fixture
def letters(kafka: KafkaServer, topic: str) -> str:
    """A dead-letter topic of two partitions with six letters and one record that is no letter."""
    create_topics(kafka.bootstrap_servers, [TopicSpec(topic, 2)])
    records = [
        written(job(number, PNG), code=CORRUPT if number % 2 else TOO_LARGE, at_ms=NOW_MS + number, topic=topic)
        for number in range(6)
    ]
    foreign = OutgoingRecord(topic, b"key", b"foreign", (("job-id", b"\x1b[2Jforeign"), ("labelwire.dlq.id", b"../x")))
    submit(kafka.bootstrap_servers, [*records, foreign])
    return topic


def run(kafka: KafkaServer, *arguments: str) -> Result:
    environment = {"LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    return CliRunner().invoke(app, list(arguments), env=environment)


def listed(kafka: KafkaServer, topic: str, *arguments: str) -> list[dict[str, object]]:
    ended = run(kafka, "ls", "--topic", topic, "--json", *arguments)
    assert ended.exit_code == 0, ended.output
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_all_letters_are_listed_as_plain_lines_in_a_pipe(kafka: KafkaServer, letters: str) -> None:
    ended = run(kafka, "ls", "--topic", letters)

    assert ended.exit_code == 0
    rows = [line.split("\t") for line in ended.stdout.splitlines()]
    assert {row[-1] for row in rows} == {*(f"parcel-{number}" for number in range(6)), "\\x1b[2Jforeign"}
    assert rows[-1][2:4] == ["UNKNOWN", "unknown"]
    assert ended.stderr == ""


def test_filters_choose(kafka: KafkaServer, letters: str) -> None:
    everything = listed(kafka, letters)
    fingerprints = {str(row["fingerprint"]) for row in everything if row["code"] == "IMAGE_CORRUPT"}
    assert len(everything) == 7
    assert len(fingerprints) == 1

    for filters, jobs in (
        (["--code", "image_corrupt"], {"parcel-1", "parcel-3", "parcel-5"}),
        (["--fingerprint", fingerprints.pop()[:6]], {"parcel-1", "parcel-3", "parcel-5"}),
        (["--stage", "admit"], {"parcel-0", "parcel-2", "parcel-4"}),
        (["--header", "job-id=parcel-2"], {"parcel-2"}),
        (["--key", "no such key"], set()),
        (["--newer-than", "1h"], {"\x1b[2Jforeign"}),
        (["--older-than", "1h", "--code", "IMAGE_CORRUPT", "--limit", "1"], {"parcel-1"}),
    ):
        assert {row["job_id"] for row in listed(kafka, letters, *filters)} == jobs, filters


def test_a_letter_is_shown_saved_and_drawn(kafka: KafkaServer, letters: str, tmp_path: Path) -> None:
    row = next(row for row in listed(kafka, letters) if row["job_id"] == "parcel-3")
    saved, picture = tmp_path / "payload", tmp_path / "picture.png"

    by_place = run(kafka, "show", str(row["coordinate"]), "--topic", letters)
    by_id = run(
        kafka, "show", str(row["id"]), "--topic", letters, "--json", "--save", str(saved), "--draw", str(picture)
    )
    again = run(kafka, "show", "parcel-3", "--topic", letters, "--save", str(saved))

    assert by_place.exit_code == by_id.exit_code == 0
    assert "The picture is damaged: send it again." in by_place.stdout
    told = json.loads(by_id.stdout)
    assert (told["coordinate"], told["job_id"], told["payload_missing"]) == (row["coordinate"], "parcel-3", None)
    assert saved.read_bytes() == PNG
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert isinstance(again.exception, LabelwireError)
    assert "exists already" in str(again.exception)


def test_letters_are_counted(kafka: KafkaServer, letters: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"

    as_json = run(kafka, "stats", "--topic", letters, "--json", "--html", str(page), "--older-than", "1h")
    as_text = run(kafka, "stats", "--topic", letters)

    counted = json.loads(as_json.stdout)
    assert counted["letters"] == 6
    assert {each["code"]: each["count"] for each in counted["clusters"]} == {"IMAGE_CORRUPT": 3, "IMAGE_TOO_LARGE": 3}
    assert sum(each["count"] for each in counted["histogram"]["bins"]) == 6
    assert f"6 dead letters on {letters}" in page.read_text()
    assert as_text.stdout.startswith(f"7 dead letters on {letters}")
    assert "\x1b" not in as_text.stdout


def test_letters_are_exported_and_gone_on_with(kafka: KafkaServer, letters: str, tmp_path: Path) -> None:
    folder = tmp_path / "export"

    some = run(kafka, "export", str(folder), "--topic", letters, "--code", "IMAGE_CORRUPT")
    refused = run(kafka, "export", str(folder), "--topic", letters)
    rest = run(kafka, "export", str(folder), "--topic", letters, "--resume", "--json")
    nothing = run(kafka, "export", str(tmp_path / "none"), "--topic", letters, "--code", "POISON")

    assert (some.exit_code, some.stdout) == (0, f"Exported 3 letters to {folder}, listed in {MANIFEST}.\n")
    assert "is not empty" in str(refused.exception)
    assert json.loads(rest.stdout)["written"] == 4
    lines = [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]
    assert {line["job_id"] for line in lines} == {row["job_id"] for row in listed(kafka, letters)}
    payloads = [(folder / line["payload_file"]).read_bytes() for line in lines]
    assert sorted(payloads) == sorted([PNG] * 6 + [b"foreign"])
    assert {each.parent for each in folder.rglob("*")} == {folder}
    assert f"No dead letter on {letters} matches" in str(nothing.exception)
    assert not (tmp_path / "none").exists()


def test_a_payload_left_at_its_source_comes_back_until_retention_takes_it(
    kafka: KafkaServer, topic: str, tmp_path: Path
) -> None:
    jobs = f"{topic}-jobs"
    create_topics(kafka.bootstrap_servers, [TopicSpec(topic, 1), TopicSpec(jobs, 1)])
    outgoing = OutgoingRecord(jobs, b"key", b"large" * 1_000_000, (("content-type", b"image/png"),))
    submit(kafka.bootstrap_servers, [outgoing, outgoing])
    source = Record(Coordinate(jobs, 0, 1), outgoing.key, outgoing.value, outgoing.headers, NOW_MS)
    submit(kafka.bootstrap_servers, [written(source, topic=topic, max_message_bytes=2500)])
    saved = tmp_path / "payload"

    found = run(kafka, "show", "0/0", "--topic", topic, "--save", str(saved))
    client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for deleted in client.delete_records([TopicPartition(jobs, 0, 2)]).values():
        deleted.result()
    taken = run(kafka, "show", "0/0", "--topic", topic)
    unsaved = run(kafka, "show", "0/0", "--topic", topic, "--save", str(tmp_path / "other"))
    exported = run(kafka, "export", str(tmp_path / "export"), "--topic", topic)

    assert found.exit_code == 0
    assert "is still at its source" in found.stdout
    assert saved.read_bytes() == outgoing.value
    assert "is still at its source" not in taken.stdout
    assert taken.exit_code == 0
    assert f"was at {jobs}/0/1 and is no longer there: retention removed it" in taken.stdout
    assert "is no longer there" in str(unsaved.exception)
    assert not (tmp_path / "other").exists()
    assert exported.exit_code == 1
    assert "is no longer there" in exported.stderr


def test_what_is_not_there_is_a_sentence_and_no_success(kafka: KafkaServer, letters: str) -> None:
    for arguments in (["show", "0/99"], ["show", "no such letter"]):
        ended = run(kafka, *arguments, "--topic", letters)
        assert isinstance(ended.exception, LabelwireError)
        assert "`labelwire dlq ls` lists the dead letters" in str(ended.exception)
    assert isinstance(run(kafka, "ls", "--topic", "no-such-topic").exception, BrokerError)

    command = [sys.executable, "-m", "worker", "dlq", "ls", "--code", "IMAGE_CORUPT"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert refused.returncode == 1
    assert refused.stderr == "--code 'IMAGE_CORUPT' is not known: did you mean IMAGE_CORRUPT?\n"


def test_a_fetched_record_is_the_one_at_its_place_or_none(kafka: KafkaServer, letters: str) -> None:
    with TopicReader(kafka.bootstrap_servers, [letters]) as reader:
        standing = [record for _ in range(7) if (record := reader.poll(10)) is not None]
    assert len(standing) == 7

    with RecordFetcher(kafka.bootstrap_servers) as fetcher:
        begun = time.monotonic()
        for record in standing * 3:
            assert fetcher.fetch(record.coordinate) == record
        assert time.monotonic() - begun < 10, "librdkafka waits a second after each record"
        assert fetcher.fetch(Coordinate(letters, 0, 7)) is None
        assert fetcher.fetch(Coordinate(letters, 99, 0)) is None
        assert fetcher.fetch(Coordinate(letters, 10**9, 10**18)) is None
        assert fetcher.fetch(Coordinate("no-such-topic", 0, 0)) is None
        assert fetcher.fetch(Coordinate("..", 0, 0)) is None


def test_a_gap_is_no_record(kafka: KafkaServer, topic: str) -> None:
    create_topics(kafka.bootstrap_servers, [TopicSpec(topic, 1)])
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions()
    for value, end in ((b"first", producer.commit_transaction), (b"aborted", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush()
        end()
    submit(kafka.bootstrap_servers, [OutgoingRecord(topic, None, b"last", ())])

    with RecordFetcher(kafka.bootstrap_servers, timeout_seconds=20) as fetcher:
        found = [fetcher.fetch(Coordinate(topic, 0, offset)) for offset in range(6)]

    assert [record and record.value for record in found] == [b"first", None, None, None, b"last", None]
