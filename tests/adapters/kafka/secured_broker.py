"""A real broker that knows its users and what each may do.

Three listeners: one without a password, where everybody is a super user, for the tests; SASL; and SASL over TLS, whose
certificate is for `localhost` alone.
"""

from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.adapters.blob.https_server import make_certificate
from worker.local.kafka import KafkaServer

USER, PASSWORD = "reader", "opensesame"
_ANSWER_SECONDS = 10.0


class SecuredKafka(KafkaServer):
    """Started as any local server."""

    port_count = 5

    @property
    def sasl(self) -> str:
        """Host and port of the SASL listener."""
        return f"127.0.0.1:{self._port(3)}"

    @property
    def tls_port(self) -> int:
        """Port of the listener with SASL over TLS, on localhost."""
        return self._port(4)

    @property
    def authority(self) -> Path:
        """Who vouches for the broker's certificate."""
        return self._folder.path / "authority.pem"

    def admin(self) -> AdminClient:
        """Return a client that may do everything."""
        return AdminClient({"bootstrap.servers": self.bootstrap_servers})

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
        store = self._folder.path / "broker.pem"
        store.write_text(made.key.read_text() + made.certificate.read_text())
        sasl, tls = f"SASL_PLAINTEXT://{self.sasl}", f"SASL_SSL://localhost:{self.tls_port}"
        module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        lines = []
        for line in path.read_text().splitlines():
            name = line.partition("=")[0]
            if name in ("listeners", "advertised.listeners"):
                line += f",{sasl},{tls}"  # noqa: PLW2901
            elif name == "listener.security.protocol.map":
                line += ",SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"  # noqa: PLW2901
            lines.append(line)
        lines += [
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
            "allow.everyone.if.no.acl.found=false",
            "sasl.enabled.mechanisms=PLAIN",
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={store}",
        ]
        for listener in ("sasl_plaintext", "sasl_ssl"):
            users = f'user_{USER}="{PASSWORD}"'
            lines.append(f"listener.name.{listener}.plain.sasl.jaas.config={module} {users};")
        path.write_text("\n".join(lines) + "\n")
        return path


def _rule(kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    return AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", operation, AclPermissionType.ALLOW)
