"""RapidOCR behind a plain Kafka consumer, as a user would write it without Labelwire: the anchor of every comparison.

This file runs by path in an environment of its own (rapidocr, confluent-kafka) and imports nothing of Labelwire. It
takes one job after the other, RapidOCR uses all cores for it as its defaults say, and it answers with JSON:
`{"job_id", "lines": [{"polygon", "text", "score"}], "duration_ms", "engine", "version"}`, or `"error"` for a picture
that it cannot decode. With `--barcodes`, zxing-cpp reads the whole picture as well, and the answer has `"barcodes"`, a
list of texts. Nothing but the engine is chosen here; threads, sizes and thresholds are the libraries' own.
"""

import argparse
import importlib.metadata
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import cv2
import numpy as np
import zxingcpp
from confluent_kafka import Consumer, Message, Producer
from rapidocr import EngineType, RapidOCR

_POLL_SECONDS = 0.5
_FLUSH_SECONDS = 10.0


class Stop:
    """Whether a signal asked for the end."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Take the signal."""
        self.asked = True


def make_reader(engine: str) -> RapidOCR:
    """Return RapidOCR with all three models on one engine, everything else by default."""
    kind = EngineType(engine)
    return RapidOCR(params={f"{model}.engine_type": kind for model in ("Det", "Cls", "Rec")})


def read(reader: RapidOCR, value: bytes, *, barcodes: bool) -> dict[str, Any]:
    """Read one encoded picture, with its barcodes if they are asked for."""
    started = time.perf_counter()
    picture = cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR) if value else None
    if picture is None:
        return {"lines": [], "error": "not a picture", "duration_ms": 0.0}
    found = reader(picture)
    boxes, texts, scores = found.boxes, found.txts, found.scores
    lines = []
    if boxes is not None and texts is not None and scores is not None:
        lines = [
            {"polygon": np.asarray(box, dtype=float).tolist(), "text": text, "score": float(score)}
            for box, text, score in zip(boxes, texts, scores, strict=True)
        ]
    codes = {"barcodes": [code.text for code in zxingcpp.read_barcodes(picture)]} if barcodes else {}
    return {"lines": lines, **codes, "duration_ms": (time.perf_counter() - started) * 1000}


def job_id(message: Message) -> str:
    """Return the header `job-id`, else where the record stands."""
    value = dict(message.headers() or {}).get("job-id")
    if value is not None:
        return value.decode() if isinstance(value, bytes) else value
    return f"{message.topic()}/{message.partition()}/{message.offset()}"


def consume(reader: RapidOCR, options: argparse.Namespace) -> None:
    """Answer jobs until the limit is reached or a signal comes."""
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap_servers,
            "group.id": options.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({"bootstrap.servers": options.bootstrap_servers, "message.max.bytes": 16_000_000})
    consumer.subscribe([options.jobs])
    answered = 0
    while not stop.asked and answered != options.limit:
        message = consumer.poll(_POLL_SECONDS)
        if message is None:
            continue
        if message.error():
            sys.stderr.write(f"{message.error()}\n")
            continue
        found = read(reader, message.value() or b"", barcodes=options.barcodes)
        answer = {"job_id": job_id(message), **found, **describe(options.engine)}
        producer.produce(options.results, json.dumps(answer).encode(), message.key())
        producer.flush(_FLUSH_SECONDS)
        consumer.commit(message=message, asynchronous=False)
        answered += 1
    consumer.close()


def describe(engine: str) -> dict[str, str]:
    """Say what read the picture."""
    return {"engine": engine, "version": importlib.metadata.version("rapidocr")}


def read_files(reader: RapidOCR, options: argparse.Namespace) -> None:
    """Print one JSON line for each file."""
    for path in options.files:
        found = read(reader, path.read_bytes(), barcodes=options.barcodes)
        answer = {"job_id": str(path), **found, **describe(options.engine)}
        sys.stdout.write(json.dumps(answer) + "\n")


def main() -> None:
    """Read the command line and go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["onnxruntime", "openvino"], default="onnxruntime")
    parser.add_argument("--bootstrap-servers")
    parser.add_argument("--group", default="rapidocr")
    parser.add_argument("--jobs", default="label-images")
    parser.add_argument("--results", default="label-text")
    parser.add_argument("--limit", type=int, default=-1, help="end after so many jobs")
    parser.add_argument("--barcodes", action="store_true", help="read barcodes as well")
    parser.add_argument("files", nargs="*", type=Path, help="read these instead of a topic")
    options = parser.parse_args()
    if bool(options.files) == bool(options.bootstrap_servers):
        parser.error("give either files or --bootstrap-servers")
    (read_files if options.files else consume)(make_reader(options.engine), options)


if __name__ == "__main__":
    main()
