"""Each alert fires when it should, and then only; each has a page that says what to do.

The rules are rendered by Helm and evaluated by Prometheus' own promtool on what workers and Triton really export.
"""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from tests.alerts.recording import metric_names, target_of
from tests.alerts.simulated_pods import JOBS, TRITON_EXPOSITION, Cluster, SimulatedWorker
from tests.chart.rendering import CO_LOCATED, EXTERNAL, MINIMAL, PRODUCTION, Chart, Manifest
from worker.adapters.telemetry.exposition import parse_page
from worker.adapters.telemetry.metrics import Metrics
from worker.domain import events
from worker.domain.circuit import CircuitState
from worker.domain.errors import ErrorCode
from worker.runtime.lifecycle import CIRCUITS, CONDITIONS, TOPICS, TRITON

# The first test may have to build Helm and promtool.
pytestmark = pytest.mark.timeout(1800)

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
MONITORING = RUNBOOKS.parent / "monitoring.md"
_MODEL = "text_detector"
# Of the targets, as PodMonitors set them, and of histograms.
_TARGET_LABELS = {"namespace", "pod", "le"}


def dead_letter_limit(cluster: Cluster) -> None:
    worker = cluster.workers[0]
    worker.emit(events.DeadLettersWaiting(12, 1.2, 600, loud=True))
    cluster.run(1)
    cluster.expect()
    cluster.run(2)
    cluster.expect("LabelwireDeadLetterLimit")
    worker.emit(events.DeadLettersWaiting(0, 0, 600, loud=True))
    cluster.run(0.5)
    cluster.expect()


def dead_letter_share(cluster: Cluster) -> None:
    first, second = cluster.workers
    first.end_jobs(9, ErrorCode.IMAGE_CORRUPT)
    cluster.run(1)
    cluster.expect()  # so few may be chance
    first.end_jobs(20, ErrorCode.URI_NOT_FOUND)
    second.end_jobs(10, ErrorCode.JOB_INVALID)
    cluster.run(1)
    cluster.expect("LabelwireDeadLetterShare")
    cluster.run(10)
    cluster.expect()


def poison(cluster: Cluster) -> None:
    cluster.workers[0].end_jobs(1, ErrorCode.POISON)
    cluster.run(0.5)
    cluster.expect("LabelwirePoison")
    cluster.run(14)
    cluster.expect("LabelwirePoison")
    cluster.run(2)
    cluster.expect()
    # The picture killed the worker: the next one writes the letter before it is scraped at all.
    cluster.remove(cluster.workers[0])
    cluster.workers.append(SimulatedWorker("demo-labelwire-worker-7", cluster.now - 5))
    cluster.workers[-1].end_jobs(1, ErrorCode.POISON)
    cluster.run(0.5)
    cluster.expect("LabelwirePoison")
    cluster.run(15)
    cluster.expect()
    # Again, in the same pod, whose count is the same as before.
    cluster.workers[-1].restart(cluster.now - 5)
    cluster.workers[-1].end_jobs(1, ErrorCode.POISON)
    cluster.run(0.5)
    cluster.expect("LabelwirePoison")


def backlog(cluster: Cluster) -> None:
    for worker in cluster.workers:
        worker.lag = 200
    cluster.run(15)
    cluster.expect()  # 400 jobs at 20 in 30 s take ten minutes
    for worker in cluster.workers:
        worker.lag = 400
    cluster.run(6)
    cluster.expect("LabelwireBacklog")
    for worker in cluster.workers:
        worker.lag = 0
    cluster.run(1)
    cluster.expect()
    for worker in cluster.workers:  # no job comes, and each of the 24 partitions ends with a transaction's marker
        worker.jobs_per_step, worker.lag = 0, 12
    cluster.run(17)
    cluster.expect()
    cluster.workers[0].lag = 13  # a job that nobody takes
    cluster.run(6)
    cluster.expect("LabelwireBacklog")


def lag_growing(cluster: Cluster) -> None:
    first, second = cluster.workers
    first.jobs_per_step = second.jobs_per_step = 100  # fast enough that all is done soon

    def more() -> None:
        first.lag += 50

    cluster.run(9, more)
    cluster.expect()  # not many yet
    cluster.run(22, more)
    cluster.expect("LabelwireLagGrowing")
    first.lag, second.lag = 0, first.lag  # another worker has the partition now
    cluster.run(1, more)
    cluster.expect("LabelwireLagGrowing")
    first.lag = 0
    cluster.run(12)
    cluster.expect()  # many, but not more


