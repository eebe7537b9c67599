import gc
import weakref
from collections.abc import Iterator

import pytest

from worker.adapters.garbage import pass_over_lasting_objects


class _Knot:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _usual_collection() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_is_there_at_the_start_is_passed_over() -> None:
    before = len(gc.get_objects())

    pass_over_lasting_objects()

    assert gc.get_freeze_count() > before / 2
    assert len(gc.get_objects()) < before / 10


def test_cycles_of_garbage_are_found_without_being_asked_for() -> None:
    pass_over_lasting_objects()
    knot = weakref.ref(_Knot())

    kept: list[list[object]] = []
    while knot() is not None and len(kept) < 2 * gc.get_threshold()[0]:
        kept.append([knot])

    assert knot() is None


def test_the_search_begins_after_more_new_objects_than_by_default() -> None:
    usual = gc.get_threshold()[0]

    pass_over_lasting_objects()

    assert gc.get_threshold()[0] > usual
