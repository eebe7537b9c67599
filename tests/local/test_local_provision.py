import hashlib
import re
from pathlib import Path

import pytest

import worker.local
from worker.domain.errors import LocalStackError
from worker.local.cache import CACHE_VARIABLE
from worker.local.provision import (
    check_triton_platform,
    find_python_environment,
    java,
    python_library_folders,
    verify_jars,
)

_LOCKS = sorted(Path(worker.local.__file__).parent.joinpath("locks").glob("*.txt"))


@pytest.mark.parametrize("lock", _LOCKS, ids=lambda path: path.stem)
def test_locks_hold_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert len(re.findall(r"\b[0-9a-f]{64}\b", text)) >= len(re.findall(r"==|\.jar$", text, re.MULTILINE)) > 0


def test_a_jar_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "good.jar").write_bytes(b"good")
    sums = f"{hashlib.sha256(b'good').hexdigest()}  good.jar\n"
    verify_jars(tmp_path, sums)
    (tmp_path / "more.jar").write_bytes(b"more")
    with pytest.raises(LocalStackError, match=r"more\.jar"):
        verify_jars(tmp_path, sums)
    (tmp_path / "more.jar").unlink()
    (tmp_path / "good.jar").write_bytes(b"bad")
    with pytest.raises(LocalStackError, match=r"good\.jar"):
        verify_jars(tmp_path, sums)


def test_to_look_for_an_environment_fetches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))

    assert find_python_environment("tensorrt") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real
def test_this_machine_has_what_the_servers_need() -> None:
    check_triton_platform()
    assert java().exists()
    assert all(folder.is_dir() for folder in python_library_folders())
