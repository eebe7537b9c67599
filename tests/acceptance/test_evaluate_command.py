"""`labelwire models evaluate` with real models: what reads as well passes, what was planted fails as it should."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from worker.cli.models import app
from worker.domain.errors import LabelwireError
from worker.domain.manifest import ModelRole, dictionary_digest
from worker.lab.acceptance.errors import AcceptanceError
from worker.lab.evaluation.embedded import Labels, drawn
from worker.lab.evaluation.errors import DatasetError
from worker.lab.precision.errors import GateError
from worker.lab.synth.camera import Degradation
from worker.local.triton import TritonServer
from worker.models.build import build_repository
from worker.models.choice import STAMP_FILE
from worker.models.configs import read_config, set_parameter, write_config
from worker.models.model_card import CARD_FILE, GRAPH_FILE
from worker.models.profiles import select_profile
from worker.models.source import find_sources

RECEIPTS = Path(__file__).parents[2].parent / "shared" / "eval" / "sroie-dev"
# Of two labels, one word or line is more than the usual limits.
WIDE = (
    *("--max-word-f1-loss", "0.03", "--max-line-hmean-loss", "0.06"),
    *("--max-detection-hmean-loss", "0.06", "--max-cer-rise", "0.03"),
)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    drawn(Labels(2, seed=4, degradations=(Degradation.NONE,)), folder)
    return folder


@pytest.fixture(scope="module")
def receipts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first three real receipts."""
    if not RECEIPTS.is_dir():
        pytest.skip("the folder shared/eval/sroie-dev of receipts is not beside this checkout")
    folder = tmp_path_factory.mktemp("receipts")
    rows = (RECEIPTS / "truth.jsonl").read_text().splitlines()[:3]
    (folder / "truth.jsonl").write_text("\n".join(rows))
    (folder / "images").symlink_to(RECEIPTS / "images")
    return folder


