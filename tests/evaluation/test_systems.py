"""Deliveries: every job counts once, as answered, refused or lost; and what systems answer is read right."""

import json
from pathlib import Path

import pytest

from worker.domain.errors import SettingsError
from worker.domain.records import Coordinate, Headers, Record
from worker.domain.result import LabelText, Line, Page, SourceCoordinate, SourceImage
from worker.lab.evaluation import answers
from worker.lab.evaluation.answers import Answer, Refusal
from worker.lab.evaluation.configuration import (
    RAPIDOCR,
    RAPIDOCR_OPENVINO,
    Endpoints,
    WorkerConfiguration,
    labelwire_system,
    parse_overrides,
    rapidocr_system,
)
from worker.lab.evaluation.dataset import Sample
from worker.lab.evaluation.errors import MeasurementError
from worker.lab.evaluation.fields import Findings
from worker.lab.evaluation.systems import Job, SystemRun, complete
from worker.lab.evaluation.transcript import Transcript


def answer(job_id: str) -> Answer:
    return Answer(job_id, f"result of {job_id}", Transcript(), 1.0)


def record(value: bytes, headers: Headers = ()) -> Record:
    return Record(Coordinate("t", 0, 7), b"key", value, headers, 0)


def result(job_id: str) -> LabelText:
    line = Line(id=0, text="BERLIN", confidence=0.9, polygon=((1, 2), (9, 2), (9, 5), (1, 5)), rotation=0)
    return LabelText(
        job_id=job_id,
        result_id="r",
        image=SourceImage(sha256="0" * 64, size_bytes=1, format="jpeg"),
        pages=(Page(width=10, height=10, lines=(line,)),),
        models={},
        timing_ms={"detect": 20.0, "read": 30.5},
        source=SourceCoordinate(topic="t", partition=0, offset=7),
        attempt=1,
    )


def test_each_job_counts_once() -> None:
    delivery = SystemRun(("a", "b", "c", "d"))

    news = [
        delivery.take_answer(answer("a")),
        delivery.take_answer(answer("a")),
        delivery.take_refusal(Refusal("b", "IMAGE_CORRUPT", "")),
        delivery.take_answer(answer("c")),
        delivery.take_refusal(Refusal("c", "INTERNAL", "")),
        delivery.take_answer(answer("somebody else's")),
    ]

    assert news == [True, False, True, True, False, False]
    assert delivery.lost == ["d"]
    assert (delivery.result_records, delivery.duplicates) == (3, 1)
    assert (set(delivery.answers), set(delivery.refusals)) == ({"a", "c"}, {"b", "c"})


def test_a_complete_delivery_passes() -> None:
    delivery = SystemRun(("a",), answers={"a": answer("a")})

    assert complete(delivery, "The worker") is delivery


def test_refused_and_lost_jobs_are_named() -> None:
    refused = SystemRun(("a",), refusals={"a": Refusal("a", "IMAGE_CORRUPT", "It ends early.")})

    with pytest.raises(MeasurementError, match=r"The worker refused a as IMAGE_CORRUPT: It ends early\."):
        complete(refused, "The worker")
    with pytest.raises(MeasurementError, match="left 1 of 2 jobs without an answer, the first of them b"):
        complete(SystemRun(("a", "b"), answers={"a": answer("a")}), "The worker")


def test_a_job_carries_its_id_and_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"pixels")

    written = Job.of(Sample("a.png", path, ""), "round-1/").record("jobs")

    assert (written.topic, written.key, written.value) == ("jobs", b"round-1/a.png", b"pixels")
    assert dict(written.headers) == {"content-type": b"image/png", "job-id": b"round-1/a.png"}


def test_the_workers_result_is_read() -> None:
    read = answers.of_worker(record(result("job").to_json()))

    assert (read.job_id, read.identity, read.milliseconds) == ("job", "r", 50.5)
    assert [(line.text, line.confidence) for line in read.transcript.lines] == [("BERLIN", 0.9)]
    assert read.transcript.lines[0].polygon.tolist() == [[1, 2], [9, 2], [9, 5], [1, 5]]


def test_rapidocrs_answer_is_read() -> None:
    value = {
        "job_id": "job",
        "lines": [{"polygon": [[0, 0], [5, 0], [5, 2], [0, 2]], "text": "A", "score": 0.8}],
        "duration_ms": 12.5,
        "engine": "onnxruntime",
        "version": "3.10.0",
    }

    read = answers.of_rapidocr(record(json.dumps(value).encode()))

    assert (read.job_id, read.milliseconds) == ("job", 12.5)
    assert [line.text for line in read.transcript.lines] == ["A"]


@pytest.mark.parametrize(
    ("told", "barcodes"), [({}, None), ({"barcodes": []}, ()), ({"barcodes": ["(00) 1"]}, ("(00) 1",))]
)
def test_barcodes_are_told_only_where_they_were_looked_for(
    told: dict[str, list[str]], barcodes: tuple[str, ...] | None
) -> None:
    value = {"job_id": "job", "lines": [], "duration_ms": 1.0, **told}

    assert answers.of_rapidocr(record(json.dumps(value).encode())).findings == Findings(None, barcodes)