def jobs_old(cluster: Cluster) -> None:
    cluster.workers[0].age_seconds = cluster.workers[1].age_seconds = 250.0
    cluster.run(20)
    cluster.expect()
    cluster.workers[0].age_seconds = 5000.0
    cluster.run(10)
    cluster.expect("LabelwireJobsOld")
    cluster.workers[0].age_seconds = 1.0
    cluster.run(12)
    cluster.expect()


def no_workers(cluster: Cluster) -> None:
    first, second = cluster.workers
    cluster.remove(first)
    cluster.run(10)
    cluster.expect()  # one is left
    cluster.remove(second)
    cluster.run(4)
    cluster.expect()
    cluster.run(2)
    cluster.expect("LabelwireNoWorkers")
    cluster.workers.append(SimulatedWorker("demo-labelwire-worker-3", cluster.now))
    cluster.run(0.5)
    cluster.expect()


def not_ready(cluster: Cluster) -> None:
    worker = cluster.workers[0]
    worker.not_ready(TOPICS)
    cluster.run(3)
    cluster.expect()
    cluster.run(3)
    cluster.expect("LabelwireNotReady")
    worker.not_ready()
    cluster.run(6)
    cluster.expect()

    def flap() -> None:
        worker.not_ready(*((TRITON, CIRCUITS) if cluster.recording.steps % 3 else ()))

    cluster.run(10, flap)
    cluster.expect("LabelwireNotReady")


def worker_down(cluster: Cluster) -> None:
    cluster.workers[0].answers = False
    cluster.run(4)
    cluster.expect()
    cluster.run(2)
    cluster.expect("LabelwireWorkerDown")
    cluster.workers[0].answers = True
    cluster.run(0.5)
    cluster.expect()


def crash_loop(cluster: Cluster) -> None:
    worker = cluster.workers[0]
    for _ in range(2):
        worker.restart(cluster.now)
        cluster.run(2)
    cluster.expect()
    worker.restart(cluster.now)
    cluster.run(1)
    cluster.expect("LabelwireCrashLoop")
    cluster.run(15)
    cluster.expect()


def commit_failures(cluster: Cluster) -> None:
    worker = cluster.workers[0]
    worker.emit(*[events.CommitFailed("rebalance")] * 3)
    cluster.run(2)
    cluster.expect()  # as in a rebalance
    cluster.run(2, lambda: worker.emit(events.CommitFailed("not allowed")))
    cluster.expect("LabelwireCommitFailures")
    cluster.run(12)
    cluster.expect()


def cache_down(cluster: Cluster) -> None:
    worker = cluster.workers[0]
    worker.emit(events.CacheCircuitChanged(events.CacheOperation.GET, CircuitState.OPEN, "It is away."))
    cluster.run(4)
    cluster.expect()
    cluster.run(2)
    cluster.expect("LabelwireCacheDown")
    worker.emit(events.CacheCircuitChanged(events.CacheOperation.GET, CircuitState.CLOSED, ""))
    cluster.run(0.5)
    cluster.expect()


def circuit_open(cluster: Cluster) -> None:
    # The only worker: while Triton is away its circuit is open and half-open in turn.
    cluster.remove(cluster.workers[1])
    worker = cluster.workers[0]

    def probe() -> None:
        state = CircuitState.HALF_OPEN if cluster.recording.steps % 2 else CircuitState.OPEN
        worker.emit(events.CircuitChanged(_MODEL, state))

    cluster.run(1.5, probe)
    cluster.expect()
    cluster.run(1.5, probe)
    cluster.expect("LabelwireCircuitOpen")
    worker.emit(events.CircuitChanged(_MODEL, CircuitState.CLOSED))
    cluster.run(0.5)
    cluster.expect()


def rolled_back(cluster: Cluster) -> None:
    def change(phase: str) -> None:
        cluster.workers[0].emit(events.RolloutChanged("0123456789ab", "canary", phase, "v2", "", 0.05, ""))

    change("running")
    cluster.run(1)
    cluster.expect()
    change("rolled_back")
    cluster.run(5)
    cluster.expect("LabelwireRolledBack")
    change("running")
    cluster.run(0.5)
    cluster.expect()


def triton_absent(cluster: Cluster) -> None:
    cluster.triton.answers = False
    cluster.run(4)
    cluster.expect()
    cluster.run(2)
    cluster.expect("LabelwireTritonAbsent")
    cluster.triton.answers = True
    cluster.run(0.5)
    cluster.expect()


