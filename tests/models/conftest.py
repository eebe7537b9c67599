"""The pinned ONNX files and drawn text, shared by the tests of the models."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.models.drawing import Pixels, draw_line, draw_page
from tests.models.reference import onnxruntime_session
from worker.domain.manifest import ModelRole
from worker.models.source import ModelSource, find_sources


@pytest.fixture(scope="session")
def sources() -> dict[ModelRole, ModelSource]:
    return find_sources()


@pytest.fixture(scope="session")
def originals(sources: Mapping[ModelRole, ModelSource]) -> dict[ModelRole, Any]:
    return {role: onnxruntime_session(source.path) for role, source in sources.items()}


@pytest.fixture(scope="session")
def page() -> Pixels:
    return draw_page()


@pytest.fixture(scope="session")
def lines() -> list[Pixels]:
    """Drawn lines of text, UINT8 [48, W, 3] with W a multiple of 32."""
    texts = ("Hamburg", "1Z 999 AA1 01 2345 6784", "SHIP TO:", "Weight 12.5 kg", "No", "07/03/2025 14:55 Total 9,80")
    return [draw_line(text, seed) for seed, text in enumerate(texts)]
