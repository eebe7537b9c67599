"""A stored document that was changed anywhere is noticed, and its id is that of its content."""

from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.registry.builds import BUILT_AT, write_build
from tests.registry.registries import NOW, verdict
from worker.models.registry.built import read_build
from worker.models.registry.documents import Document, EvaluationRecord, Promotion, Release
from worker.models.registry.errors import DamagedError


@cache
def _release() -> Release:
    with TemporaryDirectory() as folder:
        return read_build(write_build(Path(folder) / "built"))


@cache
def _documents() -> tuple[Document, ...]:
    release = _release()
    promotion = Promotion(number=1, action="promote", version=release.version, at=NOW, by="ann@desk", reason="größer")
    return release, promotion, verdict(release.version, None, "failed")


@given(st.integers(0, 2), st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_is_noticed_wherever_it_stands(which: int, position: int, change: int) -> None:
    document = _documents()[which]
    stored = bytearray(document.to_bytes())
    stored[position % len(stored)] ^= change

    with pytest.raises(DamagedError, match=r"^it is damaged: [^\n]*$"):
        type(document).of_bytes(bytes(stored), "it")


def test_space_around_a_document_is_noticed_too() -> None:
    for document in _documents():
        stored = document.to_bytes()
        for changed in (stored[:-1], stored + b" ", b" " + stored):
            with pytest.raises(DamagedError, match=r"^it is damaged: "):
                type(document).of_bytes(changed, "it")


@given(st.binary(max_size=200))
@example(b"[" * 1_000_000)
@example(b'{"a": ' + b"9" * 10_000 + b"}")
@example(b'{"sha256": ["a"]}')
def test_whatever_is_stored_is_understood_or_refused_with_a_sentence(stored: bytes) -> None:
    with pytest.raises(DamagedError, match=r"^it is damaged: "):
        Promotion.of_bytes(stored, "it")


def test_a_stored_document_is_read_as_it_was() -> None:
    for document in _documents():
        assert type(document).of_bytes(document.to_bytes(), "it") == document


def test_an_id_is_that_of_the_content_and_not_of_when_it_was_built() -> None:
    release = _release()
    later = release.build.model_copy(update={"built_at": BUILT_AT + timedelta(days=1), "labelwire": "9.9.9"})
    elsewhere = release.build.model_copy(update={"profile": "embedded"})
    first, *others = release.files
    changed = first.model_copy(update={"size_bytes": first.size_bytes + 1})

    assert release.model_copy(update={"build": later}).version == release.version
    assert release.model_copy(update={"build": elsewhere}).version != release.version
    assert release.model_copy(update={"files": (changed, *others)}).version != release.version


def test_no_two_promotions_are_the_same_record() -> None:
    made = [Promotion(number=1, action="promote", version="0" * 64, at=NOW, by="ann@desk") for _ in range(2)]

    assert made[0].to_bytes() != made[1].to_bytes()


@pytest.mark.parametrize("changes", [{"scores": {"word_f1": float("nan")}}, {"pictures": 0}, {"verdict": "perhaps"}])
def test_a_verdict_without_sense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        EvaluationRecord.model_validate(verdict("0" * 64, None).model_dump() | changes)