def triton_queue_long(cluster: Cluster) -> None:
    cluster.triton.pending = 150
    cluster.run(15)
    cluster.expect()
    cluster.triton.pending = 350
    cluster.run(10)
    cluster.expect("LabelwireTritonQueueLong")
    cluster.triton.pending = 0
    cluster.run(10)
    cluster.expect()


def triton_queue_slow(cluster: Cluster) -> None:
    cluster.triton.queue_seconds = 0.8
    cluster.run(15)
    cluster.expect()
    cluster.triton.queue_seconds = 1.5
    cluster.run(10)
    cluster.expect("LabelwireTritonQueueSlow")
    cluster.triton.queue_seconds = 0.01
    cluster.run(10)
    cluster.expect()


SCENARIOS: dict[str, Callable[[Cluster], None]] = {
    "LabelwireDeadLetterLimit": dead_letter_limit,
    "LabelwireDeadLetterShare": dead_letter_share,
    "LabelwirePoison": poison,
    "LabelwireBacklog": backlog,
    "LabelwireLagGrowing": lag_growing,
    "LabelwireJobsOld": jobs_old,
    "LabelwireNoWorkers": no_workers,
    "LabelwireNotReady": not_ready,
    "LabelwireWorkerDown": worker_down,
    "LabelwireCrashLoop": crash_loop,
    "LabelwireCommitFailures": commit_failures,
    "LabelwireCacheDown": cache_down,
    "LabelwireCircuitOpen": circuit_open,
    "LabelwireRolledBack": rolled_back,
    "LabelwireTritonAbsent": triton_absent,
    "LabelwireTritonQueueLong": triton_queue_long,
    "LabelwireTritonQueueSlow": triton_queue_slow,
}


def alerts(rules: Manifest) -> dict[str, Manifest]:
    return {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}


@pytest.mark.parametrize("alert", SCENARIOS)
def test_an_alert_fires_when_it_should_and_no_other_does(
    rules: Manifest, promtool: Path, tmp_path: Path, alert: str
) -> None:
    cluster = Cluster(rules)
    cluster.run(12)
    cluster.expect()

    SCENARIOS[alert](cluster)

    assert any(alert in expected for expected in cluster.recording.expected.values())
    cluster.recording.verify(promtool, tmp_path)


def test_a_worker_that_is_down_is_not_hidden_by_the_triton_in_its_pod(
    chart: Chart, promtool: Path, tmp_path: Path
) -> None:
    spec = chart.render(CO_LOCATED, {"metrics.rules.enabled": True}).one("PrometheusRule", "worker")["spec"]
    cluster = Cluster(spec)

    def scrape_sidecars() -> None:
        for worker in cluster.workers:
            cluster.recording.scrape({**target_of(worker.pod), "container": "triton"}, cluster.triton.exposition())

    cluster.run(12, scrape_sidecars)
    cluster.expect()
    cluster.workers[0].answers = False
    cluster.run(6, scrape_sidecars)
    cluster.expect("LabelwireWorkerDown")
    cluster.recording.verify(promtool, tmp_path)


def test_every_alert_is_tried(rules: Manifest) -> None:
    assert set(SCENARIOS) == set(alerts(rules))


def test_an_alert_that_does_not_fire_is_noticed(rules: Manifest, promtool: Path, tmp_path: Path) -> None:
    cluster = Cluster(rules)
    cluster.run(10)
    cluster.expect("LabelwirePoison")

    with pytest.raises(AssertionError, match="LabelwirePoison"):
        cluster.recording.verify(promtool, tmp_path)


