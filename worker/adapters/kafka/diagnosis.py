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
_HOSTNAME_MISMATCH: Final = 62
_IP_MISMATCH: Final = 64
_EXPIRED: Final = 10


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
    if code in (KafkaError._AUTHENTICATION, KafkaError._SSL):  # noqa: SLF001
        refused = code == KafkaError._AUTHENTICATION  # noqa: SLF001
        return (_refused_user if refused else _bad_tls)(address, said, options)
    if code == KafkaError._RESOLVE:  # noqa: SLF001
        return (
            f"Kafka's address in {_SERVERS}={bootstrap_servers!r} cannot be resolved ({said}): check it, and the"
            " broker's advertised.listeners."
        )
    if "listener?" in said:  # librdkafka's guess that one side speaks TLS and the other does not
        protocol = options.get("security.protocol", "plaintext")
        return f"Kafka at {address} ended the connection ({said}): check {_CLIENT}SECURITY_PROTOCOL={protocol!r}."
    if code in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):  # noqa: SLF001
        return (
            f"Kafka at {address} does not answer ({said}): check that it runs, and {_SERVERS} and"
            f" {_CLIENT}SECURITY_PROTOCOL."
        )
    return f"Kafka at {bootstrap_servers}: {said}."


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


def _bad_tls(address: str, said: str, options: Mapping[str, Any]) -> str:
    if "verify failed" not in said:
        return f"TLS with Kafka at {address} fails ({said}): check {_CLIENT}SSL_*."
    authority = options.get("ssl.ca.location")
    trusted = f"{_CLIENT}SSL_CA_LOCATION={authority!r}" if authority else f"{_CLIENT}SSL_CA_LOCATION, which is not set"
    code = _verify_code(address, authority)
    if code in (_HOSTNAME_MISMATCH, _IP_MISMATCH):
        return (
            f"The certificate of Kafka at {address} is for another host name: use a name that it holds in {_SERVERS},"
            " and in the broker's advertised.listeners."
        )
    if code == _EXPIRED:
        return f"The certificate of Kafka at {address} has expired: renew it on the broker."
    return f"The certificate of Kafka at {address} is not signed by an authority that is trusted here: check {trusted}."


def _verify_code(address: str, authority: str | None) -> int | None:
    """Ask once more for the certificate, because librdkafka does not say what is wrong with it."""
    host, _, port = address.rpartition(":")
    try:
        context = ssl.create_default_context(cafile=authority)
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=host.strip("[]")),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return error.verify_code
    except OSError:  # it is away by now, or the authority's file cannot be read
        return None
