from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import LabelwireError
from worker.training.split import Split, SplitBy, Splitter


def splitter(ratios: str = "80/10/10", seed: int = 0, by: SplitBy = SplitBy.CONTENT) -> Splitter:
    return Splitter.parse(ratios, seed, by)


def test_pictures_are_split_as_the_percentages_say() -> None:
    counts = Counter(splitter("70/20/10").of(f"{number:064x}", None) for number in range(10_000))

    assert counts[Split.TRAIN] == pytest.approx(7000, abs=150)
    assert counts[Split.VALIDATION] == pytest.approx(2000, abs=150)
    assert counts[Split.TEST] == pytest.approx(1000, abs=150)


def test_nothing_comes_into_a_split_of_no_size() -> None:
    assert {splitter("100/0/0").of(f"{number:064x}", None) for number in range(500)} == {Split.TRAIN}
    assert {splitter("50/0/50").of(f"{number:064x}", None) for number in range(500)} == {Split.TRAIN, Split.TEST}


@given(st.text("0123456789abcdef", min_size=64, max_size=64), st.binary(max_size=20), st.integers(0, 99))
def test_the_split_depends_on_seed_and_group_alone(content: str, key: bytes, seed: int) -> None:
    by_key, by_content = splitter(seed=seed, by=SplitBy.KEY), splitter(seed=seed)

    assert by_key.of(content, key) is by_key.of("0" * 64, key)
    assert by_content.of(content, key) is by_content.of(content, None)
    assert by_key.of(content, None) is by_content.of(content, None)


def test_another_seed_splits_otherwise() -> None:
    names = [f"{number:064x}" for number in range(200)]

    assert [splitter(seed=1).of(name, None) for name in names] != [splitter(seed=2).of(name, None) for name in names]


@pytest.mark.parametrize("ratios", ["80/20", "80/10/20", "0/50/50", "80-10-10", "", "80/10/10/0", "a/b/c"])
def test_percentages_that_make_no_sense_are_refused(ratios: str) -> None:
    with pytest.raises(LabelwireError, match="write it as 80/10/10"):
        splitter(ratios)
