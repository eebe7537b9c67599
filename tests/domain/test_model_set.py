import pytest

from worker.domain.model_set import DEFAULT_SET, ModelSetError, check_set_name, served_name, set_title


def test_the_models_of_a_set_have_its_name_behind_a_dot() -> None:
    assert served_name("text_detector", "v2") == "text_detector.v2"
    assert served_name("text_detector", DEFAULT_SET) == "text_detector"
    assert (set_title("v2"), set_title(DEFAULT_SET)) == ("v2", "default")


@pytest.mark.parametrize("name", ["", "v2", "2026-11-30", "a"])
def test_a_name_that_a_model_can_have_is_taken(name: str) -> None:
    assert check_set_name(name) == name


@pytest.mark.parametrize("name", ["V2", "a.b", "-a", "a-", "a b", "ä", "x" * 33, "a/b", "default", "v2\n"])
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(ModelSetError, match="model set"):
        check_set_name(name)
