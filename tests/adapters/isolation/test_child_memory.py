"""How much memory a child is left."""

from pathlib import Path

import pytest

from worker.adapters.isolation.memory import free_share_bytes

GIBIBYTE = 2**30


def cgroup(root: Path, limit: str, *, current: int = GIBIBYTE, reclaimable: int = 0) -> tuple[Path, Path]:
    """Make a cgroup of version 2 and the file that names it."""
    folder = root / "pods/one"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {reclaimable}\n")
    own = root / "own"
    own.write_text("4:memory:/elsewhere\n0::/pods/one\n")
    return root, own


@pytest.mark.parametrize(
    ("current", "reclaimable", "share"),
    [
        (GIBIBYTE, 0, 3 * GIBIBYTE * 3 // 4),
        (2 * GIBIBYTE, GIBIBYTE, 3 * GIBIBYTE * 3 // 4),
        (4 * GIBIBYTE, 0, GIBIBYTE // 4),
    ],
    ids=["free", "cache", "full"],
)
def test_it_is_a_share_of_what_the_container_has_free(
    tmp_path: Path, current: int, reclaimable: int, share: int
) -> None:
    root, own = cgroup(tmp_path, str(4 * GIBIBYTE), current=current, reclaimable=reclaimable)
    assert free_share_bytes(root, own) == share


def test_a_container_without_a_limit_sets_none(tmp_path: Path) -> None:
    assert free_share_bytes(*cgroup(tmp_path, "max")) is None


def test_a_machine_without_cgroups_sets_none(tmp_path: Path) -> None:
    assert free_share_bytes(tmp_path, tmp_path / "own") is None
