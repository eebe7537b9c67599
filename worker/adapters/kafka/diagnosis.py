"""Why a client cannot work with its broker, in one sentence: what, where, which value, what to do.

librdkafka hands the cause of a connection's failure to `error_cb` alone; the call that waits for the broker only times
out. Invariant: no sentence holds a secret, only the names of the settings that do.
"""

import re
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError

from worker.adapters.kafka.secret_options import hide_secrets
from worker.settings import PREFIX

_CLIENT: Final = f"{PREFIX}KAFKA__CLIENT__"
_SERVERS: Final = f"{PREFIX}KAFKA__BOOTSTRAP_SERVERS"
_PROBE_SECONDS: Final = 3.0
# The most precise first: the first one of these that was reported is the cause, the others are its consequences.
_BY_PRECISION: Final = (
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's own names, here and below
    KafkaError._SSL,  # noqa: SLF001
    KafkaError._RESOLVE,  # noqa: SLF001
    KafkaError._TRANSPORT,  # noqa: SLF001
)
_LASTING: Final = _BY_PRECISION[:2]
_AUTHORIZATION_ERRORS: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the topics",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "the transactional id",
}
_ADDRESS: Final = re.compile(r"^\w+://(?P<address>[^/]+:\d+)/\w+: (?P<detail>.*?)(?: \(after \d+ms in state \w+.*\))?$")
_AUTHORITIES: Final = ("ssl.ca.location", "ssl.ca.pem")
_CERTIFICATES: Final = ("ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location")
_HOSTNAME_MISMATCH: Final = 62
_IP_MISMATCH: Final = 64
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
# What a broker that wants a certificate of its clients says of theirs, or of their having none.
_CLIENT_REFUSED: Final = re.compile(
    r"alert (?:bad certificate|unsupported certificate|unknown ca|access denied"
    r"|certificate (?:revoked|expired|unknown|required))\b"
)
_TOPIC_VERBS: Final = {
    "Create": "create",
    "Alter": "add partitions to",
    "AlterConfigs": "change the configs of",
    "DescribeConfigs": "tell the configs of",
}
_TOO_OLD: Final = (KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE)  # noqa: SLF001
_TOPIC_ADVICE: Final = {
    KafkaError.INVALID_REPLICATION_FACTOR: "give --replication-factor a number of replicas that its brokers can hold",
    KafkaError.POLICY_VIOLATION: "ask those who run the cluster, whose policy this is",
}
_UNUSABLE_OPTION: Final = re.compile(r"\b(?P<name>ssl\.[\w.]+) failed: (?P<detail>.*)")


class ErrorLog:
    """A client's `error_cb`: keeps the errors that librdkafka reports."""

    def __init__(self) -> None:
        self._errors: dict[int, KafkaError] = {}

    def __call__(self, error: KafkaError) -> None:
        """Keep the last error of each code."""
        self._errors[error.code()] = error

    @property
    def cause(self) -> KafkaError | None:
        """The most precise error; None if there was none."""
        return next((self._errors[code] for code in _BY_PRECISION if code in self._errors), None)

    @property
    def is_lasting(self) -> bool:
        """Whether waiting does not help, because a person has to change something."""
        return any(code in self._errors for code in _LASTING)


def explain(error: KafkaError, bootstrap_servers: str, options: Mapping[str, Any]) -> str:
    """Return a sentence for an error that librdkafka returned or reported."""
    said = hide_secrets(error.str(), options)
    found = _ADDRESS.match(said)
    address, detail = (found["address"], found["detail"]) if found else (bootstrap_servers, said.rstrip("."))
    code = error.code()
    if code in _AUTHORIZATION_ERRORS:
        return _unauthorized(error, bootstrap_servers, options)
    if sentence := _from_message(address, detail, options):
        return sentence
    if code in (KafkaError._AUTHENTICATION, KafkaError._SSL):  # noqa: SLF001
        refused = code == KafkaError._AUTHENTICATION  # noqa: SLF001
        return (_refused_user if refused else _bad_tls)(address, detail, options)
    if code == KafkaError._RESOLVE:  # noqa: SLF001
        return (
            f"Kafka's address in {_SERVERS}={bootstrap_servers!r} cannot be resolved ({detail}): check it, and the"
            " broker's advertised.listeners."
        )
    if code in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):  # noqa: SLF001
        return (
            f"Kafka at {address} does not answer ({detail}): check that it runs, and {_SERVERS} and"
            f" {_CLIENT}SECURITY_PROTOCOL."
        )
    return f"Kafka at {bootstrap_servers}: {detail}."


def _from_message(address: str, detail: str, options: Mapping[str, Any]) -> str:
    """Return a sentence if librdkafka's message says more than its code; empty if not."""
    if unusable := _UNUSABLE_OPTION.search(detail):
        value = _shown(options, unusable["name"])
        return f"{value} cannot be used ({unusable['detail']}): check that it is there, whole, and may be read."
    if _CLIENT_REFUSED.search(detail):
        return _refused_certificate(address, detail, options)
    if "listener?" in detail:  # librdkafka's guess that one side speaks TLS and the other does not
        protocol = options.get("security.protocol", "plaintext")
        return f"Kafka at {address} ended the connection ({detail}): check {_CLIENT}SECURITY_PROTOCOL={protocol!r}."
    return ""


