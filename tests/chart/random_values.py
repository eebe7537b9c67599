"""Random values of the chart, drawn from its schema, made consistent where a schema cannot say what fits together."""

import json
import string
from copy import deepcopy
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.chart.rendering import CHART

Values = dict[str, Any]

_SCHEMA: Values = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
_DEFAULTS: Values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
_PRINTABLE = string.ascii_letters + string.digits + "!#$%&()*+-./:;<=>?@[]^_{|}~'\""
_KEY = {"secret": "user", "key": "value"}
# Drawn as a whole, because each part needs the others.
_WAYS_TO_KAFKA: list[Values] = [
    {"client": {}, "secretKeys": {}},
    {"client": {"security.protocol": "SSL"}, "secretKeys": {"ca": _KEY}},
    {
        "client": {"security.protocol": "SSL"},
        "secretKeys": {"ca": _KEY, "certificate": _KEY, "privateKey": _KEY, "privateKeyPassword": _KEY},
    },
    {
        "client": {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "labels"},
        "secretKeys": {"password": _KEY},
    },
    {
        "client": {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"},
        "secretKeys": {"username": _KEY, "password": _KEY},
    },
]


def chart_values() -> st.SearchStrategy[Values]:
    """Return a strategy for values that the chart has to render."""
    return st.builds(_consistent, _of(_SCHEMA), st.sampled_from(_WAYS_TO_KAFKA))


def _consistent(drawn: Values, way_to_kafka: Values) -> Values:
    values = _merged(_DEFAULTS, {key: value for key, value in drawn.items() if key != "global"})
    values["kafka"] |= deepcopy(way_to_kafka)
    make_consistent(values)
    return values


def _of(schema: Values) -> st.SearchStrategy[Any]:
    """Return a strategy for what a schema takes: the part of JSON Schema that the chart's has."""
    if "$ref" in schema:
        return _of(_SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]])
    if "examples" in schema:
        return st.sampled_from(schema["examples"]).map(deepcopy)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([_of(choice) for choice in schema["anyOf"]])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([_of_type(kind, schema) for kind in kinds])


def _of_type(kind: str, schema: Values) -> st.SearchStrategy[Any]:
    match kind:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer" | "number":
            least = schema.get("minimum", 0)
            most = schema.get("maximum", least + 1000)
            return st.integers(least, most) if kind == "integer" else st.floats(least, most)
        case "string":
            return _text(schema)
        case "array":
            return st.lists(_of(schema["items"]), min_size=schema.get("minItems", 0), max_size=3, unique_by=repr)
        case "object":
            return _of_section(schema.get("properties", {}))
    raise NotImplementedError(f"a schema of the type {kind}: add a strategy for it")


def _of_section(properties: Values) -> st.SearchStrategy[Values]:
    """Return a strategy that draws every switch, and any of the other values."""
    switches = {key: part for key, part in properties.items() if part.get("type") in ("boolean", "object")}
    others = {key: _of(part) for key, part in properties.items() if key not in switches}
    return st.fixed_dictionaries({key: _of(part) for key, part in switches.items()}, optional=others)


def _text(schema: Values) -> st.SearchStrategy[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 500)
    if "pattern" not in schema:
        # What has no pattern names an object of the cluster, or is free.
        return st.sampled_from(["", "some-name", "another.name"]).filter(lambda text: len(text) >= least)
    return st.from_regex(schema["pattern"], fullmatch=True, alphabet=_PRINTABLE).filter(
        lambda text: least <= len(text) <= most
    )


def _merged(below: Values, above: Values) -> Values:
    """Return values over defaults, as Helm merges them."""
    merged = deepcopy(below)
    for key, value in above.items():
        is_section = isinstance(value, dict) and isinstance(merged.get(key), dict) and bool(merged[key])
        merged[key] = _merged(merged[key], value) if is_section else value
    return merged


