"""What the builder asks of TensorRT 10, of TensorRT 11 and of a timing cache, where no such library is there."""

from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest

from worker.models.tensorrt_builder import _network_flags, _read_timing_cache, _write_timing_cache


class TensorRt10Flags(IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class TensorRt11Flags(IntEnum):
    """Networks are never typed weakly any more, so no flag asks for strong types."""


class TimingCache:
    """A cache that fits where its bytes begin as the builder's do."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content


class BuilderConfig:
    """Knows of timing caches what TensorRT's does: damaged bytes give none, one of another GPU is not taken."""

    def __init__(self) -> None:
        self.cache: TimingCache | None = None

    def create_timing_cache(self, content: bytes) -> TimingCache | None:
        return None if content.startswith(b"damaged") else TimingCache(content)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:  # noqa: FBT001  as the library
        if cache.content.startswith(b"other GPU") and not ignore_mismatch:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self.cache

    @classmethod
    def after_reading(cls, path: Path) -> Self:
        config = cls()
        _read_timing_cache(config, path)
        return config


@pytest.mark.parametrize(("flags", "mask"), [(TensorRt10Flags, 0b10), (TensorRt11Flags, 0)], ids=["10", "11"])
def test_networks_are_strongly_typed_in_every_version(flags: type[IntEnum], mask: int) -> None:
    assert _network_flags(SimpleNamespace(NetworkDefinitionCreationFlag=flags)) == mask


def test_a_timing_cache_is_used_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sm90.timing"
    config = BuilderConfig.after_reading(path)
    config.cache = TimingCache(b"measured")

    _write_timing_cache(config, path)

    again = BuilderConfig.after_reading(path).cache
    assert again is not None
    assert again.serialize() == b"measured"
    assert [file.name for file in path.parent.iterdir()] == ["sm90.timing"], "nothing half written is left"


@pytest.mark.parametrize("content", [b"damaged", b"other GPU"])
def test_a_timing_cache_that_does_not_fit_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sm90.timing"
    path.write_bytes(content)

    config = BuilderConfig.after_reading(path)

    assert config.cache is not None
    assert config.cache.serialize() == b""
