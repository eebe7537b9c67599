"""Filters in words."""

import pytest

from worker.dlq.filters import Filters, parse_filters
from worker.domain.errors import LabelwireError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("90m", 5400), ("12h", 43200), ("1d12h", 129600), ("1.5h", 5400), ("2w", 1209600)],
)
def test_ages(text: str, seconds: float) -> None:
    assert parse_filters(Filters(newer_than=text)).newer_than_seconds == seconds
    assert parse_filters(Filters(older_than=text)).older_than_seconds == seconds


def test_every_filter_arrives() -> None:
    selection = parse_filters(
        Filters(
            codes=("image_corrupt", "FROM_THE_FUTURE"),
            stages=("Decode",),
            keys=("key",),
            headers=("tenant=a=b", "empty="),
            fingerprints=("AB12",),
            limit=3,
        )
    )

    assert selection.codes == {"IMAGE_CORRUPT", "FROM_THE_FUTURE"}
    assert selection.stages == {"decode"}
    assert selection.keys == {"key"}
    assert selection.headers == (("tenant", "a=b"), ("empty", ""))
    assert selection.fingerprints == {"ab12"}
    assert selection.limit == 3


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        (Filters(codes=("IMAGE_CORUPT",)), "did you mean IMAGE_CORRUPT"),
        (Filters(stages=("decod",)), "did you mean decode"),
        (Filters(older_than="5"), "--older-than '5' is not an age"),
        (Filters(newer_than="5h later"), "--newer-than '5h later' is not an age"),
        (Filters(newer_than=""), "is not an age"),
        (Filters(older_than="2d", newer_than="1d"), "must be the longer age"),
        (Filters(headers=("tenant",)), "not name=value"),
        (Filters(headers=("=a",)), "not name=value"),
        (Filters(fingerprints=("xyz",)), "one to eight digits"),
        (Filters(fingerprints=("",)), "one to eight digits"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(filters: Filters, sentence: str) -> None:
    with pytest.raises(LabelwireError, match=sentence):
        parse_filters(filters)
