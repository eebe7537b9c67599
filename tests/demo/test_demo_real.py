"""The demo, the evaluation and a turn of the bench on the session's real Kafka and Triton, with two labels."""

import uuid
from pathlib import Path

import pytest

from worker.lab import stack
from worker.lab.bench.bare import record_from
from worker.lab.bench.contestants import BareContestant, Servers, SystemContestant
from worker.lab.bench.large import LargePicture, OneByOne
from worker.lab.bench.resources import cpu_seconds
from worker.lab.demo.report import figures, page
from worker.lab.demo.run import DemoRun, read_all
from worker.lab.evaluation import dataset
from worker.lab.evaluation.configuration import (
    RAPIDOCR,
    Endpoints,
    WorkerConfiguration,
    labelwire_system,
    rapidocr_system,
)
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.run import read_set
from worker.lab.evaluation.scores import Scores
from worker.lab.evaluation.systems import RunningSystem
from worker.lab.synth.dataset import write_dataset
from worker.lab.synth.mosaic import write_mosaic, write_pieces
from worker.local.kafka import KafkaServer, MockKafka
from worker.local.triton import TritonServer

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("labels")
    write_dataset(folder, 2, seed=5)
    return dataset.load(folder)


@pytest.fixture
def around(kafka: KafkaServer, triton: TritonServer) -> Endpoints:
    return stack.endpoints(kafka, triton)


def nothing() -> None:
    """Take progress."""


@pytest.mark.timeout(240)
def test_every_label_of_the_demo_has_its_text(labels: Dataset, around: Endpoints, tmp_path: Path) -> None:
    delivery = read_all(labels, around, stack.launch, tmp_path)

    run = DemoRun(labels, delivery, "Apache Kafka", "Triton")
    report = figures(run)
    assert [report[key] for key in ("jobs", "results", "lost", "duplicates", "dead_letters")] == [2, 2, 0, 0, 0]
    assert run.succeeded
    assert page(run).count("<polygon") == sum(len(answer.transcript.lines) for answer in delivery.answers.values()) > 20


@pytest.mark.timeout(240)
def test_the_demo_goes_on_with_the_mock_cluster(labels: Dataset, triton: TritonServer, tmp_path: Path) -> None:
    with MockKafka(run_dir=tmp_path / "kafka") as mock:
        delivery = read_all(labels, stack.endpoints(mock, triton), stack.launch, tmp_path)
    assert DemoRun(labels, delivery, stack.describe_broker(mock), "Triton").succeeded


@pytest.mark.timeout(400)
def test_the_worker_and_rapidocr_read_the_same_labels_well(labels: Dataset, around: Endpoints, tmp_path: Path) -> None:
    name = f"eval-{uuid.uuid4().hex[:8]}"
    own = labelwire_system(name, "Labelwire", WorkerConfiguration(), around)
    other = rapidocr_system(RAPIDOCR, stack.rapidocr_python(), around.bootstrap_servers)

    scores = [
        read_set(system, labels, around.bootstrap_servers, stack.launch, tmp_path).scores for system in (own, other)
    ]

    assert all((one.word_f1 or 0) > 0.8 for one in scores)
    assert all((one.detection_hmean or 0) > 0.5 for one in scores)


@pytest.mark.timeout(300)
def test_a_turn_of_the_bench_measures_the_worker_and_the_bare_models(
    labels: Dataset, around: Endpoints, kafka: KafkaServer, tmp_path: Path
) -> None:
    configuration = WorkerConfiguration()
    recording = record_from(around.triton_url, labels, configuration.pipeline_options(), nothing)
    bare = BareContestant("bare_models", "Bare models", around, recording.requests, repeat=2)
    system = labelwire_system(f"bench-{uuid.uuid4().hex[:8]}", "Labelwire", configuration, around)
    with RunningSystem(system, around.bootstrap_servers, stack.launch, tmp_path / "worker.log") as running:
        running.wait_until_ready()
        servers = Servers(kafka.pid, around.triton_pid, around.triton_url)
        worker = SystemContestant(running, labels, servers, repeat=2)
        worker.warm_up(nothing)
        turns = [worker.turn(0, [], nothing), bare.turn(0, worker.pids[:1], nothing)]

    assert [turn.images for turn in turns] == [4, 4]
    assert all(turn.seconds > 0 and turn.peak_rss_bytes > 50_000_000 for turn in turns)
    models = {f"triton {name}" for name in ("text_detector", "line_orientation", "text_recognizer")}
    assert {"triton", *models} == set(turns[1].processes) == set(turns[0].processes) - {"worker", "kafka"}
    assert all(use.peak_rss_bytes > 10_000_000 for turn in turns for use in turn.processes.values())
    assert turns[0].cpu_seconds == turns[0].processes["worker"].cpu_seconds > 0
    assert all(turn.processes["triton text_recognizer"].cpu_seconds > 0 for turn in turns)
    # The labels have barcodes, and the worker reads them.
    assert (turns[0].barcode_recall or 0) > 0.5
    assert all(0 < turn.harness_cpu_seconds < turn.seconds for turn in turns)
    # What the pipeline was recorded to send is what the worker sends: the same lines, whatever the batches.
    items = [sum(size * count for size, count in turn.batches["text_recognizer"].batches.items()) for turn in turns]
    assert items[0] == items[1] > 20
    assert cpu_seconds([running.pid]) == 0


@pytest.mark.timeout(300)
def test_a_large_picture_is_measured_beside_its_pieces(labels: Dataset, around: Endpoints, tmp_path: Path) -> None:
    source = labels.samples[0].path.parents[1]
    write_mosaic(source, tmp_path / "mosaic", 2600, 2600, seed=1)
    write_pieces(source, tmp_path / "mosaic", tmp_path / "pieces")
    [picture], pieces = dataset.load(tmp_path / "mosaic").samples, dataset.load(tmp_path / "pieces").samples
    system = labelwire_system(f"large-{uuid.uuid4().hex[:8]}", "Labelwire", WorkerConfiguration(), around)
    with RunningSystem(system, around.bootstrap_servers, stack.launch, tmp_path / "worker.log") as running:
        running.wait_until_ready()
        reader = OneByOne(around.bootstrap_servers, system.topics, running.pid)
        turn = reader.turn(LargePicture("mosaic", "A mosaic", picture, pieces), "round-0", nothing)

    recalls = [Scores.of(counts).word_recall or 0 for counts in (turn.counts, turn.pieces_counts)]
    assert min(recalls) > 0.9
    assert len(pieces) > 1
    assert turn.stage_seconds["survey"] > 0
    assert turn.seconds > 0.1
    assert turn.pieces_seconds > 0.1
    assert turn.peak_rss_bytes > 50_000_000
