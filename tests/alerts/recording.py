"""What Prometheus would have stored, and the real rules on it, by promtool.

Samples come from expositions and from nowhere else, so a rule is only ever tried on series that there are.
"""

import json
import math
import re
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.chart.rendering import Manifest
from worker.adapters.telemetry.exposition import parse_page

_NAME = re.compile(r"\b(?:labelwire|nv|process|up)(?:_\w+)?\b(?!\s*\()")
Target = Mapping[str, str]
NAMESPACE = "labels"


def metric_names(expression: str) -> set[str]:
    """Return the metrics that an expression names; what stands in quotes is no metric."""
    return set(_NAME.findall(re.sub(r'"[^"]*"', '""', expression)))


def target_of(pod: str) -> Target:
    """Return the labels that a PodMonitor sets, as far as the chart asks for them."""
    return {"namespace": NAMESPACE, "pod": pod}


@dataclass
class Recording:
    """Samples by series and step, `interval_seconds` apart; the first step is at `began_at`, in epoch seconds.

    A series that a target no longer has, or a target that does not answer, ends as Prometheus ends it: with a marker,
    so that an instant look finds nothing.
    """

    rules: Manifest
    interval_seconds: int
    began_at: int
    steps: int = 0
    expected: dict[int, Collection[str]] = field(default_factory=dict)
    expected_since: list[tuple[int, int, Collection[str]]] = field(default_factory=list)
    _samples: dict[str, dict[int, str]] = field(default_factory=dict)
    _open: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._names = set().union(*(metric_names(rule["expr"]) for rule in self._rules()))

    def scrape(self, target: Target, exposition: str | None) -> None:
        """Take what a target answered in this step; None if it did not."""
        series = self._series(target, exposition or "") | {_key("up", target): "0" if exposition is None else "1"}
        self._take(target, series)

    def remove(self, target: Target) -> None:
        """Note that a target is gone in this step, as a pod that was deleted."""
        self._take(target, {})

    def next_step(self) -> None:
        """Go on in time."""
        self.steps += 1

    def expect(self, *alerts: str) -> None:
        """Expect that these alerts fire in the last step, and no others."""
        self.expected[self.steps - 1] = alerts

    def expect_since(self, step: int, *alerts: str) -> None:
        """Expect that each of these alerts has fired since a step; others may have."""
        self.expected_since.append((step, self.steps - 1, alerts))

    def verify(self, promtool: Path, folder: Path) -> None:
        """Have promtool evaluate the rules at every step. AssertionError, with its words, where others fired."""
        assert self.expected or self.expected_since, "nothing is expected"
        (folder / "rules.yaml").write_text(yaml.safe_dump(self.rules), encoding="utf-8")
        (folder / "test.json").write_text(json.dumps(self._document()), encoding="utf-8")
        command = [str(promtool), "test", "rules", str(folder / "test.json")]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert ended.returncode == 0, ended.stdout + ended.stderr

    def _rules(self) -> list[Manifest]:
        return [rule for group in self.rules["groups"] for rule in group["rules"]]

    def _series(self, target: Target, exposition: str) -> dict[str, str]:
        # Most of a page is not asked for, and parsing is slow.
        asked_for = [line for line in exposition.splitlines() if re.split(r"[{ ]", line, maxsplit=1)[0] in self._names]
        return {
            _key(sample.name, {**sample.labels, **target}): repr(sample.value)
            for sample in parse_page("\n".join(asked_for))
            if math.isfinite(sample.value)
        }

    def _take(self, target: Target, series: Mapping[str, str]) -> None:
        open_series = self._open.setdefault(json.dumps(target), set())
        for ended in open_series - series.keys():
            self._samples[ended][self.steps] = "stale"
        open_series.clear()
        open_series.update(series)
        for key, value in series.items():
            self._samples.setdefault(key, {})[self.steps] = value

    def _document(self) -> Manifest:
        step = f"{self.interval_seconds}s"
        firing = 'ALERTS{alertstate="firing"}'
        asked = [(number, f"group by (alertname) ({firing})", alerts) for number, alerts in self.expected.items()]
        for begin, number, alerts in self.expected_since:
            seconds = (number - begin + 1) * self.interval_seconds
            named = f'ALERTS{{alertstate="firing",alertname=~"{"|".join(alerts)}"}}'
            asked.append((number, f"group by (alertname) (last_over_time({named}[{seconds}s]))", alerts))
        return {
            "rule_files": ["rules.yaml"],
            "evaluation_interval": step,
            "tests": [
                {
                    "interval": step,
                    "start_timestamp": self.began_at,
                    "input_series": [
                        {"series": key, "values": " ".join(at.get(number, "_") for number in range(self.steps))}
                        for key, at in self._samples.items()
                    ],
                    "promql_expr_test": [
                        {
                            "expr": expression,
                            "eval_time": f"{number * self.interval_seconds}s",
                            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in alerts],
                        }
                        for number, expression, alerts in asked
                    ],
                }
            ],
        }


def _key(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{{{','.join(f'{label}={json.dumps(value)}' for label, value in sorted(labels.items()))}}}"
