"""A real broker that knows its users and what each may do.

Its listeners: one without a password, where everybody is a super user, for the tests; SASL; SASL over TLS, whose
certificate is for `localhost` alone; TLS with a certificate that has expired, with one that does not hold yet, and with
one that is sound, for clients that have a certificate themselves, whose user is its CN; and SASL with tokens,
which need no signature.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.adapters.blob.https_server import make_certificate, make_dated_certificate
from tests.adapters.blob.versitygw import Certificate
from worker.adapters.kafka.acls import ResourceKind, Right
from worker.local.kafka import KafkaServer

USER, PASSWORD = "reader", "opensesame"
REQUEST_BYTES = 32 * 1024 * 1024
_ANSWER_SECONDS = 10.0
_MODULES = "org.apache.kafka.common.security"
_TOKENS = "oauthbearer.OAuthBearerLoginModule"
_KINDS = {
    ResourceKind.TOPIC: ResourceType.TOPIC,
    ResourceKind.GROUP: ResourceType.GROUP,
    ResourceKind.TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Alter": AclOperation.ALTER,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


class SecuredKafka(KafkaServer):
    """Started as any local server."""

    port_count = 9

    @property
    def sasl(self) -> str:
        """Host and port of the SASL listener."""
        return f"127.0.0.1:{self._port(3)}"

    @property
    def tls_port(self) -> int:
        """Port of the listener with SASL over TLS, on localhost."""
        return self._port(4)

    @property
    def expired_port(self) -> int:
        """Port of the listener whose certificate has expired, on localhost."""
        return self._port(5)

    @property
    def early_port(self) -> int:
        """Port of the listener whose certificate does not hold yet, on localhost."""
        return self._port(6)

    @property
    def mutual_port(self) -> int:
        """Port of the listener that wants a certificate of its clients, on localhost."""
        return self._port(7)

    @property
    def token_port(self) -> int:
        """Port of the listener that takes tokens, on localhost."""
        return self._port(8)

    @property
    def authority(self) -> Path:
        """Who vouches for the broker's certificate."""
        return self._folder.path / "authority.pem"

    def admin(self) -> AdminClient:
        """Return a client that may do everything."""
        return AdminClient({"bootstrap.servers": self.bootstrap_servers})

    def add_scram_user(self, name: str, password: str) -> None:
        """Let a user come with SCRAM-SHA-512, over TLS alone."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        admin = self.admin()
        added = UserScramCredentialUpsertion(name, info, password.encode())
        for done in admin.alter_user_scram_credentials([added], request_timeout=_ANSWER_SECONDS).values():
            done.result()

    def grant(self, rights: Sequence[Right], user: str = USER) -> None:
        """Let a user do these."""
        bindings = [AclBinding(*_pattern(right, user), AclPermissionType.ALLOW) for right in rights]
        admin = self.admin()
        for done in admin.create_acls(bindings, request_timeout=_ANSWER_SECONDS).values():
            done.result()

    def take(self, rights: Sequence[Right], user: str = USER) -> None:
        """Take these rights from a user, who has them all."""
        filters = [AclBindingFilter(*_pattern(right, user), AclPermissionType.ALLOW) for right in rights]
        admin = self.admin()
        for done in admin.delete_acls(filters, request_timeout=_ANSWER_SECONDS).values():
            assert done.result()

    def allow(self, kind: ResourceType, name: str, *operations: AclOperation) -> None:
        """Let the user do these."""
        rules = [_rule(kind, name, operation) for operation in operations]
        admin = self.admin()
        for done in admin.create_acls(rules, request_timeout=_ANSWER_SECONDS).values():
            done.result()

    def forbid(self, kind: ResourceType, name: str, *operations: AclOperation) -> None:
        """Take these rights from the user."""
        rules = [
            AclBindingFilter(
                kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", operation, AclPermissionType.ALLOW
            )
            for operation in operations
        ]
        admin = self.admin()
        for done in admin.delete_acls(rules, request_timeout=_ANSWER_SECONDS).values():
            assert done.result()

    def _write_properties(self) -> Path:
        path = super()._write_properties()
        made = make_certificate(self._folder.path, "DNS:localhost")
        store = _store(made)
        now, day = datetime.now(UTC), timedelta(days=1)
        expired = _store(make_dated_certificate(self._folder.path, now - 3 * day, now - day))
        early = _store(make_dated_certificate(self._folder.path, now + day, now + 3 * day))
        more = {
            f"SASL_PLAINTEXT://{self.sasl}": "SASL_PLAINTEXT",
            f"SASL_SSL://localhost:{self.tls_port}": "SASL_SSL",
            f"EXPIRED://localhost:{self.expired_port}": "SSL",
            f"EARLY://localhost:{self.early_port}": "SSL",
            f"MUTUAL://localhost:{self.mutual_port}": "SSL",
            f"TOKENS://localhost:{self.token_port}": "SASL_PLAINTEXT",
        }
        module = f"{_MODULES}.plain.PlainLoginModule required"
        lines = []
        for line in path.read_text().splitlines():
            name = line.partition("=")[0]
            if name in ("listeners", "advertised.listeners"):
                line = ",".join([line, *more])  # noqa: PLW2901
            elif name == "listener.security.protocol.map":
                protocols = [f"{address.partition(':')[0]}:{protocol}" for address, protocol in more.items()]
                line = ",".join([line, *protocols])  # noqa: PLW2901
            lines.append(line)
        lines += [
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
            "allow.everyone.if.no.acl.found=false",
            "sasl.enabled.mechanisms=PLAIN",
            f"socket.request.max.bytes={REQUEST_BYTES}",
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={store}",
            f"listener.name.expired.ssl.keystore.location={expired}",
            f"listener.name.early.ssl.keystore.location={early}",
            "listener.name.mutual.ssl.client.auth=required",
            "listener.name.mutual.ssl.truststore.type=PEM",
            f"listener.name.mutual.ssl.truststore.location={self.authority}",
            "listener.name.mutual.ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/",
            "listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512",
            f"listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={_MODULES}.scram.ScramLoginModule required;",
            "listener.name.tokens.sasl.enabled.mechanisms=OAUTHBEARER",
            f"listener.name.tokens.oauthbearer.sasl.jaas.config={_MODULES}.{_TOKENS} required;",
        ]
        for listener in ("sasl_plaintext", "sasl_ssl"):
            users = f'user_{USER}="{PASSWORD}"'
            lines.append(f"listener.name.{listener}.plain.sasl.jaas.config={module} {users};")
        path.write_text("\n".join(lines) + "\n")
        return path


def _store(made: Certificate) -> Path:
    store = made.certificate.with_suffix(".store.pem")
    store.write_text(made.key.read_text() + made.certificate.read_text())
    return store


def _rule(kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    return AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", operation, AclPermissionType.ALLOW)


def _pattern(right: Right, user: str) -> tuple[ResourceType, str, ResourcePatternType, str, str, AclOperation]:
    pattern = ResourcePatternType.PREFIXED if right.is_prefix else ResourcePatternType.LITERAL
    return _KINDS[right.kind], right.name, pattern, f"User:{user}", "*", _OPERATIONS[right.operation]
