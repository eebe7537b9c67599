"""What is counted in requests, and what is tried because of it."""

import numpy as np
import pytest

from worker.lab.tuning.candidates import changes
from worker.lab.tuning.traffic import Traffic, count_traffic
from worker.models.tuning import ServingSettings
from worker.ports import InferenceRequest

WIDTHS = tuple(range(32, 321, 32))
DEFAULT = ServingSettings(instances=4, threads=1, static_widths=WIDTHS, static_tiles=())


def _lines(rows: int, width: int, model: str = "text_recognizer") -> InferenceRequest:
    return InferenceRequest(model, {"line": np.zeros((rows, 48, width, 3), np.uint8)}, ("token",))


def _tiles(rows: int, height: int, width: int) -> InferenceRequest:
    return InferenceRequest("text_detector", {"image": np.zeros((rows, height, width, 3), np.uint8)}, ("probability",))


def test_columns_and_tiles_are_counted_and_the_classifier_is_not() -> None:
    requests = [_lines(3, 64), _lines(1, 64), _lines(2, 320), _tiles(2, 64, 96), _tiles(1, 96, 64), _tiles(1, 96, 64)]

    traffic = count_traffic([*requests, _lines(8, 192, "line_orientation")])

    assert traffic == Traffic({64: 256, 320: 640}, {(64, 96): 2, (96, 64): 2}, largest_lines=3, largest_tiles=2)


@pytest.mark.parametrize(("share", "widest"), [(0.5, 64), (0.51, 96), (0.8, 96), (0.99, 320), (1.0, 320)])
def test_the_narrowest_widths_cover_a_share_of_the_columns(share: float, widest: int) -> None:
    traffic = Traffic({64: 500, 96: 300, 320: 200})

    static = traffic.widths_covering(share, WIDTHS)

    assert static == tuple(width for width in WIDTHS if width <= widest)
    assert traffic.share_of_columns(static) >= share


def test_the_commonest_tiles_come_first() -> None:
    traffic = Traffic(tiles={(64, 96): 1, (96, 64): 5, (32, 32): 1})

    assert traffic.commonest_tiles(2) == ((96, 64), (32, 32))
    assert traffic.share_of_tiles(traffic.commonest_tiles(2)) == pytest.approx(6 / 7)
    assert traffic.commonest_tiles(0) == ()
    assert (Traffic().share_of_tiles(()), Traffic().share_of_columns(())) == (0, 0)


def test_all_cores_are_used_by_each_candidate() -> None:
    settings = [change.of(DEFAULT) for change in changes(Traffic({64: 1}, {(64, 96): 1}, 1, 1), WIDTHS, 4)]

    assert {(one.instances, one.threads) for one in settings} == {(4, 1), (2, 2), (1, 4)}
    assert all(one.instances * one.threads == 4 for one in settings)
    assert {one.max_queue_delay_microseconds for one in settings} == {0, 1000, 5000}


def test_a_batch_is_limited_only_under_what_requests_hold() -> None:
    small = [change.of(DEFAULT) for change in changes(Traffic({64: 1}, {(64, 96): 1}, 8, 1), WIDTHS, 1)]
    large = [change.of(DEFAULT) for change in changes(Traffic({64: 1}, {(64, 96): 1}, 32, 4), WIDTHS, 1)]

    assert {(one.max_batch_lines, one.max_batch_tiles) for one in small} == {(None, None)}
    assert {one.max_batch_lines for one in large} == {None, 16, 8}
    assert {one.max_batch_tiles for one in large} == {None, 1}