@pytest.fixture(scope="module")
def latin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The onnx profile for a CPU with the Latin alphabet."""
    return build_repository(
        select_profile("onnx", device="cpu"), tmp_path_factory.mktemp("models") / "latin", alphabet="latin"
    )


def planted(repository: Path, folder: Path, role: ModelRole, change: Callable[[dict[str, Any], Any], None]) -> Path:
    """Return a copy of a repository with another manifest of one model."""
    copied = shutil.copytree(repository, folder)
    path = copied / role / "config.pbtxt"
    config = read_config(path)
    manifest = json.loads(config.parameters["manifest"].string_value)
    change(manifest, config)
    set_parameter(config, "manifest", json.dumps(manifest))
    write_config(config, path)
    return copied


def use_foreign_dictionary(manifest: dict[str, Any], config: Any) -> None:  # noqa: ANN401  generated code without types
    """Take two letters for each other, as the dictionary of another training would."""
    dictionary = json.loads(config.parameters["dictionary"].string_value)
    one, other = dictionary.index("E"), dictionary.index("A")
    dictionary[one], dictionary[other] = dictionary[other], dictionary[one]
    set_parameter(config, "dictionary", json.dumps(dictionary, ensure_ascii=False, separators=(",", ":")))
    manifest["dictionary_sha256"] = dictionary_digest(dictionary)


def use_foreign_threshold(manifest: dict[str, Any], _config: Any) -> None:  # noqa: ANN401  generated code without types
    """Keep only boxes that the detector is surer of than it ever is."""
    manifest["detection"]["box_score"] = 0.85


def evaluated(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def failed(*arguments: str | Path) -> LabelwireError:
    """Return the error that a command ends with."""
    ended = evaluated(*arguments)
    assert isinstance(ended.exception, LabelwireError), ended.output
    assert ended.exit_code == 1
    return ended.exception


def test_a_repository_beside_itself_passes_with_differences_of_0(
    onnx_repository: Path, labels: Path, tmp_path: Path
) -> None:
    ended = evaluated(onnx_repository, onnx_repository, "--data", labels, *WIDE, "--output", tmp_path, "--json")

    assert ended.exit_code == 0, ended.output
    document = json.loads(ended.stdout)
    assert document == json.loads((tmp_path / "evaluate.json").read_text())
    assert document["verdict"]["passed"] is True
    assert document["verdict"]["pictures"] == 2
    assert document["verdict"]["scores"]["word_f1"] > 0.9
    assert document["a"]["scores"] == document["b"]["scores"]
    assert {one["value"] for one in document["differences"].values()} == {0.0}
    assert {"word_f1", "field_exact"} <= set(document["differences"])  # labels have fields
    assert {"detect", "read", "total"} <= set(document["a"]["stage_ms"])
    assert document["a"]["models"]["text_recognizer"]["alphabet"] == "full"


def test_a_foreign_dictionary_fails_by_what_is_read_and_not_by_where(
    onnx_repository: Path, labels: Path, tmp_path: Path
) -> None:
    worse = planted(onnx_repository, tmp_path / "planted", ModelRole.RECOGNIZER, use_foreign_dictionary)

    ended = evaluated(worse, onnx_repository, "--data", labels, *WIDE, "--output", tmp_path)

    assert ended.exit_code == 1
    document = json.loads((tmp_path / "evaluate.json").read_text())
    assert [reason.split(" by ")[0] for reason in document["verdict"]["reasons"]] == [
        "word F1 fell",
        "line hmean fell",
        "CER rose",
    ]
    assert "A failed:\n- word F1 fell by " in ended.stdout
    assert "Where A and B differ most" in (tmp_path / "evaluate.html").read_text()


def test_a_set_alone_is_scored(onnx_repository: Path, labels: Path, tmp_path: Path) -> None:
    ended = evaluated(onnx_repository, "--data", labels, *WIDE, "--output", tmp_path)

    assert ended.exit_code == 0, ended.output
    assert "A was scored alone: give B, the repository in use, to see what A would lose." in ended.stdout
    assert json.loads((tmp_path / "evaluate.json").read_text())["b"] is None


def test_real_receipts_are_read_as_well_with_the_latin_alphabet(
    onnx_repository: Path, latin: Path, receipts: Path, tmp_path: Path
) -> None:
    ended = evaluated(latin, onnx_repository, "--data", receipts, "--output", tmp_path)

    assert ended.exit_code == 0, ended.output
    document = json.loads((tmp_path / "evaluate.json").read_text())
    assert document["a"]["models"]["text_recognizer"]["alphabet"] == "latin"
    assert document["a"]["scores"]["word_f1"] > 0.9
    assert 0 < document["slowdown"]["low"] <= document["slowdown"]["ratio"] <= document["slowdown"]["high"]


def test_real_receipts_show_that_a_detector_has_a_foreign_threshold(
    onnx_repository: Path, receipts: Path, tmp_path: Path
) -> None:
    worse = planted(onnx_repository, tmp_path / "planted", ModelRole.DETECTOR, use_foreign_threshold)

    ended = evaluated(worse, onnx_repository, "--data", receipts, "--output", tmp_path)

    assert ended.exit_code == 1
    assert "- detection hmean fell by " in ended.stdout
    assert "does not contain 0." in ended.stdout


def test_a_folder_that_is_no_repository_is_refused(onnx_repository: Path, labels: Path, tmp_path: Path) -> None:
    nowhere = failed(tmp_path / "nowhere", "--data", labels)
    foreign = failed(onnx_repository, tmp_path, "--data", labels)

    assert isinstance(nowhere, AcceptanceError)
    assert str(nowhere) == (
        f"{tmp_path}/nowhere is not a folder: give a model repository that `labelwire models build` wrote"
    )
    assert str(foreign) == (
        f"{tmp_path} is no model repository that `labelwire models build` wrote: give one, or build it there"
    )


def test_plans_need_a_server(onnx_repository: Path, labels: Path, tmp_path: Path) -> None:
    stamp = json.loads((onnx_repository / STAMP_FILE).read_text())
    (tmp_path / STAMP_FILE).write_text(json.dumps(stamp | {"profile": "tensorrt", "device": "gpu"}))

    error = failed(onnx_repository, tmp_path, "--data", labels)

    assert str(error) == (
        f"B, {tmp_path}, has the profile tensorrt, which is not served here: let a Triton serve it and give its "
        "address with --url, A's first and then B's"
    )


def test_sets_that_cannot_judge_are_refused_before_anything_is_read(
    onnx_repository: Path, labels: Path, tmp_path: Path
) -> None:
    shutil.copy(next(labels.rglob("*.jpg")), tmp_path)

    assert "has no truth: the gate compares what is read with truth.jsonl" in str(
        failed(onnx_repository, "--data", tmp_path)
    )
    assert isinstance(failed(onnx_repository, "--data", tmp_path / "nowhere"), DatasetError)
    small = failed(onnx_repository, "--data", labels)
    assert isinstance(small, GateError)
    assert "so that a loss of 0.005 in word F1 cannot be seen: give --data at least 200 words" in str(small)


def test_what_cannot_be_read_is_named(onnx_repository: Path, labels: Path, tmp_path: Path) -> None:
    incomplete = shutil.copytree(onnx_repository, tmp_path / "incomplete")
    shutil.rmtree(incomplete / ModelRole.RECOGNIZER)

    away = failed(onnx_repository, "--data", labels, *WIDE, "--url", "127.0.0.1:1")
    absent = failed(onnx_repository, incomplete, "--data", labels, *WIDE)

    start = (
        f"A, {onnx_repository}, cannot be read by a running Triton at 127.0.0.1:1: Triton at 127.0.0.1:1 gave no answer"
    )
    assert str(away).startswith(start)
    assert str(absent) == (
        f"B, {incomplete}, cannot be read by ONNX Runtime in this process: The server has no model text_recognizer "
        "with a manifest: let it serve a built repository."
    )


def test_more_servers_than_repositories_are_refused(onnx_repository: Path, labels: Path) -> None:
    ended = evaluated(onnx_repository, "--data", labels, "--url", "127.0.0.1:1", "--url", "127.0.0.1:2")

    assert ended.exit_code == 2
    assert "2 servers for 1 of A and B" in ended.output


@pytest.mark.real
def test_a_running_server_reads_beside_one_of_its_own(
    triton: TritonServer, model_repository: Path, labels: Path, tmp_path: Path
) -> None:
    ended = evaluated(
        *(model_repository, model_repository, "--data", labels, *WIDE, "--url", triton.grpc_url, "--output", tmp_path)
    )

    assert ended.exit_code == 0, ended.output
    document = json.loads((tmp_path / "evaluate.json").read_text())
    assert document["a"]["read_by"] == f"a running Triton at {triton.grpc_url}"
    assert document["b"]["read_by"] == "the embedded Triton"
    assert document["a"]["models"] == document["b"]["models"]
    assert {one["value"] for one in document["differences"].values()} == {0.0}


@pytest.mark.real
def test_a_server_that_serves_other_models_is_refused(
    triton: TritonServer, onnx_repository: Path, labels: Path
) -> None:
    error = failed(onnx_repository, "--data", labels, *WIDE, "--url", triton.grpc_url)

    assert isinstance(error, AcceptanceError)
    assert str(error).startswith(f"a running Triton at {triton.grpc_url} serves version ")
    assert str(error).endswith(": let it serve this repository")


def with_foreign_threshold(folder: Path) -> Path:
    """Return the pinned detector as an imported model that keeps only boxes which it is surer of than it ever is."""
    pinned = find_sources(None)[ModelRole.DETECTOR]
    assert pinned.card.detection is not None
    detection = pinned.card.detection.model_copy(update={"box_score": 0.85})
    folder.mkdir()
    shutil.copyfile(pinned.path, folder / GRAPH_FILE)
    (folder / CARD_FILE).write_text(pinned.card.model_copy(update={"detection": detection}).to_json())
    return folder


def models(*arguments: str | Path) -> Result:
    """Run a command of `labelwire models` that has to succeed."""
    ended = CliRunner().invoke(app, [*map(str, arguments)])
    assert ended.exit_code == 0, (arguments, ended.output, ended.exception)
    return ended


def test_versions_are_evaluated_against_the_one_in_use_and_promoted_by_their_verdicts(
    onnx_repository: Path, latin: Path, labels: Path, tmp_path: Path
) -> None:
    registry = ("--registry", str(tmp_path / "registry"))
    judging = ("--data", labels, *WIDE, "--output", tmp_path, *registry)
    full, narrow = (models("publish", folder, *registry).stdout.strip() for folder in (onnx_repository, latin))

    models("evaluate", full, *judging)
    models("promote", full, *registry)
    refused = CliRunner().invoke(app, ["promote", narrow, *registry])
    assert "never evaluated" in str(refused.exception)
    told = models("evaluate", narrow[:12], *judging)  # against the version in use, which is fetched, too
    assert f"A: version {narrow[:12]}, read by" in told.stdout
    assert f"B: version {full[:12]}, read by" in told.stdout
    models("promote", narrow, *registry)

    shown = json.loads(models("show", narrow, *registry, "--json").stdout)
    (record,) = shown["evaluations"]
    assert (record["verdict"], record["compared_with"], record["pictures"]) == ("passed", full, 2)
    assert record["scores"]["word_f1"] > 0.9
    again = evaluated(latin, onnx_repository, *judging)  # folders whose versions the registry holds
    assert again.exit_code == 0, again.output
    assert len(json.loads(models("show", narrow, *registry, "--json").stdout)["evaluations"]) == 2


def test_a_version_that_fails_its_evaluation_is_not_promoted(
    onnx_repository: Path, labels: Path, tmp_path: Path
) -> None:
    registry = ("--registry", str(tmp_path / "registry"))
    # As a training with another threshold would have it: built, and not changed afterwards.
    detector = with_foreign_threshold(tmp_path / "text_detector")
    bad = build_repository(
        select_profile("onnx", device="cpu"), tmp_path / "bad", sources={ModelRole.DETECTOR: detector}
    )
    full, worse = (models("publish", folder, *registry).stdout.strip() for folder in (onnx_repository, bad))
    models("promote", full, *registry)

    ended = evaluated(worse, "--data", labels, *WIDE, "--output", tmp_path, *registry)
    refused = CliRunner().invoke(app, ["promote", worse, *registry, "--unevaluated"])

    assert ended.exit_code == 1
    assert "failed its gate" in str(refused.exception)
    rows = json.loads(models("list", *registry, "--json").stdout)
    assert [row["version"] for row in rows if row["in_use"]] == [full]


def test_what_the_registry_does_not_hold_is_evaluated_and_not_recorded(
    onnx_repository: Path, latin: Path, labels: Path, tmp_path: Path
) -> None:
    registry = ("--registry", str(tmp_path / "registry"))
    version = models("publish", onnx_repository, *registry).stdout.strip()

    ended = evaluated(latin, onnx_repository, "--data", labels, *WIDE, "--output", tmp_path, *registry)

    assert ended.exit_code == 0, ended.output
    assert "The verdict is not recorded" in ended.stderr
    assert json.loads(models("show", version, *registry, "--json").stdout)["evaluations"] == []
