"""The shapes that several values of the chart share, as JSON Schema: `values.yaml` names them by `$ref`.

Invariant: what Kubernetes itself checks in depth (volumes, affinity) is only outlined here; `examples` are whole values
that a cluster takes, and tests draw from them where a schema alone cannot say what is valid.
"""

from typing import Any, Final

_LABEL_PREFIX: Final = r"([a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?/)?"
_LABEL_NAME: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_TOPIC: Final = r"[a-zA-Z0-9._-]"
_WORD: Final = {"type": "string", "minLength": 1}


def _named(example: dict[str, Any]) -> dict[str, Any]:
    """Return a list of Kubernetes objects that have a name."""
    return {"type": "array", "items": {"type": "object", "required": ["name"]}, "examples": [[], [example]]}


def _trigger(example: dict[str, str]) -> dict[str, Any]:
    """Return metadata of a trigger of KEDA."""
    return {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z][A-Za-z]*$"},
        "additionalProperties": {"type": "string"},
        "examples": [{}, example],
    }


DEFINITIONS: Final[dict[str, Any]] = {
    "affinity": {
        "type": "object",
        "examples": [
            {},
            {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}]
                    }
                }
            },
        ],
    },
    "annotations": {
        "type": "object",
        "propertyNames": {"pattern": f"^{_LABEL_PREFIX}{_LABEL_NAME}$"},
        "additionalProperties": {"type": "string"},
        "examples": [{}, {"example.com/role": "label-reader"}],
    },
    "arguments": {"type": "array", "items": {"type": "string", "minLength": 1}},
    "derivedTopic": {"type": "string", "pattern": f"^{_TOPIC}{{0,249}}$"},
    "digest": {"type": "string", "pattern": "^$|^sha256:[a-f0-9]{64}$"},
    "egress": {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"ports": {"type": "array"}, "to": {"type": "array"}},
        },
        "examples": [[], [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 443, "protocol": "TCP"}]}]],
    },
    "environment": {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
                "value": {"type": "string"},
                "valueFrom": {"type": "object"},
            },
            "required": ["name"],
        },
        "examples": [
            [],
            [{"name": "AWS_REGION", "value": "eu-central-1"}],
            [{"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": {"name": "bucket", "key": "id"}}}],
        ],
    },
    "environmentSources": {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "prefix": {"type": "string"},
                "secretRef": {"type": "object", "required": ["name"]},
                "configMapRef": {"type": "object", "required": ["name"]},
            },
        },
        "examples": [[], [{"secretRef": {"name": "bucket"}}]],
    },
    "intOrPercent": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,3}%$"}]},
    "kafkaClient": {
        "type": "object",
        "propertyNames": {"pattern": r"^[a-z0-9]+(\.[a-z0-9]+)*$"},
        "additionalProperties": {"type": ["string", "number", "boolean"]},
        "examples": [{}, {"fetch.message.max.bytes": 10485760}, {"security.protocol": "SSL"}],
    },
    "kafkaTrigger": _trigger({"version": "2.8.0"}),
    "labels": {
        "type": "object",
        "propertyNames": {"pattern": f"^{_LABEL_PREFIX}{_LABEL_NAME}$"},
        "additionalProperties": {"type": "string", "pattern": f"^({_LABEL_NAME})?$"},
        "examples": [{}, {"example.com/team": "intake"}],
    },
    "manifests": {
        "type": "array",
        "items": {"anyOf": [{"type": "string"}, {"type": "object"}]},
        "examples": [
            [],
            [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fields"}, "data": {"fields.toml": ""}}],
        ],
    },
    "mebibytes": {"type": "string", "pattern": "^[1-9][0-9]{0,5}(Mi|Gi)$"},
    "peers": {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "ipBlock": {"type": "object", "required": ["cidr"]},
                "namespaceSelector": {"type": "object"},
                "podSelector": {"type": "object"},
            },
        },
        "examples": [[], [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "streams"}}}]],
    },
    "positiveIntOrPercent": {
        "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[1-9][0-9]?%$"}]
    },
    "prometheusTrigger": _trigger({"authModes": "bearer"}),
    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "quantities": {
        "type": "object",
        "propertyNames": {"pattern": f"^{_LABEL_PREFIX}{_LABEL_NAME}$"},
        "additionalProperties": {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"},
            ]
        },
    },
    "repository": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._/:-]*[a-z0-9]$"},
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "requests": {"$ref": "#/definitions/quantities"},
            "limits": {"$ref": "#/definitions/quantities"},
            "claims": _named({"name": "gpu"}),
        },
        "required": ["requests"],
        "examples": [
            {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "8Gi"}},
            {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"cpu": 2, "memory": "4096Mi"}},
        ],
    },
    "schedule": {
        "type": "string",
        "pattern": r"^(@(yearly|monthly|weekly|daily|hourly)|(\S+\s+){4}\S+)$",
        "examples": ["0 3 * * *", "@hourly"],
    },
    "secretKey": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"secret": _WORD, "key": _WORD},
        "dependencies": {"secret": ["key"], "key": ["secret"]},
        "examples": [{}],
    },
    "secretNames": {
        "type": "array",
        "items": {"type": "object", "additionalProperties": False, "properties": {"name": _WORD}, "required": ["name"]},
        "examples": [[], [{"name": "registry"}]],
    },
    "settings": {
        "type": "object",
        "propertyNames": {"pattern": "^LABELWIRE_[A-Z0-9]+__[A-Z0-9_]+$"},
        "additionalProperties": {"type": ["string", "number", "boolean"]},
        "examples": [{}, {"LABELWIRE_LOG__LEVEL": "warning", "LABELWIRE_LIMITS__MAX_JOBS": 8}],
    },
    "strings": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "examples": [{}, {"nvidia.com/gpu.present": "true"}],
    },
    "tag": {"type": "string", "pattern": "^$|^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"},
    "tolerations": {
        "type": "array",
        "items": {"type": "object"},
        "examples": [[], [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]],
    },
    # Kafka takes 249 characters, and <jobs>.replay-runs has to be a name too.
    "topic": {"type": "string", "pattern": f"^{_TOPIC}{{1,237}}$"},
    "topologySpread": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["topologyKey", "maxSkew", "whenUnsatisfiable"],
            "not": {"required": ["labelSelector"]},
        },
        "examples": [
            [],
            [{"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}],
        ],
    },
    "volumeMounts": {
        "type": "array",
        "items": {"type": "object", "required": ["name", "mountPath"]},
        "examples": [[]],
    },
    "volumes": _named({"name": "certificates", "secret": {"secretName": "certificates"}}),
}
