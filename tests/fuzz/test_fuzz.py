"""The decode front under damaged files: a share of the long run, what once went wrong, and that the judge sees it."""

from pathlib import Path

import pytest

from tests.fuzz.many import run_defect, run_files, run_mutants
from tests.fuzz.mutate import mutant
from tests.pipeline.pictures import FILES

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


def test_damaged_files_are_read_or_refused_within_time_and_memory() -> None:
    endings = list(run_mutants(range(300), jobs=1))
    assert sorted(int(ending.name) for ending in endings) == list(range(300))
    assert [(ending.name, ending.fault) for ending in endings if ending.fault] == []
    ends = {ending.end for ending in endings}
    assert {"IMAGE_CORRUPT", "IMAGE_UNSUPPORTED", "IMAGE_TOO_LARGE", "read as jpeg", "read as pdf"} <= ends


def test_files_that_once_went_wrong_do_so_no_more() -> None:
    endings = list(run_files(CORPUS))
    assert [Path(ending.name) for ending in endings] == CORPUS
    assert [(ending.name, ending.fault) for ending in endings if ending.fault] == []


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        ("crash", "SIGSEGV"),
        ("hang", "seconds of the processor"),
        ("greed", "took"),
        ("want", "MemoryError"),
        ("untyped", "KeyError"),
    ],
)
def test_the_judge_sees_what_must_not_be(defect: str, words: str) -> None:
    ending = run_defect(defect)
    assert ending.fault is not None
    assert words in ending.fault


def test_a_seed_gives_the_same_file_again() -> None:
    files = [make() for make in FILES.values()]
    assert [mutant(seed, files) for seed in range(40)] == [mutant(seed, files) for seed in range(40)]
    assert len({mutant(seed, files) for seed in range(40)}) > 30