def make_consistent(values: Values) -> None:
    """Change what contradicts something else: each rule is one that the chart states when it refuses."""
    values["kafka"]["bootstrapServers"] = values["kafka"]["bootstrapServers"] or "kafka:9092"
    _separate_topics(values["topics"])
    _separate_labels(values)
    worker, triton = values["worker"], values["triton"]
    if triton["enabled"]:
        triton["url"] = ""
        _fit_triton(values)
    else:
        triton["url"] = triton["url"] or "triton:8001"
        for section in (triton["autoscaling"], triton["plans"]):
            section["enabled"] = False
        triton["coLocated"] = False
    _fit_scaling(worker["autoscaling"])
    _fit_scaling(triton["autoscaling"])
    values["topics"]["jobsPartitions"] = max(worker["replicas"], worker["autoscaling"]["maxReplicas"])
    if values["metrics"]["podMonitor"]["enabled"]:
        values["metrics"]["serviceMonitor"]["enabled"] = False
    if worker["serviceAccount"]["name"] == triton["serviceAccount"]["name"]:
        triton["serviceAccount"]["name"] = ""
    strimzi = values["strimzi"]
    strimzi["cluster"] = strimzi["cluster"] or "main"
    strimzi["topics"]["minInsyncReplicas"] = min(strimzi["topics"]["minInsyncReplicas"], strimzi["topics"]["replicas"])


def _separate_topics(topics: Values) -> None:
    jobs = topics["jobs"]
    names = {jobs, *(f"{jobs}.{end}" for end in ("retry.1", "retry.2", "retry.3"))}
    ends = {"replays": ".replay", "parked": ".parked", "replayRuns": ".replay-runs", "rollouts": ".rollouts"}
    for key in ("results", "deadLetters", *ends):
        name = topics[key] or jobs + ends[key]
        while name in names:
            name = topics[key] = f"other-{len(names)}"
        names.add(name)


def _separate_labels(values: Values) -> None:
    metrics = values["metrics"]
    for section, key in (
        (values["worker"], "podLabels"),
        (values["triton"], "podLabels"),
        (metrics["podMonitor"], "labels"),
        (metrics["serviceMonitor"], "labels"),
        (metrics["rules"], "labels"),
        (metrics["dashboards"], "labels"),
    ):
        if set(section[key]) & set(values["commonLabels"]):
            section[key] = {}


def _fit_scaling(scaling: Values) -> None:
    scaling["minReplicas"] = min(scaling["minReplicas"], scaling["maxReplicas"])
    scaling["fallback"]["replicas"] = min(scaling["fallback"]["replicas"], scaling["maxReplicas"])
    if scaling["type"] == "hpa":
        scaling["minReplicas"] = max(1, scaling["minReplicas"])
    if "prometheusUrl" in scaling:
        scaling["prometheusUrl"] = scaling["prometheusUrl"] or "http://prometheus:9090"


def _fit_triton(values: Values) -> None:
    triton, models = values["triton"], values["triton"]["models"]
    triton["shmSize"] = "512Mi"
    rolling = triton["strategy"]["rollingUpdate"]
    if {str(part) for part in rolling.values()} <= {"0", "0%", "00%", "000%"}:
        rolling["maxSurge"] = 1
    models["claim"] = models["claim"] or "models"
    models["imageVolume"] = models["imageVolume"] or "models:1"
    models["registry"]["url"] = models["registry"]["url"] or "s3://models"
    models["registry"]["versions"] = models["registry"]["versions"] or ["0" * 64]
    if models["source"] != "image":
        triton["modelRepository"] = "/models"
    if values["networkPolicy"]["enabled"]:
        values["networkPolicy"]["tritonEgress"] = [{"ports": [{"port": 443}]}]
    if triton["plans"]["enabled"]:
        triton["gpuCount"] = max(1, triton["gpuCount"])
        for key in ("gpu", "models", "claim"):
            triton["plans"][key] = triton["plans"][key] or "some"
        triton["plans"]["image"]["repository"] = triton["plans"]["image"]["repository"] or "build"
    if triton["coLocated"]:
        triton["autoscaling"]["enabled"] = False
        triton["extraVolumes"] = []
        if values["worker"]["httpPort"] in range(8000, 8003):
            values["worker"]["httpPort"] = 8080
