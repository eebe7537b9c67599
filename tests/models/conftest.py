"""The pinned ONNX files, imported models and drawn text, shared by the tests of the models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.models import own_models
from tests.models.drawing import Pixels, draw_line, draw_page
from tests.models.reference import onnxruntime_session
from worker.domain.manifest import ModelRole
from worker.models.importing import ModelFacts, import_model
from worker.models.model_card import ModelKind
from worker.models.source import ModelSource, find_sources


@pytest.fixture(scope="session")
def sources() -> dict[ModelRole, ModelSource]:
    return find_sources()


@pytest.fixture(scope="session")
def originals(sources: Mapping[ModelRole, ModelSource]) -> dict[ModelRole, Any]:
    return {role: onnxruntime_session(source.path) for role, source in sources.items()}


@pytest.fixture(scope="session")
def files() -> Path:
    """The folder of PP-OCRv4's files."""
    return own_models.pp_ocr_v4()


@pytest.fixture(scope="session")
def paddle(files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[ModelRole, Path]:
    """PP-OCRv4, imported."""
    output = tmp_path_factory.mktemp("paddle")
    return {
        kind.role: import_model(kind, files / name, output, ModelFacts())
        for kind, name in (
            (ModelKind.PADDLE_DETECTOR, own_models.DETECTOR),
            (ModelKind.PADDLE_RECOGNIZER, own_models.RECOGNIZER),
            (ModelKind.PADDLE_CLASSIFIER, own_models.CLASSIFIER),
        )
    }


@pytest.fixture(scope="session")
def paddle_v5(tmp_path_factory: pytest.TempPathFactory) -> dict[ModelRole, Path]:
    """PP-OCRv5, imported; its classifier sees whole lines."""
    output = tmp_path_factory.mktemp("paddle_v5")
    characters = ModelFacts(characters=own_models.characters_v5())
    return {
        kind.role: import_model(kind, own_models.pp_ocr_v5() / name, output, facts)
        for kind, name, facts in (
            (ModelKind.PADDLE_DETECTOR, own_models.DETECTOR_V5, ModelFacts()),
            (ModelKind.PADDLE_RECOGNIZER, own_models.RECOGNIZER_V5, characters),
            (ModelKind.PADDLE_CLASSIFIER, own_models.CLASSIFIER_V5, ModelFacts()),
        )
    }


@pytest.fixture(scope="session")
def doctr(tmp_path_factory: pytest.TempPathFactory) -> dict[ModelRole, Path]:
    """A detector and a recognizer as docTR exports them, imported: each takes one size."""
    folder = tmp_path_factory.mktemp("doctr")
    detector = own_models.doctr_detector(folder / "db.onnx")
    recognizer = own_models.doctr_recognizer(folder / "crnn.onnx")
    facts = ModelFacts(origin="db of ours", license="Apache-2.0")
    words = ModelFacts(characters=tuple(own_models.WORDS))
    return {
        ModelRole.DETECTOR: import_model(ModelKind.ONNXTR_DETECTOR, detector, folder, facts),
        ModelRole.RECOGNIZER: import_model(ModelKind.DOCTR_RECOGNIZER, recognizer, folder, words),
    }


@pytest.fixture(scope="session")
def page() -> Pixels:
    return draw_page()


@pytest.fixture(scope="session")
def lines() -> list[Pixels]:
    """Drawn lines of text, UINT8 [48, W, 3] with W a multiple of 32."""
    texts = ("Hamburg", "1Z 999 AA1 01 2345 6784", "SHIP TO:", "Weight 12.5 kg", "No", "07/03/2025 14:55 Total 9,80")
    return [draw_line(text, seed) for seed, text in enumerate(texts)]