def missing_right(options: Mapping[str, Any], operation: str, kind: str, name: str, *, is_prefix: bool = False) -> str:
    """Return the sentence for an operation (as `Write`) that is not allowed on a topic, group or other resource."""
    option = {"topic": "--topic", "group": "--group", "transactional id": "--transactional-id"}[kind]
    pattern = " --resource-pattern-type prefixed" if is_prefix else ""
    return (
        f"Kafka does not let {_client_name(options)} {operation} {kind} {name}{'*' if is_prefix else ''}: grant it with"
        f" `kafka-acls --add --allow-principal User:{options.get('sasl.username', 'NAME')} --operation"
        f" {operation}{pattern} {option} {name}`."
    )


def refused_topic(
    error: KafkaError, bootstrap_servers: str, options: Mapping[str, Any], operation: str, topic: str
) -> str:
    """Return the sentence for an operation (as `Create`) on a topic that the broker refused."""
    code, detail = error.code(), error.str().rstrip(".")
    if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
        return missing_right(options, operation, "topic", topic)
    what = f"Kafka at {bootstrap_servers} does not {_TOPIC_VERBS[operation]} topic {topic} ({detail})"
    if code in _TOO_OLD:
        return f"{what}: it is too old; Labelwire needs Kafka 2.4 or later."
    if code in _TOPIC_ADVICE:
        return f"{what}: {_TOPIC_ADVICE[code]}."
    if code in _BY_PRECISION or code == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
        return explain(error, bootstrap_servers, options)
    return f"{what}: check what was asked for, and the broker's own limits."


def _unauthorized(error: KafkaError, bootstrap_servers: str, options: Mapping[str, Any]) -> str:
    what = _AUTHORIZATION_ERRORS[error.code()]
    detail = error.str().rstrip(".")
    name = _client_name(options)
    return f"Kafka at {bootstrap_servers} refuses {name} ({detail}): grant it the rights on {what} with an ACL."


def _client_name(options: Mapping[str, Any]) -> str:
    user = options.get("sasl.username")
    return f"user {user!r}" if user else "this client"


def _refused_user(address: str, detail: str, options: Mapping[str, Any]) -> str:
    detail = detail.removeprefix("SASL authentication error: ")
    mechanism = options.get("sasl.mechanisms", options.get("sasl.mechanism", "GSSAPI"))
    # Where a password is wrong, the broker names the mechanism as well.
    if "unsupported" in detail.lower():
        return f"Kafka at {address} has no SASL mechanism {mechanism!r} ({detail}): check {_CLIENT}SASL_MECHANISM."
    if mechanism == "OAUTHBEARER":
        return (
            f"Kafka at {address} gets no token that it accepts (SASL: {detail}): check {_CLIENT}SASL_OAUTHBEARER_*, the"
            " server that gives the tokens, and what the broker wants to find in them."
        )
    return (
        f"Kafka refuses {_client_name(options)} at {address} (SASL: {detail}): check {_CLIENT}SASL_USERNAME and"
        f" {_CLIENT}SASL_PASSWORD."
    )


def _refused_certificate(address: str, detail: str, options: Mapping[str, Any]) -> str:
    certificate = next((name for name in _CERTIFICATES if options.get(name)), None)
    if certificate is None:
        return (
            f"Kafka at {address} wants a certificate of its clients, and this one has none ({detail}): set"
            f" {_CLIENT}SSL_CERTIFICATE_LOCATION and {_CLIENT}SSL_KEY_LOCATION."
        )
    return (
        f"Kafka at {address} refuses this client's certificate, {_shown(options, certificate)} ({detail}): check that"
        " it has not expired, and that the broker trusts the authority which signed it."
    )


def _shown(options: Mapping[str, Any], name: str) -> str:
    """Name the setting of an option, with its value where that is the name of a file and no secret."""
    setting = f"{_CLIENT}{name.replace('.', '_').upper()}"
    return f"{setting}={options.get(name)!r}" if name.endswith(".location") else setting


def _bad_tls(address: str, detail: str, options: Mapping[str, Any]) -> str:
    if "verify failed" not in detail:
        return f"TLS with Kafka at {address} fails ({detail}): check {_CLIENT}SSL_*."
    authority = next((name for name in _AUTHORITIES if options.get(name)), None)
    trusted = _shown(options, authority) if authority else f"{_CLIENT}SSL_CA_LOCATION, which is not set"
    code = _verify_code(address, options)
    if code in (_HOSTNAME_MISMATCH, _IP_MISMATCH):
        return (
            f"The certificate of Kafka at {address} is for another host name: use a name that it holds in {_SERVERS},"
            " and in the broker's advertised.listeners."
        )
    if code == _EXPIRED:
        return (
            f"The certificate of Kafka at {address}, or of its authority, has expired: renew it on the broker; if it"
            " has not, set this machine's clock right."
        )
    if code == _NOT_YET_VALID:
        return (
            f"The certificate of Kafka at {address}, or of its authority, is not valid yet: set this machine's clock"
            " right, or use on the broker one that has begun."
        )
    return f"The certificate of Kafka at {address} is not signed by an authority that is trusted here: check {trusted}."


def _verify_code(address: str, options: Mapping[str, Any]) -> int | None:
    """Ask once more for the certificate, because librdkafka does not say what is wrong with it."""
    host, _, port = address.rpartition(":")
    try:
        context = ssl.create_default_context(cafile=options.get("ssl.ca.location"), cadata=options.get("ssl.ca.pem"))
        context.check_hostname = options.get("ssl.endpoint.identification.algorithm") != "none"
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=host.strip("[]")),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return error.verify_code
    except OSError:  # it is away by now, or the authority's file cannot be read
        return None
