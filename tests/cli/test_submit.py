"""`labelwire submit`, as a user runs it, onto librdkafka's mock cluster."""

import json
import os
import subprocess
import sys
from pathlib import Path

from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.domain.records import Record
from worker.local.kafka import MockKafka


def submit(broker: MockKafka, *arguments: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("LABELWIRE_")}
    environment = {**kept, "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers}
    command = [sys.executable, "-m", "worker", "submit", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_files_carry_their_pictures_and_uris_name_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    signed, plain = "https://CDN.example.com/b.png?signature=1", "s3://labels/c.png"
    with MockKafka(run_dir=tmp_path / "kafka") as broker:
        ended = submit(broker, str(tmp_path / "a.png"), "--uri", signed, "--uri", plain)
        assert (ended.returncode, ended.stdout) == (0, "3 jobs are in label-images.\n")
        with TopicReader(broker.bootstrap_servers, ["label-images"]) as reader:
            records: dict[bytes | None, Record] = {}
            while len(records) < 3:
                record = reader.poll(1.0)
                if record is not None:
                    records[record.key] = record
    assert records[b"a.png"].value == b"picture"
    named = records[b"https://cdn.example.com/b.png"]
    assert json.loads(named.value or b"") == {"job_id": "https://cdn.example.com/b.png", "image_uri": signed}
    assert named.header("content-type") == "application/json"
    assert b"s3://labels/c.png" in records


def test_what_is_no_uri_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with MockKafka(run_dir=tmp_path / "kafka") as broker:
        ended = submit(broker, "--uri", "s3://labels/../c.png")
        assert ended.returncode == 1
        assert "'..' in its path" in ended.stderr
        assert submit(broker, "--uri", "s3://labels/c.png").stdout == "1 job is in label-images.\n"
        assert submit(broker).returncode == 2
