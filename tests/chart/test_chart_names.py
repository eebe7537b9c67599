"""Names and labels fit what Kubernetes allows, however long the names are that they are made from."""

import re
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chart.rendering import MINIMAL, PRODUCTION, Chart

pytestmark = pytest.mark.timeout(1200)

_INNER = string.ascii_lowercase + string.digits + "-"
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_LONGEST = 63
# The names that a CronJob and KEDA derive are longer than these by so much.
_ROOM = {"CronJob": 11, "ScaledObject": len("keda-hpa-")}


def names(longest: int) -> st.SearchStrategy[str]:
    """Return names of all lengths that Kubernetes takes for an object."""
    middle = st.text(_INNER, max_size=longest - 2)
    return st.builds("{}{}{}".format, st.sampled_from("abz"), middle, st.sampled_from("z9"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    release=st.one_of(names(53), st.builds("{}.{}".format, names(20), names(20))),
    name=st.one_of(st.just(""), names(63)),
    full=st.one_of(st.just(""), names(253)),
)
def test_names_and_labels_fit(chart: Chart, release: str, name: str, full: str) -> None:
    rendered = chart.render(PRODUCTION, {"nameOverride": name, "fullnameOverride": full}, release=release)

    for manifest in rendered.manifests:
        found, kind = manifest["metadata"]["name"], manifest["kind"]
        assert len(found) + _ROOM.get(kind, 0) <= _LONGEST, (kind, found)
        assert _NAME.fullmatch(found), (kind, found)
        for value in manifest["metadata"]["labels"].values():
            assert len(value) <= _LONGEST
            assert _LABEL.fullmatch(value), value


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
