"""What operators read of the custom resources that the chart makes: any other field is refused.

The fields are those of the operators' own definitions (KEDA 2.13 to 2.20, the Prometheus operator 0.82, Strimzi 0.49),
as far as the chart may use them. A field that is misspelt would be dropped silently by a cluster, or refused.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Word = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Duration = Annotated[str, StringConstraints(pattern=r"^[0-9]+(ms|s|m|h|d|w|y)$")]


class Part(BaseModel):
    """A part of a resource: no unknown fields and no conversions, as KEDA's metadata are strings and never numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class NamedObject(Part):
    name: Name


class FieldlessSelector(Part):
    match_labels: dict[str, str] = Field(min_length=1)


class Policy(Part):
    type: Literal["Pods", "Percent"]
    value: Positive
    period_seconds: Positive


class ScalingRules(Part):
    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)]
    policies: list[Policy] = []


class Behavior(Part):
    scale_down: ScalingRules


class AutoscalerConfig(Part):
    behavior: Behavior


class Advanced(Part):
    horizontal_pod_autoscaler_config: AutoscalerConfig


class Fallback(Part):
    failure_threshold: Count
    replicas: Count


class Trigger(Part):
    type: Literal["kafka", "prometheus"]
    name: Name
    metric_type: Literal["AverageValue"]
    metadata: dict[str, str]
    authentication_ref: NamedObject | None = None


class KafkaMetadata(Part):
    bootstrap_servers: Word
    consumer_group: Word
    topic: Word
    lag_threshold: Word
    activation_lag_threshold: Word
    offset_reset_policy: Literal["earliest", "latest"]
    limit_to_partitions_with_lag: Literal["true", "false"]
    exclude_persistent_lag: Literal["true", "false"]
    sasl: Literal["plaintext", "scram_sha256", "scram_sha512", "oauthbearer"] | None = None
    tls: Literal["enable", "disable"] | None = None
    version: str | None = None


class PrometheusMetadata(Part):
    server_address: Word
    query: Word
    threshold: Word
    ignore_null_values: Literal["true", "false"]
    auth_modes: str | None = None


class ScaledObjectSpec(Part):
    scale_target_ref: NamedObject
    min_replica_count: Count
    max_replica_count: Positive
    polling_interval: Positive
    cooldown_period: Count
    fallback: Fallback
    advanced: Advanced
    triggers: list[Trigger] = Field(min_length=1)


class EnvironmentParameter(Part):
    parameter: Literal["username", "password", "ca", "cert", "key", "keyPassword"]
    name: Word
    container_name: Name


class TriggerAuthenticationSpec(Part):
    env: list[EnvironmentParameter] = Field(min_length=1)


class Endpoint(Part):
    port: Name
    path: Literal["/metrics"]
    interval: Duration


class PodMonitorSpec(Part):
    selector: FieldlessSelector
    pod_metrics_endpoints: list[Endpoint] = Field(min_length=1)


class ServiceMonitorSpec(Part):
    selector: FieldlessSelector
    endpoints: list[Endpoint] = Field(min_length=1)


class Rule(Part):
    alert: Word | None = None
    record: Word | None = None
    expr: Word | int
    for_: Duration | None = Field(default=None, alias="for")
    keep_firing_for: Duration | None = Field(default=None, alias="keep_firing_for")
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class RuleGroup(Part):
    name: Word
    interval: Duration | None = None
    rules: list[Rule]


class PrometheusRuleSpec(Part):
    groups: list[RuleGroup]


class KafkaTopicSpec(Part):
    topic_name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
    partitions: Positive
    replicas: Annotated[int, Field(ge=1, le=32767)]
    config: dict[str, str]


class Authentication(Part):
    type: Literal["scram-sha-512", "tls", "tls-external"]


class AclResource(Part):
    type: Literal["topic", "group", "cluster", "transactionalId"]
    name: Word
    pattern_type: Literal["literal", "prefix"]


class Acl(Part):
    resource: AclResource
    operations: list[Literal["Read", "Write", "Describe", "DescribeConfigs"]] = Field(min_length=1)


class Authorization(Part):
    type: Literal["simple"]
    acls: list[Acl] = Field(min_length=1)


class KafkaUserSpec(Part):
    authentication: Authentication
    authorization: Authorization


_SPECS: dict[tuple[str, str], type[Part]] = {
    ("keda.sh/v1alpha1", "ScaledObject"): ScaledObjectSpec,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): TriggerAuthenticationSpec,
    ("monitoring.coreos.com/v1", "PodMonitor"): PodMonitorSpec,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): ServiceMonitorSpec,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PrometheusRuleSpec,
    ("kafka.strimzi.io/v1", "KafkaTopic"): KafkaTopicSpec,
    ("kafka.strimzi.io/v1beta2", "KafkaTopic"): KafkaTopicSpec,
    ("kafka.strimzi.io/v1", "KafkaUser"): KafkaUserSpec,
    ("kafka.strimzi.io/v1beta2", "KafkaUser"): KafkaUserSpec,
}
_METADATA: dict[str, type[Part]] = {"kafka": KafkaMetadata, "prometheus": PrometheusMetadata}


class CustomResourceError(AssertionError):
    """A custom resource has a field that its operator does not know, or one of a wrong type."""


def is_custom(manifest: dict[str, Any]) -> bool:
    """Say whether this is a resource that an operator defines."""
    return "." in manifest["apiVersion"].partition("/")[0] and not manifest["apiVersion"].partition("/")[0].endswith(
        ".k8s.io"
    )


def check_custom(manifest: dict[str, Any]) -> None:
    """Compare a custom resource with what its operator reads. Raises CustomResourceError, KeyError for another kind."""
    spec_type = _SPECS[manifest["apiVersion"], manifest["kind"]]
    try:
        spec = spec_type.model_validate(manifest["spec"])
        for trigger in spec.triggers if isinstance(spec, ScaledObjectSpec) else ():
            _METADATA[trigger.type].model_validate(trigger.metadata)
    except ValidationError as error:
        raise CustomResourceError(f"{manifest['kind']} {manifest['metadata']['name']}: {error}") from error
