"""What was sent, set beside what the server counted, where an ensemble reads the first lines."""

from dataclasses import replace

import pytest

from tests.doctor.test_findings import RECOGNIZER, healthy
from worker.adapters.triton.statistics import ModelTimes
from worker.doctor.examine import count_by_member, page_shares, shapes_seen
from worker.doctor.findings import ExaminedModel
from worker.doctor.observed import SentRequest
from worker.domain.manifest import ModelRole

LINE, OTHER_LINE = (48, 320, 3), (48, 96, 3)


def reader() -> ExaminedModel:
    model = healthy(ModelRole.READER)
    members = ("line_orientation", "text_recognizer")
    return replace(model, serving=replace(model.serving, members=members))


ORIENTATION = healthy(ModelRole.ORIENTATION)
MODELS = [healthy(ModelRole.DETECTOR), ORIENTATION, RECOGNIZER, reader()]
SENT = [
    SentRequest("text_reader", LINE, 2, 0.0, 0.3),
    SentRequest("text_recognizer", OTHER_LINE, 1, 0.1, 0.3),
    SentRequest("text_recognizer", OTHER_LINE, 1, 0.6, 0.7),
]


def test_a_line_that_an_ensemble_hands_on_was_seen_by_its_members_but_not_timed() -> None:
    assert shapes_seen(RECOGNIZER, SENT, MODELS) == {LINE: [], OTHER_LINE: [pytest.approx(0.2), pytest.approx(0.1)]}
    assert shapes_seen(ORIENTATION, SENT, MODELS) == {LINE: []}


def test_a_request_to_an_ensemble_is_one_to_each_member() -> None:
    assert count_by_member(SENT, MODELS) == {"line_orientation": 1, "text_recognizer": 3}


def test_the_time_of_a_page_is_that_of_the_worker_and_of_what_its_requests_waited_for() -> None:
    times = {
        "text_recognizer": ModelTimes(queued=0.06, waited_copying=0.03, waited_computing=0.27),
        "line_orientation": ModelTimes(queued=0.06, waited_computing=0.03),
        # The ensemble's own counts are those of its members again.
        "text_reader": ModelTimes(queued=9.0),
    }
    shares = page_shares(0.8, SENT, times, MODELS)
    assert shares is not None
    # Of 0.8 s, requests were under way for 0.4 s; they waited for 0.6 s together.
    assert shares.worker == pytest.approx(0.5)
    assert shares.queue == pytest.approx(0.1)
    assert shares.copying == pytest.approx(0.025)
    assert shares.computing == pytest.approx(0.25)
    assert shares.transfer == pytest.approx(0.125)


def test_counts_of_others_give_no_shares() -> None:
    assert page_shares(0.8, SENT, {"text_recognizer": ModelTimes(queued=0.7)}, MODELS) is None
    assert page_shares(0.0, [], {}, MODELS) is None
