"""Whatever valid values are given, the chart renders objects that Kubernetes, its operators and the worker take."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.chart.custom_resources import check_custom, is_custom
from tests.chart.kubernetes_schemas import NEWEST_KUBERNETES, check_kubernetes
from tests.chart.random_values import Values, chart_values
from tests.chart.rendering import Chart
from worker import settings

pytestmark = pytest.mark.timeout(1200)

EXAMPLES = 200
# Image volumes need the first; what is older is rendered with the examples in ci.
VERSIONS = ("1.31.0", NEWEST_KUBERNETES)


@dataclass
class Renderings:
    """Renders values and checks the objects; counts in how many renderings each kind was."""

    chart: Chart
    file: Path
    kinds: Counter[str] = field(default_factory=Counter)

    def check(self, values: Values, version: str) -> None:
        self.file.write_text(json.dumps(values), encoding="utf-8")
        rendered = self.chart.render(self.file, kubernetes=version)

        names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in rendered.manifests]
        assert len(names) == len(set(names))
        for manifest in rendered.manifests:
            if is_custom(manifest):
                check_custom(manifest)
            else:
                check_kubernetes(manifest, version)
        # The worker would refuse what it does not understand.
        settings.load(rendered.environment() | dict.fromkeys(rendered.references("worker"), "x"))
        self.kinds.update({kind for kind, _ in names})


def test_valid_values_give_valid_objects(chart: Chart, tmp_path: Path) -> None:
    renderings = Renderings(chart, tmp_path / "values.json")
    # Shrinking renders a hundred times more, and the message names the object and the field already.
    health = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    configured = hypothesis_settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=health
    )
    drawn = given(values=chart_values(), version=st.sampled_from(VERSIONS))

    seed(20261130)(configured(drawn(renderings.check)))()

    assert renderings.kinds["Deployment"] >= EXAMPLES
    optional = {
        "CronJob",
        "HorizontalPodAutoscaler",
        "Job",
        "KafkaTopic",
        "KafkaUser",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PodMonitor",
        "PrometheusRule",
        "ScaledObject",
        "Service",
        "ServiceMonitor",
        "TriggerAuthentication",
    }
    assert {kind for kind in optional if renderings.kinds[kind] < 5} == set()
