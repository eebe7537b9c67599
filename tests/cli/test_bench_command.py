"""What `labelwire bench` refuses before it starts anything."""

from pathlib import Path

import pytest

from worker.cli.bench import DrawnPictures, bench
from worker.domain.errors import SettingsError


def test_a_folder_and_drawn_pictures_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--data .* names the pictures, so --on photos cannot draw others"):
        bench(data=tmp_path, on=DrawnPictures.PHOTOS, output=tmp_path / "build")
    assert not (tmp_path / "build").exists()
