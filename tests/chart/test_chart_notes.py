"""What Helm says after an installation fits what was chosen."""

import shutil
from pathlib import Path

import pytest

from tests.chart.rendering import CHART, CI_VALUES, CO_LOCATED, EXTERNAL, LOCKED_DOWN, MINIMAL, TENSORRT, Chart

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def noted(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Chart:
    """Return a copy of the chart that renders its notes as an object: `helm template` leaves notes out."""
    folder = tmp_path_factory.mktemp("chart") / "labelwire"
    shutil.copytree(CHART, folder)
    notes = (folder / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    shown = 'apiVersion: v1\nkind: Notes\nmetadata: {name: notes}\ntext: {{ include "notes" . | toJson }}\n'
    (folder / "templates" / "notes.yaml").write_text(
        f'{{{{- define "notes" -}}}}{notes}{{{{- end -}}}}\n{shown}', encoding="utf-8"
    )
    return Chart(helm, folder)


def notes(noted: Chart, values: Path) -> str:
    (found,) = (manifest for manifest in noted.render(values).manifests if manifest["kind"] == "Notes")
    text: str = found["text"]
    return text


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_notes_name_what_was_installed(noted: Chart, values: Path) -> None:
    text = notes(noted, values)
    deployment = noted.render(values).one("Deployment", "worker")["metadata"]["name"]

    assert f"port-forward deploy/{deployment} 8080:8080" in text
    assert "helm -n labels test demo" in text
    assert "<" not in text, "a value that is not there"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            MINIMAL,
            "Triton runs on a CPU. It has to find what `labelwire models build --profile onnx --device cpu` writes.",
        ),
        (EXTERNAL, "Workers use your own Triton: dns:///triton-headless.models:8001"),
        (CO_LOCATED, "Triton runs on a GPU, in the pods of the workers."),
        (TENSORRT, "A Job builds TensorRT plans for NVIDIA-H100-80GB-HBM3."),
        (LOCKED_DOWN, "It serves these versions of s3://models/registry: d4735e3a265e16"),
        (LOCKED_DOWN, "Strimzi makes these topics"),
        (LOCKED_DOWN, "create job replay-1 --from=cronjob/demo-labelwire-replay"),
    ],
)
def test_notes_fit_the_choices(noted: Chart, values: Path, said: str) -> None:
    assert said in notes(noted, values)
