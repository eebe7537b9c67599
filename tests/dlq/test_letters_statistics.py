"""Dead letters counted: groups and time."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from worker.dlq.inspect.statistics import OTHER, ErrorOccurrence, Statistics, statistics_document
from worker.dlq.inspect.timeline import MAX_BINS, Timeline
from worker.domain.records import Coordinate

HOUR_MS = 3_600_000
NOW_MS = 1_700_000_000_000

times = st.integers(0, 2**63) | st.integers(NOW_MS, NOW_MS + 40 * HOUR_MS)


def occurrence(
    code: str = "IMAGE_CORRUPT", at_ms: int = NOW_MS, offset: int = 0, message: str = "damaged", fingerprint: str = "f1"
) -> ErrorOccurrence:
    return ErrorOccurrence(code, "decode", fingerprint, message, at_ms, Coordinate("label-images.dlq", 0, offset))


@given(st.lists(st.tuples(times, st.sampled_from("abc")), max_size=80), st.integers(1, MAX_BINS))
def test_nothing_is_lost_whatever_the_times(added: list[tuple[int, str]], fewer: int) -> None:
    timeline = Timeline()
    for at_ms, name in added:
        timeline.add(at_ms, name)

    for shown, most in ((timeline, MAX_BINS), (timeline.at_most(fewer), fewer)):
        bins = shown.bins()
        assert len(bins) <= most
        assert sum((Counter(each.counts) for each in bins), Counter()) == Counter(name for _, name in added)
        width_ms = 1000 * shown.width_seconds
        assert [each.start_ms for each in bins] == [bins[0].start_ms + n * width_ms for n in range(len(bins))]
        if added:
            first, last = min(at for at, _ in added), max(at for at, _ in added)
            assert bins[0].start_ms <= first < bins[0].start_ms + width_ms
            assert bins[-1].start_ms <= last < bins[-1].start_ms + width_ms


def test_fewer_bins_never_claim_to_know_more() -> None:
    timeline = Timeline()
    for hour in range(0, 50, 7):
        timeline.add(NOW_MS + hour * HOUR_MS, "a")

    assert timeline.at_most(MAX_BINS).width_seconds == timeline.width_seconds
    assert timeline.at_most(8).width_seconds > timeline.width_seconds


def test_bins_that_were_merged_are_not_drawn_narrower() -> None:
    week_ms = 7 * 24 * HOUR_MS
    timeline = Timeline()
    for day in range(61):  # one day more than there are bins, so that weeks are counted
        timeline.add(200 * week_ms + day * 24 * HOUR_MS, "a")

    assert timeline.width_seconds == timeline.at_most(MAX_BINS).width_seconds == week_ms // 1000


def test_a_cluster_is_code_stage_and_fingerprint_and_shows_its_newest() -> None:
    statistics = Statistics()
    statistics.add(occurrence(at_ms=NOW_MS + 5, offset=1, message="newest"))
    statistics.add(occurrence(at_ms=NOW_MS, offset=2, message="older"))
    statistics.add(occurrence(at_ms=NOW_MS + 9, offset=3, fingerprint="f2"))
    statistics.add(occurrence(code="POISON", at_ms=NOW_MS + 7, offset=4))

    first, *others = statistics.groups

    assert (first.count, first.first_ms, first.last_ms) == (2, NOW_MS, NOW_MS + 5)
    assert (first.message, first.example.offset) == ("newest", 1)
    assert statistics.share(first) == 0.5
    assert [(each.code, each.fingerprint, each.count) for each in others] == [
        ("IMAGE_CORRUPT", "f2", 1),
        ("POISON", "f1", 1),
    ]
    assert statistics.span_ms == (NOW_MS, NOW_MS + 9)


def test_strange_names_take_bounded_room_and_every_letter_is_counted() -> None:
    statistics = Statistics(max_groups=10)
    for number in range(500):
        statistics.add(occurrence(code=f"C{number}", fingerprint="f" * 10_000, message="m" * 10_000))

    assert len(statistics.groups) == 11
    assert statistics.groups[0].code == OTHER
    assert sum(each.count for each in statistics.groups) == statistics.letters == 500
    assert max(len(each.fingerprint + each.message) for each in statistics.groups) < 1100
    assert len(statistics.timeline.bins()[0].counts) < 30


def test_figures_of_nothing() -> None:
    assert statistics_document(Statistics(), "t") == {
        "topic": "t",
        "letters": 0,
        "first_ms": None,
        "last_ms": None,
        "clusters": [],
        "histogram": {"bin_seconds": 1, "bins": []},
    }