def test_rules_are_valid_for_prometheus(rules: Manifest, promtool: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    command = [str(promtool), "check", "rules", "--lint-fatal", str(tmp_path / "rules.yaml")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"SUCCESS: {len(SCENARIOS)} rules found" in ended.stdout


def exported() -> dict[str, set[str]]:
    """Return the labels of every sample that a worker or Triton exports."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    ProcessCollector(registry=registry)
    metrics.emit(events.InferenceFinished(_MODEL, "1", "OK", 0.01))
    metrics.emit(events.LagObserved(JOBS, 1))
    page = generate_latest(registry).decode() + TRITON_EXPOSITION.read_text(encoding="utf-8")
    found: dict[str, set[str]] = {"up": set()}  # Prometheus adds this one
    for sample in parse_page(page):
        found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("alert", SCENARIOS)
def test_rules_name_metrics_and_labels_that_there_are(rules: Manifest, alert: str) -> None:
    expression = alerts(rules)[alert]["expr"]
    known = exported()
    names = metric_names(expression)
    labels = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", expression))
    grouped = {
        label.strip() for group in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for label in group.split(",")
    }

    assert names
    assert names <= known.keys()
    assert labels | grouped <= _TARGET_LABELS.union(*(known[name] for name in names))


def test_conditions_are_those_of_readiness() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    known = {
        sample.labels["condition"]
        for family in registry.collect()
        if family.name == "labelwire_ready_condition"
        for sample in family.samples
    }
    assert known == set(CONDITIONS)


def test_every_alert_has_a_page_and_every_page_an_alert(rules: Manifest) -> None:
    pages = {page.stem: page.read_text(encoding="utf-8") for page in RUNBOOKS.glob("*.md")}

    assert set(pages) == set(alerts(rules))
    table = re.findall(
        r"^\| \[(\w+)\]\(runbooks/(\w+)\.md\) \| (\w+) \|", MONITORING.read_text("utf-8"), flags=re.MULTILINE
    )
    severities = {alert: rule["labels"]["severity"] for alert, rule in alerts(rules).items()}
    assert {alert: severity for alert, page, severity in table if alert == page} == severities
    for alert, page in pages.items():
        assert page.startswith(f"# {alert}\n")
        headings = re.findall(r"^## (.+)$", page, flags=re.MULTILINE)
        assert headings == ["What it means", "What users see", "Look here", "Do this", "When to page"], alert


def test_every_alert_says_how_bad_it_is_and_where_its_page_is(chart: Chart, rules: Manifest) -> None:
    base = {"metrics.rules.runbookUrl": "https://example.com/labelwire/docs/runbooks/"}
    linked = alerts(chart.render(PRODUCTION, base).one("PrometheusRule", "worker")["spec"])
    for alert, rule in alerts(rules).items():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{alert}.md"
        assert linked[alert]["annotations"]["runbook_url"] == f"https://example.com/labelwire/docs/runbooks/{alert}.md"


@pytest.mark.parametrize("interval_seconds", [5, 30, 60, 300])
def test_every_range_holds_four_scrapes(chart: Chart, interval_seconds: int) -> None:
    changes = {"metrics.podMonitor.intervalSeconds": interval_seconds}
    spec = chart.render(PRODUCTION, changes).one("PrometheusRule", "worker")["spec"]
    ranges = [int(found) for rule in alerts(spec).values() for found in re.findall(r"\[(\d+)s", rule["expr"])]
    holds = [int(rule["for"].removesuffix("s")) for rule in alerts(spec).values() if "for" in rule]

    assert len(ranges) > 8
    assert min(ranges + holds) >= 4 * interval_seconds
    assert [group["interval"] for group in spec["groups"]] == [f"{interval_seconds}s"]


def test_without_a_limit_there_is_no_alert_for_it(chart: Chart) -> None:
    unlimited = {"worker.settings.LABELWIRE_LIMITS__DEAD_LETTERS_PER_MINUTE": "0"}
    spec = chart.render(PRODUCTION, unlimited).one("PrometheusRule", "worker")["spec"]

    assert set(SCENARIOS) - set(alerts(spec)) == {"LabelwireDeadLetterLimit"}


def test_a_triton_of_somebody_else_is_not_watched(chart: Chart) -> None:
    spec = chart.render(EXTERNAL, {"metrics.rules.enabled": True}).one("PrometheusRule", "worker")["spec"]

    assert {alert for alert in SCENARIOS if "Triton" in alert} == set(SCENARIOS) - set(alerts(spec))


@pytest.mark.parametrize(
    "changes",
    [{"worker.replicas": 0}, {"worker.autoscaling.enabled": True, "worker.autoscaling.minReplicas": 0}],
    ids=["switched off", "scaled to zero"],
)
def test_workers_that_may_be_none_are_not_missed(chart: Chart, changes: dict[str, object]) -> None:
    on = {"metrics.rules.enabled": True}
    kept = alerts(chart.render(MINIMAL, on).one("PrometheusRule", "worker")["spec"])["LabelwireNoWorkers"]
    left = alerts(chart.render(MINIMAL, on | changes).one("PrometheusRule", "worker")["spec"])["LabelwireNoWorkers"]

    assert "absent(" in kept["expr"]
    assert "absent(" not in left["expr"]
