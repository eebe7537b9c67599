"""Jobs that name their pictures, from Kafka through a real S3 server and a real Triton to their outcomes."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.adapters.blob.https_server import make_certificate
from tests.adapters.blob.versitygw import GATEWAY, S3Gateway
from tests.fleet.workers import Fleet, read_until
from tests.go_tools import demand_go_tool
from worker.domain.records import OutgoingRecord
from worker.domain.result import LabelText
from worker.local.triton import TritonServer


def label(text: str) -> bytes:
    page = np.full((120, 420, 3), 255, np.uint8)
    cv2.putText(page, text, (20, 80), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 4)
    return bytes(cv2.imencode(".png", page)[1].tobytes())


def job(fleet: Fleet, uri: str) -> OutgoingRecord:
    value = json.dumps({"job_id": uri.rpartition("/")[2], "image_uri": uri}).encode()
    return OutgoingRecord(fleet.jobs_topic, None, value, (("content-type", b"application/json"),))


@pytest.mark.real
def test_pictures_come_from_an_allowed_bucket_and_from_nowhere_else(
    make_fleet: Callable[[str], Fleet], triton: TritonServer, tmp_path: Path
) -> None:
    demand_go_tool(GATEWAY)
    certificate = make_certificate(tmp_path)
    fleet = make_fleet(triton.grpc_url)
    fleet.create_topics()
    with S3Gateway(certificate) as gateway:
        bucket = gateway.make_bucket("labels")
        (bucket / "in").mkdir()
        (bucket / "in" / "good").write_bytes(label("PARCEL"))
        (bucket / "outside").write_bytes(label("SECRET"))
        fleet.add_worker(
            **gateway.environment,
            LABELWIRE_BLOB__ALLOWED_PREFIXES='["s3://labels/in/"]',
            LABELWIRE_BLOB__TLS_ROOT_CERTIFICATES=str(certificate.certificate.with_name("authority.pem")),
        )
        with fleet.reader(fleet.results_topic, fleet.dead_letters_topic) as reader:
            fleet.submit(*(job(fleet, f"s3://labels/{key}") for key in ("in/good", "in/absent", "outside")))
            records = read_until(reader, lambda seen: len(seen) == 3)
    ends = {record.header("labelwire.job-id"): record.header("labelwire.dlq.error.code") for record in records}
    assert ends == {"good": None, "absent": "URI_NOT_FOUND", "outside": "URI_FORBIDDEN"}
    (good,) = (record for record in records if record.coordinate.topic == fleet.results_topic)
    result = LabelText.model_validate_json(good.value or b"")
    assert [line.text for line in result.pages[0].lines] == ["PARCEL"]
    assert result.image.size_bytes == len(label("PARCEL"))
    assert result.timing_ms["fetch"] > 0