def test_a_dead_letter_is_read() -> None:
    headers = (
        ("labelwire.job-id", b"job"),
        ("labelwire.dlq.error.code", b"IMAGE_CORRUPT"),
        ("labelwire.dlq.error.message", "It ends early – send it whole.".encode()),  # noqa: RUF001
    )

    assert answers.of_dead_letter(record(b"", headers)) == Refusal(
        "job",
        "IMAGE_CORRUPT",
        "It ends early – send it whole.",  # noqa: RUF001
    )
    assert answers.of_dead_letter(record(b"")).job_id == "t/0/7"


def test_the_worker_is_started_as_the_configuration_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELWIRE_PIPELINE__DETECTION_LONG_SIDE", "64")
    monkeypatch.setenv("LANG", "C")
    configuration = WorkerConfiguration(overrides={"LABELWIRE_PIPELINE__DETECTION_LONG_SIDE": "1280"})

    system = labelwire_system("lw", "Labelwire", configuration, Endpoints("broker:1", "triton:2", 42, 8099))

    own = {name: value for name, value in system.environment.items() if name.startswith("LABELWIRE_")}
    assert own == {
        "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": "broker:1",
        "LABELWIRE_KAFKA__GROUP_ID": "lw",
        "LABELWIRE_TOPICS__JOBS": "lw-images",
        "LABELWIRE_TOPICS__RESULTS": "lw-text",
        "LABELWIRE_TOPICS__DEAD_LETTERS": "lw-images.dlq",
        "LABELWIRE_TRITON__URL": "triton:2",
        "LABELWIRE_HTTP__HOST": "127.0.0.1",
        "LABELWIRE_HTTP__PORT": "8099",
        "LABELWIRE_PIPELINE__DETECTION_LONG_SIDE": "1280",
    }
    assert system.environment["LANG"] == "C"
    assert (system.server_pids, system.ready_port) == ((42,), 8099)


def test_a_configuration_tells_what_it_sets() -> None:
    configuration = WorkerConfiguration(alphabet="latin", overrides={"LABELWIRE_PIPELINE__TILE_SCALE": "0.5"})

    described = configuration.describe()

    assert described["name"] == "embedded-latin-tuned"
    assert described["settings"]["pipeline"]["tile_scale"] == 0.5
    assert configuration.pipeline_options().tile_scale == 0.5
    assert WorkerConfiguration().name == "embedded-full-default"


@pytest.mark.parametrize(
    "assignment", ["LABELWIRE_PIPELINE__TILE_SCALE", "TILE_SCALE=1", "LABELWIRE_KAFKA__GROUP_ID=x"]
)
def test_a_setting_that_cannot_be_measured_with_is_refused(assignment: str) -> None:
    with pytest.raises(SettingsError, match="cannot be measured with; give NAME=VALUE"):
        parse_overrides([assignment])


def test_overrides_are_read() -> None:
    assert parse_overrides(["LABELWIRE_LIMITS__MAX_JOBS=8"]) == {"LABELWIRE_LIMITS__MAX_JOBS": "8"}


def test_a_list_is_read_as_the_worker_reads_it() -> None:
    configuration = WorkerConfiguration(overrides=parse_overrides(["LABELWIRE_PIPELINE__LINE_WIDTHS=[96, 320]"]))

    assert configuration.describe()["settings"]["pipeline"]["line_widths"] == (96, 320)
    assert configuration.pipeline_options().line_widths == (96, 320)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("LABELWIRE_PIPELINE__LINE_WIDTHS=[96", r"LABELWIRE_PIPELINE__LINE_WIDTHS='\[96': is not JSON"),
        ("LABELWIRE_PIPELINE__LINE_WIDTHS=96", r"LABELWIRE_PIPELINE__LINE_WIDTHS='96': Input should be a valid"),
        ("LABELWIRE_PIPELINE__LINE_WIDTHS=[0]", "LABELWIRE_PIPELINE__LINE_WIDTHS__0: Input should be greater"),
        ("LABELWIRE_PIPELINE__TILE_SIDE=wide", "LABELWIRE_PIPELINE__TILE_SIDE='wide': Input should be a valid integer"),
        ("LABELWIRE_PIPELINE__TILE_SIZE=1", "did you mean LABELWIRE_PIPELINE__TILE_SIDE"),
    ],
)
def test_a_value_that_the_worker_would_refuse_is_refused_before_anything_is_measured(
    assignment: str, words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        parse_overrides([assignment])


def test_rapidocr_runs_in_its_own_environment_with_the_engine_asked_for(tmp_path: Path) -> None:
    system = rapidocr_system(RAPIDOCR_OPENVINO, tmp_path / "python", "broker:1")

    assert system.argv[0] == str(tmp_path / "python")
    assert Path(system.argv[1]).is_file()
    assert system.argv[2:6] == ["--engine", "openvino", "--bootstrap-servers", "broker:1"]
    assert system.topics.dead_letters is None
    assert "--barcodes" not in system.argv
    assert system.process_name == "consumer"


def test_a_user_with_barcodes_calls_zxing_as_well(tmp_path: Path) -> None:
    system = rapidocr_system(RAPIDOCR, tmp_path / "python", "broker:1", barcodes=True)

    assert system.argv[-1] == "--barcodes"
    assert system.title == "RapidOCR and zxing-cpp"
