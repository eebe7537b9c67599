"""How many cores a container may use."""

from pathlib import Path

import pytest

from worker.runtime.cores import cgroup_cores, usable_cores


def cores(folder: Path, **files: str) -> float | None:
    for name, text in files.items():
        (folder / name).write_text(text)
    return cgroup_cores(folder / "v2", folder / "quota", folder / "period")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"v2": "max 100000\n"}, None),
        ({"v2": "150000 100000\n"}, 1.5),
        ({"v2": "50000 100000\n", "quota": "400000\n", "period": "100000\n"}, 0.5),
        ({"quota": "-1\n", "period": "100000\n"}, None),
        ({"quota": "300000\n", "period": "100000\n"}, 3),
        ({"quota": "300000\n"}, None),
    ],
    ids=["none", "v2 without limit", "v2", "v2 before v1", "v1 without limit", "v1", "v1 without period"],
)
def test_a_quota_is_read_in_cores(tmp_path: Path, files: dict[str, str], expected: float | None) -> None:
    assert cores(tmp_path, **files) == expected


def test_there_is_always_a_core() -> None:
    assert usable_cores() >= 1
