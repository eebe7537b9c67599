"""The rights that each role needs on a broker which asks for them (ACLs).

What a worker reads and writes comes from `TopicNeeds`, which the readiness check asks the broker about as well.

Invariant: a role does its work with exactly its rights, and says which one is missing if one is taken away; the tests
hold both on a real broker. Without a right that is `optional` the rest of the role's work goes on.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any, Final

from worker.adapters.kafka.offline.replay_writer import REPLAY_NAMES
from worker.adapters.kafka.topic_plan import topic_names
from worker.adapters.kafka.transactions import transactional_id_prefix
from worker.runtime.lifecycle import TopicNeeds
from worker.settings import Settings

_PRINCIPAL: Final = "labelwire-"


class Role(StrEnum):
    """Who works with the topics."""

    WORKER = "worker"
    PRODUCER = "producer"
    READER = "reader"
    DEAD_LETTERS = "dead-letters"
    REPLAY = "replay"
    AUDIT = "audit"
    CANARY = "canary"
    TOPICS = "topics"


PURPOSES: Final[Mapping[Role, str]] = {
    Role.WORKER: "`labelwire run` and `check --connect`",
    Role.PRODUCER: "`labelwire submit`, and who else writes jobs",
    Role.READER: "`labelwire tail`, and who else reads results (its own group comes on top)",
    Role.DEAD_LETTERS: "`labelwire dlq ls, show, stats, export`",
    Role.REPLAY: "`labelwire dlq replay`",
    Role.AUDIT: "`labelwire audit`",
    Role.CANARY: "`labelwire canary`",
    Role.TOPICS: "`labelwire topics plan, apply`",
}


class ResourceKind(StrEnum):
    """What a right is on; the values are the options of `kafka-acls`."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One operation on a resource, or on all whose name begins so.

    `optional` says what is left out without it; empty for a right that is needed.
    """

    kind: ResourceKind
    operation: str
    name: str
    is_prefix: bool = False
    optional: str = ""


@dataclass(frozen=True, slots=True)
class RoleRights:
    """All rights of a role, for a principal such as `User:labelwire-worker`."""

    role: Role
    principal: str
    rights: tuple[Right, ...]

    def commands(self, bootstrap_servers: str) -> list[str]:
        """Return the commands that grant the rights, then, below a comment each, those that are optional."""
        lines = [self._command(bootstrap_servers, list(rights)) for _, rights in groupby(self._of(""), key=_command_of)]
        for optional in dict.fromkeys(right.optional for right in self.rights if right.optional):
            lines.append(f"# optional; left out without it: {optional}")
            lines += [
                self._command(bootstrap_servers, list(rights))
                for _, rights in groupby(self._of(optional), key=_command_of)
            ]
        return lines

    def _of(self, optional: str) -> list[Right]:
        return sorted((right for right in self.rights if right.optional == optional), key=_command_of)

    def _command(self, bootstrap_servers: str, rights: list[Right]) -> str:
        first = rights[0]
        words = ["kafka-acls", "--bootstrap-server", bootstrap_servers, "--add", "--allow-principal", self.principal]
        words += ["--operation", first.operation]
        if first.is_prefix:
            words += ["--resource-pattern-type", "prefixed"]
        for right in rights:
            words += ["--cluster"] if right.kind is ResourceKind.CLUSTER else [f"--{right.kind}", right.name]
        return shlex.join(words)

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "role": str(self.role),
            "principal": self.principal,
            "rights": [
                {
                    "operation": right.operation,
                    "resource": str(right.kind),
                    "name": right.name,
                    "pattern": "prefixed" if right.is_prefix else "literal",
                    "optional": right.optional or None,
                }
                for right in self.rights
            ],
        }


def role_rights(settings: Settings, role: Role, principal: str | None = None) -> RoleRights:
    """Return the rights of a role; its user is `labelwire-<role>` unless a principal is given."""
    return RoleRights(role, principal or f"User:{_PRINCIPAL}{role}", tuple(_RIGHTS[role](settings)))


def _command_of(right: Right) -> tuple[ResourceKind, str, bool]:
    """Return what the rights of one command have in common."""
    return right.kind, right.operation, right.is_prefix


def _topics(operation: str, names: Iterable[str], optional: str = "") -> Iterator[Right]:
    for name in dict.fromkeys(names):
        yield Right(ResourceKind.TOPIC, operation, name, optional=optional)


def _worker(settings: Settings) -> Iterator[Right]:
    needs, rollouts, group = TopicNeeds.of(settings), settings.topics.rollouts_topic, settings.kafka.group_id
    yield from _topics("Read", (*needs.reads, rollouts))
    yield from _topics("Write", (*needs.writes, rollouts))
    yield Right(ResourceKind.GROUP, "Read", group)
    if settings.runtime.delivery == "exactly-once":
        yield Right(ResourceKind.TRANSACTIONAL_ID, "Write", transactional_id_prefix(settings.kafka), is_prefix=True)
    sizes = "whether records fit into topics, and enough replicas are in sync"
    yield from _topics("DescribeConfigs", needs.all, sizes)


def _producer(settings: Settings) -> Iterator[Right]:
    yield from _topics("Write", [settings.topics.jobs])


def _reader(settings: Settings) -> Iterator[Right]:
    yield from _topics("Read", [settings.topics.results])


def _dead_letters(settings: Settings) -> Iterator[Right]:
    yield from _topics("Read", (settings.topics.dead_letters, settings.topics.parked_topic))
    yield from _payloads(settings)


def _payloads(settings: Settings) -> Iterator[Right]:
    sources = TopicNeeds.of(settings).reads
    yield from _topics("Read", sources, "payloads that were too large for their letters")


def _replay(settings: Settings) -> Iterator[Right]:
    topics = settings.topics
    yield from _topics("Read", (topics.dead_letters, topics.replay_runs_topic, topics.results))
    yield from _topics("Write", (topics.replay_topic, topics.parked_topic, topics.replay_runs_topic))
    yield Right(ResourceKind.GROUP, "Read", REPLAY_NAMES, is_prefix=True)
    yield Right(ResourceKind.TRANSACTIONAL_ID, "Write", REPLAY_NAMES, is_prefix=True)
    yield from _payloads(settings)
    yield from _topics("DescribeConfigs", (topics.replay_topic, topics.parked_topic), "whether letters fit into topics")


def _audit(settings: Settings) -> Iterator[Right]:
    topics, needs = settings.topics, TopicNeeds.of(settings)
    names = (*needs.reads, topics.results, topics.dead_letters, topics.parked_topic)
    yield from _topics("Read", names)
    yield Right(ResourceKind.GROUP, "Describe", settings.kafka.group_id)
    yield from _topics("DescribeConfigs", names, "whether a topic is compacted")


def _canary(settings: Settings) -> Iterator[Right]:
    for operation in ("Read", "Write"):
        yield from _topics(operation, [settings.topics.rollouts_topic])
    yield from _topics("DescribeConfigs", [settings.topics.rollouts_topic], "whether the topic is compacted")


def _topics_role(settings: Settings) -> Iterator[Right]:
    # Who may alter may describe; who may alter configs may describe them.
    for operation in ("Create", "Alter", "AlterConfigs"):
        yield from _topics(operation, topic_names(settings))
    size = "whether the largest message fits into the brokers' socket.request.max.bytes"
    yield Right(ResourceKind.CLUSTER, "DescribeConfigs", "kafka-cluster", optional=size)


_RIGHTS: Final = {
    Role.WORKER: _worker,
    Role.PRODUCER: _producer,
    Role.READER: _reader,
    Role.DEAD_LETTERS: _dead_letters,
    Role.REPLAY: _replay,
    Role.AUDIT: _audit,
    Role.CANARY: _canary,
    Role.TOPICS: _topics_role,
}
