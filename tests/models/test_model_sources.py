"""Alphabets, ONNX files, profiles and precision: what a build accepts and what it refuses, in which words."""

from pathlib import Path

import pytest

from worker.domain.manifest import ModelRole
from worker.models.alphabet import AlphabetError, ctc_dictionary, kept_classes
from worker.models.profiles import ProfileError, select_profile
from worker.models.source import ModelSource, ModelSourceError, find_sources

DICTIONARY = ctc_dictionary(["!", "7", "A", "é", "漢"])


def test_the_blank_comes_first_and_the_space_last() -> None:
    assert DICTIONARY == ("", "!", "7", "A", "é", "漢", " ")


def test_the_latin_alphabet_keeps_blank_latin_letters_and_space_in_order() -> None:
    assert [DICTIONARY[index] for index in kept_classes(DICTIONARY, "latin")] == ["", "!", "7", "A", "é", " "]


def test_the_full_alphabet_keeps_everything() -> None:
    assert kept_classes(DICTIONARY, "full") == tuple(range(7))


def test_a_file_names_the_characters_and_the_space_is_always_kept(tmp_path: Path) -> None:
    path = tmp_path / "alphabet.txt"
    path.write_text("é7\n漢\n", encoding="utf-8")

    assert [DICTIONARY[index] for index in kept_classes(DICTIONARY, str(path))] == ["", "7", "é", "漢", " "]


def test_characters_that_the_recogniser_does_not_know_are_named(tmp_path: Path) -> None:
    path = tmp_path / "alphabet.txt"
    path.write_text("A7ßÞ", encoding="utf-8")

    with pytest.raises(AlphabetError, match=r"does not know 2 of the characters in .*alphabet.txt \(Þ ß\)"):
        kept_classes(DICTIONARY, str(path))


@pytest.mark.parametrize(("text", "words"), [(None, "nor a file"), ("\n", "is empty")])
def test_an_alphabet_that_says_nothing_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "alphabet.txt"
    if text is not None:
        path.write_text(text, encoding="utf-8")

    with pytest.raises(AlphabetError, match=words):
        kept_classes(DICTIONARY, str(path))


def test_a_given_copy_of_a_pinned_file_keeps_its_origin_and_licence(
    sources: dict[ModelRole, ModelSource], tmp_path: Path
) -> None:
    copy = tmp_path / "my_detector.onnx"
    copy.write_bytes(sources[ModelRole.DETECTOR].path.read_bytes())

    given = find_sources({ModelRole.DETECTOR: copy})[ModelRole.DETECTOR]

    assert (given.path, given.license) == (copy, "Apache-2.0")
    assert given.origin == "PP-OCRv6_det_small.onnx of rapidocr==3.10.0"


def test_the_digest_of_any_other_file_is_recorded(tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"other")

    given = find_sources({ModelRole.ORIENTATION: other})[ModelRole.ORIENTATION]

    assert given.sha256 == "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"
    assert (given.origin, given.license) == ("other.onnx", "unknown")


def test_a_given_file_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelSourceError, match=r"for text_detector, .*absent.onnx, does not exist"):
        find_sources({ModelRole.DETECTOR: tmp_path / "absent.onnx"})


def test_a_download_that_fails_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    with pytest.raises(
        ModelSourceError, match=r"could not download rapidocr==3\.10\.0.*give the files with --detector"
    ):
        find_sources(cache=tmp_path)


def test_a_file_that_rotted_in_the_cache_is_not_used(
    sources: dict[ModelRole, ModelSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "onnx").mkdir()
    for source in sources.values():
        (tmp_path / "onnx" / source.path.name).write_bytes(source.path.read_bytes())
    assert find_sources(cache=tmp_path)[ModelRole.DETECTOR].sha256 == sources[ModelRole.DETECTOR].sha256
    (tmp_path / "onnx" / sources[ModelRole.DETECTOR].path.name).write_bytes(b"rotten")

    with pytest.raises(ModelSourceError, match="could not download"):
        find_sources(cache=tmp_path)


def test_profiles_vary_only_as_they_can() -> None:
    assert select_profile("onnx", device="gpu").device == "gpu"
    assert select_profile("onnx", device="cpu").device == "cpu"
    assert select_profile("embedded", precision="fp32").precision == "fp32"
    with pytest.raises(ProfileError, match="no profile 'tflite': choose one of embedded, onnx"):
        select_profile("tflite")
    with pytest.raises(ProfileError, match="embedded has no device 'gpu': choose cpu"):
        select_profile("embedded", device="gpu")
    with pytest.raises(
        ProfileError, match="embedded on a cpu has no precision 'int4': choose auto or fp32 or bf16 or int8"
    ):
        select_profile("embedded", precision="int4")
