"""A built repository is complete, describes itself, and is made once."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from worker import __version__
from worker.domain.errors import LocalStackError
from worker.domain.manifest import ModelManifest, dictionary_digest
from worker.local.triton import TritonServer
from worker.models.build import BuildError, build_repository
from worker.models.configs import content_digest, read_config, write_config
from worker.models.profiles import select_profile
from worker.models.stamp import read_stamp
from worker.models.templates import templates_directory
from worker.settings import Settings

ROOT = Path(__file__).parents[2]
KIND_CPU = model_config_pb2.ModelInstanceGroup.KIND_CPU
KIND_GPU = model_config_pb2.ModelInstanceGroup.KIND_GPU
WIDTHS = (64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512, 640, 768, 1024, 1280)
EMBEDDED_MODELS = {"text_detector", "line_orientation", "text_recognizer", "text_reader"}
ONNX_MODELS = EMBEDDED_MODELS | {
    f"{role}_w{width}" for role in ("text_recognizer", "text_reader") for width in WIDTHS[:-1]
}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_repository(
        "embedded", tmp_path_factory.mktemp("models") / "embedded", alphabet="latin", alternatives=2
    )


def _config(repository: Path, model: str) -> Any:  # noqa: ANN401  generated code without types
    text = (repository / model / "config.pbtxt").read_text(encoding="ascii")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def _configs(repository: Path) -> dict[str, Any]:
    return {path.name: _config(repository, path.name) for path in repository.iterdir() if path.is_dir()}


def _manifest(config: Any) -> ModelManifest:  # noqa: ANN401  generated code without types
    return ModelManifest.model_validate_json(config.parameters["manifest"].string_value)


def test_the_embedded_repository_is_complete(embedded: Path) -> None:
    configs = _configs(embedded)

    assert set(configs) == EMBEDDED_MODELS
    for name, config in configs.items():
        assert config.name == name
        (number,) = config.version_policy.specific.versions
        (version,) = (path for path in (embedded / name).iterdir() if path.is_dir())
        assert version.name == str(number) == _manifest(config).version == _manifest(config).number
        if name != "text_reader":
            assert {path.name for path in version.iterdir()} == {"model.onnx", "model.py"}
            assert config.dynamic_batching.default_queue_policy.max_queue_size > 0
            assert config.model_warmup


def test_the_onnx_repository_has_a_model_for_each_bucket(onnx_on_gpu: Path) -> None:
    configs = _configs(onnx_on_gpu)

    assert set(configs) == ONNX_MODELS
    for width, name in {160: "text_recognizer_w160", 1280: "text_recognizer"}.items():
        assert list(configs[name].input[0].dims) == [48, width, 3]
        assert [list(tensor.dims) for tensor in configs[name].output] == [[width // 8, 4]] * 2
        assert {warmup.batch_size for warmup in configs[name].model_warmup} == {1, 64}
    steps = configs["text_reader_w320"].ensemble_scheduling.step
    assert [step.model_name for step in steps] == ["line_orientation", "text_recognizer_w320"]


def test_every_manifest_describes_its_model(embedded: Path, onnx_on_gpu: Path) -> None:
    for repository in (embedded, onnx_on_gpu):
        for name, config in _configs(repository).items():
            manifest = _manifest(config)
            assert name.startswith(manifest.role)
            assert manifest.max_batch_size == config.max_batch_size
            assert manifest.license == "Apache-2.0"
            for width, model in (manifest.buckets or {}).items():
                assert width % 32 == 0
                assert (repository / model / "config.pbtxt").is_file()


def test_every_manifest_says_what_was_rewritten_in_the_graph(embedded: Path, onnx_on_gpu: Path) -> None:
    changes = {name: _manifest(config).graph_changes for name, config in _configs(embedded).items()}
    dictionary = json.loads(_config(embedded, "text_recognizer").parameters["dictionary"].string_value)

    assert changes["text_detector"] == (
        "takes the UINT8 pixels of image",
        "normalizes BGR levels: mean 0.5, deviation 0.5",
        "computes the two transposed convolutions at its end as pointwise ones, a quarter of the size",
        "returns probabilities as UINT8, rounded to 255ths",
    )
    assert f"has {len(dictionary)} of the head's 18710 classes" in (changes["text_recognizer"] or ())
    assert "adds the best others for each step, 2 in all, out of 94 classes" in (changes["text_recognizer"] or ())
    assert changes["text_reader"] is None, "an ensemble has no graph"
    narrow = _manifest(_config(onnx_on_gpu, "text_recognizer_w160")).graph_changes or ()
    assert narrow[-1] == "takes lines of 160 pixels only"
    assert not [change for change in narrow if "head's" in change], "the full alphabet cuts no class"


@pytest.mark.parametrize(
    "changes", [{"dictionary_sha256": "0" * 64}, {"content_sha256": "0" * 64}, {"pad_value": 1}, {"precision": "fp16"}]
)
def test_a_version_belongs_to_its_manifest(embedded: Path, changes: dict[str, object]) -> None:
    manifest = _manifest(_config(embedded, "text_recognizer"))

    assert manifest.model_copy(update={"version": "7"}).number == manifest.number
    assert manifest.model_copy(update=changes).number != manifest.number


def test_a_version_belongs_to_the_files_of_its_model(embedded: Path, tmp_path: Path) -> None:
    config = _config(embedded, "text_recognizer")
    (files,) = (path for path in (embedded / "text_recognizer").iterdir() if path.is_dir())
    shutil.copytree(files, tmp_path / "files")
    digest = content_digest(config, tmp_path / "files")
    assert digest == content_digest(config, files)
    with (tmp_path / "files" / "model.onnx").open("ab") as graph:
        graph.write(b" ")

    assert content_digest(config, tmp_path / "files") != digest


def test_the_dictionary_belongs_to_the_manifest(embedded: Path) -> None:
    for name in ("text_recognizer", "text_reader"):
        config = _config(embedded, name)
        dictionary = json.loads(config.parameters["dictionary"].string_value)
        assert dictionary[0] == ""
        assert dictionary[-1] == " "
        assert "€" in dictionary
        assert _manifest(config).dictionary_sha256 == dictionary_digest(dictionary)
        assert (_manifest(config).alphabet, _manifest(config).alternatives) == ("latin", 2)
        assert list(config.output[0].dims) == [-1, 2]


def test_a_profile_on_a_cpu_says_so_and_is_set_up_for_its_cores(tmp_path: Path) -> None:
    repository = build_repository(select_profile("onnx", device="cpu", cores=3), tmp_path / "onnx", alphabet="latin")

    assert set(_configs(repository)) == EMBEDDED_MODELS, "one recognizer for all widths, in memory once for each core"
    for name, config in _configs(repository).items():
        assert _manifest(config).device == "cpu"
        assert config.max_batch_size <= 16, "ONNX Runtime keeps the memory of the largest batch"
        assert len(_manifest(config).buckets or {0: ""}) in {1, 40}, "the less is padded, the better it is read"
        if not name.startswith("text_reader"):
            assert [(group.kind, group.count) for group in config.instance_group] == [(KIND_CPU, 3)]
            assert config.parameters["intra_op_thread_count"].string_value == "1"


def test_a_profile_on_a_gpu_says_so_and_asks_for_one(onnx_on_gpu: Path) -> None:
    for name, config in _configs(onnx_on_gpu).items():
        assert _manifest(config).device == "gpu"
        if not name.startswith("text_reader"):
            assert [(group.kind, group.count) for group in config.instance_group] == [(KIND_GPU, 1)]


def test_unless_told_otherwise_a_build_is_for_the_device_that_the_chart_serves_on() -> None:
    values = yaml.safe_load((ROOT / "helm" / "labelwire" / "values.yaml").read_text(encoding="utf-8"))

    assert values["triton"]["gpuCount"] == 0
    assert select_profile("onnx").device == "cpu"


@pytest.mark.real
@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_a_server_without_a_gpu_refuses_a_repository_for_one_at_once(onnx_on_gpu: Path, tmp_path: Path) -> None:
    """Its own backend is not needed for this: Triton looks at the device before a backend sees the model."""
    config = _config(onnx_on_gpu, "text_detector")
    config.backend, config.default_model_filename = "python", "model.py"
    model = tmp_path / "models" / config.name
    (model / str(config.version_policy.specific.versions[0])).mkdir(parents=True)
    write_config(config, model / "config.pbtxt")

    with pytest.raises(LocalStackError, match="has kind KIND_GPU but no GPUs are available"):
        TritonServer(tmp_path / "models", run_dir=tmp_path / "triton").start()


def test_a_gpu_has_seen_the_usual_shapes_before_it_is_ready(onnx_on_gpu: Path) -> None:
    configs = _configs(onnx_on_gpu)
    warmups = configs["text_detector"].model_warmup

    once = {tuple(warmup.inputs["image"].dims[:2]) for warmup in warmups if warmup.batch_size == 1}
    assert {(1056, 1056), (1056, 512), (544, 1056), (960, 960)} <= once
    largest = [warmup for warmup in warmups if warmup.batch_size == configs["text_detector"].max_batch_size]
    assert [tuple(warmup.inputs["image"].dims) for warmup in largest] == [(1056, 1056, 3)], "so that memory is had"
    for name, config in configs.items():
        if name.startswith("text_recognizer"):
            assert {tuple(warmup.inputs["line"].dims) for warmup in config.model_warmup} == {
                tuple(config.input[0].dims)
            }, "a recognizer sees no other width"


def test_a_gpu_searches_no_convolution_exhaustively(onnx_on_gpu: Path) -> None:
    for name, config in _configs(onnx_on_gpu).items():
        if not name.startswith("text_reader"):
            assert config.parameters["cudnn_conv_algo_search"].string_value == "1", name


def test_no_server_gives_a_request_up_before_its_worker_does(embedded: Path, onnx_on_gpu: Path) -> None:
    """Triton lets a client shorten the time in the queue, and never lengthen it."""
    longest_seconds = Settings().runtime.attempt_seconds
    for repository in (embedded, onnx_on_gpu, templates_directory()):
        for path in (path for path in repository.rglob("*.pbtxt") if "text_reader" not in str(path)):
            policy = read_config(path).dynamic_batching.default_queue_policy
            assert policy.default_timeout_microseconds >= longest_seconds * 1_000_000, path
            assert policy.allow_timeout_override, path


def test_the_same_build_is_not_done_twice(embedded: Path) -> None:
    built = embedded.stat().st_ino

    again = build_repository("embedded", embedded, alphabet="latin", alternatives=2)

    assert (again, embedded.stat().st_ino) == (embedded, built)


def test_the_stamp_says_what_was_built_when_and_by_which_release(embedded: Path) -> None:
    stamp = read_stamp(embedded)

    assert stamp is not None
    assert (stamp.profile, stamp.alphabet, stamp.device, stamp.labelwire) == ("embedded", "latin", "cpu", __version__)
    assert timedelta() <= datetime.now(UTC) - stamp.built_at < timedelta(days=1)


def test_a_build_of_an_earlier_release_is_done_again(embedded: Path, tmp_path: Path) -> None:
    shutil.copytree(embedded, tmp_path / "models")
    stamp = json.loads((embedded / "labelwire.json").read_text(encoding="utf-8"))
    del stamp["built_at"]
    (tmp_path / "models" / "labelwire.json").write_text(json.dumps(stamp), encoding="utf-8")

    build_repository("embedded", tmp_path / "models", alphabet="latin", alternatives=2)

    assert read_stamp(tmp_path / "models") is not None


def test_another_build_replaces_the_repository_as_a_whole(embedded: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    shutil.copytree(embedded, repository)
    (repository / "stale_model").mkdir()

    build_repository("embedded", repository, alphabet="latin", alternatives=1)

    assert set(_configs(repository)) == EMBEDDED_MODELS
    assert list(_config(repository, "text_recognizer").output[0].dims) == [-1, 1]
    assert {path.name for path in tmp_path.iterdir()} == {"models", ".models.lock"}


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")

    with pytest.raises(BuildError, match="holds something that is no built repository"):
        build_repository("embedded", tmp_path)

    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "years of work"


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="0 alternatives"):
        build_repository("embedded", tmp_path / "models", alternatives=0)

    assert not (tmp_path / "models").exists()


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    seen: list[float] = []

    build_repository("embedded", tmp_path / "models", progress=lambda _what, part: seen.append(part))

    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
