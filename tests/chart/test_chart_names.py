"""Names and labels fit what Kubernetes allows, however long the names are that they are made from."""

import re
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chart.rendering import LOCKED_DOWN, MINIMAL, Chart, Rendered

pytestmark = pytest.mark.timeout(1200)

_INNER = string.ascii_lowercase + string.digits + "-"
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_LONGEST = 63
# The names that a CronJob and KEDA derive are longer than these by so much.
_ROOM = {"CronJob": 11, "ScaledObject": len("keda-hpa-")}


# Every object that there is.
_EVERYTHING: dict[str, object] = {
    "triton.gpuCount": 1,
    "triton.plans": {"enabled": True, "gpu": "L4", "models": "1", "claim": "plans", "image": {"repository": "build"}},
    "triton.podDisruptionBudget.enabled": True,
    "strimzi.user.name": "",
}


def names(longest: int) -> st.SearchStrategy[str]:
    """Return names of all lengths, each as likely, that Kubernetes takes for an object."""
    return st.integers(2, longest).flatmap(_names_of)


def _names_of(length: int) -> st.SearchStrategy[str]:
    middle = st.text(_INNER, min_size=length - 2, max_size=length - 2)
    return st.builds("{}{}{}".format, st.sampled_from("abz"), middle, st.sampled_from("z9"))


def assert_that_names_fit(rendered: Rendered) -> None:
    for manifest in rendered.manifests:
        found, kind = manifest["metadata"]["name"], manifest["kind"]
        assert len(found) + _ROOM.get(kind, 0) <= _LONGEST, (kind, found)
        assert _NAME.fullmatch(found), (kind, found)
        for value in manifest["metadata"]["labels"].values():
            assert len(value) <= _LONGEST
            assert _LABEL.fullmatch(value), value


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    release=st.one_of(names(53), st.builds("{}.{}".format, names(20), names(20))),
    name=st.one_of(st.just(""), names(63)),
)
def test_names_and_labels_fit_whatever_a_release_is_called(chart: Chart, release: str, name: str) -> None:
    assert_that_names_fit(chart.render(LOCKED_DOWN, {**_EVERYTHING, "nameOverride": name}, release=release))


@pytest.mark.parametrize("length", [*range(30, 64), 128, 253])
def test_names_and_labels_fit_at_each_length(chart: Chart, length: int) -> None:
    assert_that_names_fit(chart.render(LOCKED_DOWN, {**_EVERYTHING, "fullnameOverride": "l" * length}))


@pytest.mark.parametrize("longest", [43, 53, 200])
def test_long_names_that_differ_at_their_end_stay_apart(chart: Chart, longest: int) -> None:
    first, second = (
        chart.render(MINIMAL, {"fullnameOverride": "l" * longest + end}).one("Deployment", "worker") for end in "ab"
    )

    assert first["metadata"]["name"] != second["metadata"]["name"]


def test_a_short_name_is_kept(chart: Chart) -> None:
    rendered = chart.render(MINIMAL, release="intake")

    assert rendered.one("Deployment", "worker")["metadata"]["name"] == "intake-labelwire-worker"


def test_a_name_that_no_service_may_have_is_refused(chart: Chart) -> None:
    said = chart.refusal(MINIMAL, {}, release="1st")

    assert "would be named 1st-labelwire, and a Service's name must begin with a letter: set fullnameOverride" in said
