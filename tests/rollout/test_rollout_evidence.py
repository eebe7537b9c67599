from hypothesis import given
from hypothesis import strategies as st

from worker.domain.rollout.evidence import (
    Evidence,
    part_bin,
    part_counts,
    quantile_bin,
    time_bin,
    time_of_bin,
    total,
)

HISTOGRAMS = st.dictionaries(st.integers(0, 20), st.integers(1, 50), max_size=5)
EVIDENCE = st.builds(
    Evidence,
    jobs=st.integers(0, 100),
    errors=st.integers(0, 100),
    pairs=st.integers(0, 100),
    text=HISTOGRAMS,
    fields=HISTOGRAMS,
    candidate_times=st.dictionaries(st.integers(-200, 200), st.integers(1, 50), max_size=5),
)


@given(EVIDENCE, EVIDENCE, EVIDENCE)
def test_evidence_adds_up_in_any_order(one: Evidence, two: Evidence, three: Evidence) -> None:
    assert total([one, two, three]) == total([three, one, two]) == one + (two + three)


@given(EVIDENCE)
def test_evidence_survives_its_record(evidence: Evidence) -> None:
    assert Evidence.model_validate_json(evidence.model_dump_json()) == evidence


@given(st.floats(0.001, 1000))
def test_a_time_is_known_to_a_few_percent(seconds: float) -> None:
    assert 0.95 < time_of_bin(time_bin(seconds)) / seconds < 1.05


@given(st.floats(0, 1))
def test_a_part_is_rounded_up(part: float) -> None:
    (rounded,) = part_counts({part_bin(part): 1})

    assert part - 1e-9 <= rounded < part + 0.05 + 1e-9


def test_a_quantile_is_that_of_the_times() -> None:
    times: dict[int, int] = {}
    for number in range(1, 101):
        times[time_bin(number / 100)] = times.get(time_bin(number / 100), 0) + 1

    p50, p99 = quantile_bin(times, 0.5), quantile_bin(times, 0.99)

    assert (p50, p99) == (time_bin(0.5), time_bin(0.99))
    assert quantile_bin({}, 0.5) is None


def test_the_mean_disagreement_is_that_of_the_pairs() -> None:
    seen = Evidence(pairs=2, text={part_bin(0.0): 1, part_bin(1.0): 1})

    assert seen.text_disagreement == 0.5
    assert seen.field_disagreement is None
