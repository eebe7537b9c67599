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

from worker.settings import PREFIX

_CLIENT: Final = f"{PREFIX}KAFKA__CLIENT__"
_SERVERS: Final = f"{PREFIX}KAFKA__BOOTSTRAP_SERVERS"
_PROBE_SECONDS: Final = 3.0
# The first that was complained of in this order is the cause; what follows it is the consequence.
_TELLING: Final = (
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's own names, here and below
    KafkaError._SSL,  # noqa: SLF001
    KafkaError._RESOLVE,  # noqa: SLF001
    KafkaError._TRANSPORT,  # noqa: SLF001
)
_LASTING: Final = _TELLING[:2]
_NO_RIGHT: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the topics",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "the transactional id",
}
_ADDRESS: Final = re.compile(r"^\w+://(?P<address>[^/]+:\d+)/\w+: (?P<said>.*?)(?: \(after \d+ms in state \w+.*\))?$")
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
_UNUSABLE_OPTION: Final = re.compile(r"\b(?P<name>ssl\.[\w.]+) failed: (?P<said>.*)")


class Complaints:
    """What librdkafka complains of to one client: its `error_cb`."""

    def __init__(self) -> None:
        self._heard: dict[int, KafkaError] = {}

    def __call__(self, error: KafkaError) -> None:
        """Keep the last complaint of each kind."""
        self._heard[error.code()] = error

    @property
    def cause(self) -> KafkaError | None:
        """The most telling one; None if there was none."""
        return next((self._heard[code] for code in _TELLING if code in self._heard), None)

    @property
    def is_lasting(self) -> bool:
        """Whether waiting is of no use: a person has to do something."""
        return any(code in self._heard for code in _LASTING)


def explain(error: KafkaError, bootstrap_servers: str, options: Mapping[str, Any]) -> str:
    """Return a sentence for an error that librdkafka returned or complained of."""
    found = _ADDRESS.match(error.str())
    address, said = (found["address"], found["said"]) if found else (bootstrap_servers, error.str().rstrip("."))
    code = error.code()
    if code in _NO_RIGHT:
        return _no_right(error, bootstrap_servers, options)
    if told := _by_words(address, said, options):
        return told
    if code in (KafkaError._AUTHENTICATION, KafkaError._SSL):  # noqa: SLF001
        refused = code == KafkaError._AUTHENTICATION  # noqa: SLF001
        return (_refused_user if refused else _bad_tls)(address, said, options)
    if code == KafkaError._RESOLVE:  # noqa: SLF001
        return (
            f"Kafka's address in {_SERVERS}={bootstrap_servers!r} cannot be resolved ({said}): check it, and the"
            " broker's advertised.listeners."
        )
    if code in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):  # noqa: SLF001
        return (
            f"Kafka at {address} does not answer ({said}): check that it runs, and {_SERVERS} and"
            f" {_CLIENT}SECURITY_PROTOCOL."
        )
    return f"Kafka at {bootstrap_servers}: {said}."


def _by_words(address: str, said: str, options: Mapping[str, Any]) -> str:
    """Return a sentence where librdkafka's words tell more than its code; empty if they do not."""
    if unusable := _UNUSABLE_OPTION.search(said):
        value = _shown(options, unusable["name"])
        return f"{value} cannot be used ({unusable['said']}): check that it is there, whole, and may be read."
    if _CLIENT_REFUSED.search(said):
        return _refused_certificate(address, said, options)
    if "listener?" in said:  # librdkafka's guess that one side speaks TLS and the other does not
        protocol = options.get("security.protocol", "plaintext")
        return f"Kafka at {address} ended the connection ({said}): check {_CLIENT}SECURITY_PROTOCOL={protocol!r}."
    return ""


def missing_right(options: Mapping[str, Any], operation: str, kind: str, name: str) -> str:
    """Return the sentence for an operation (as `Write`) that is not allowed on a topic, group or other resource."""
    option = {"topic": "--topic", "group": "--group", "transactional id": "--transactional-id"}[kind]
    return (
        f"Kafka does not let {_who(options)} {operation} {kind} {name}: grant it with `kafka-acls --add"
        f" --allow-principal User:{options.get('sasl.username', 'NAME')} --operation {operation} {option} {name}`."
    )


def _no_right(error: KafkaError, bootstrap_servers: str, options: Mapping[str, Any]) -> str:
    what = _NO_RIGHT[error.code()]
    said = error.str().rstrip(".")
    return f"Kafka at {bootstrap_servers} refuses {_who(options)} ({said}): grant it the rights on {what} with an ACL."


def _who(options: Mapping[str, Any]) -> str:
    user = options.get("sasl.username")
    return f"user {user!r}" if user else "this client"


def _refused_user(address: str, said: str, options: Mapping[str, Any]) -> str:
    said = said.removeprefix("SASL authentication error: ")
    if "mechanism" in said:
        mechanism = options.get("sasl.mechanisms", options.get("sasl.mechanism", "GSSAPI"))
        return f"Kafka at {address} has no SASL mechanism {mechanism!r} ({said}): check {_CLIENT}SASL_MECHANISMS."
    return (
        f"Kafka refuses {_who(options)} at {address} (SASL: {said}): check {_CLIENT}SASL_USERNAME and"
        f" {_CLIENT}SASL_PASSWORD."
    )


def _refused_certificate(address: str, said: str, options: Mapping[str, Any]) -> str:
    held = next((name for name in _CERTIFICATES if options.get(name)), None)
    if held is None:
        return (
            f"Kafka at {address} wants a certificate of its clients, and this one has none ({said}): set"
            f" {_CLIENT}SSL_CERTIFICATE_LOCATION and {_CLIENT}SSL_KEY_LOCATION."
        )
    return (
        f"Kafka at {address} refuses this client's certificate, {_shown(options, held)} ({said}): check that it has not"
        " expired, and that the broker trusts the authority which signed it."
    )


def _shown(options: Mapping[str, Any], name: str) -> str:
    """Name the setting of an option, with its value where that is the name of a file and no secret."""
    setting = f"{_CLIENT}{name.replace('.', '_').upper()}"
    return f"{setting}={options.get(name)!r}" if name.endswith(".location") else setting


def _bad_tls(address: str, said: str, options: Mapping[str, Any]) -> str:
    if "verify failed" not in said:
        return f"TLS with Kafka at {address} fails ({said}): check {_CLIENT}SSL_*."
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
