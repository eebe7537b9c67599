"""What a broker's topics are, how they have to be, and what would change.

Invariants: a plan changes nothing. What it would change takes no record away, unless a retention of letters is asked
for: topics are created, partitions are added and configs are set. A topic is never deleted, and partitions are never
taken away. What may cost records or confuse readers is named, with its remedy, and left to a person.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from worker.adapters.kafka.topics import (
    CLEANUP_POLICY,
    DEFAULT_MAX_MESSAGE_BYTES,
    DEFAULT_PARTITIONS,
    MAX_MESSAGE_BYTES,
    MIN_INSYNC_REPLICAS,
    RETENTION_MS,
    WantedTopic,
    wanted_topics,
)
from worker.settings import Settings

PARTITIONS: Final = "partitions"
REPLICATION_FACTOR: Final = "replication.factor"
NOT_TOLD: Final = "not told"  # by a broker that hides some of its configs
_FOR_EVER: Final = -1


class Action(StrEnum):
    """What follows from a comparison."""

    NONE = "fits"
    CREATE = "create"
    CHANGE = "change"
    DECIDE = "decide"  # by a person


@dataclass(frozen=True, slots=True)
class TopicOptions:
    """What a person asks for. None leaves it to the topics that are there, or else to the defaults."""

    partitions: int | None = None
    replication_factor: int | None = None
    max_message_bytes: int | None = None
    letter_retention_days: int | None = None


@dataclass(frozen=True, slots=True)
class PresentTopic:
    """A topic as it is. `replicas` is the least number that one of its partitions has."""

    partitions: int
    replicas: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PropertyComparison:
    """One property of a topic. `actual` is None where there is no topic yet; `advice` says what a person decides."""

    name: str
    wanted: str
    actual: str | None
    action: Action
    value: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic. `present` is None if it does not exist."""

    wanted: WantedTopic
    present: PresentTopic | None
    comparisons: tuple[PropertyComparison, ...]

    @property
    def changes(self) -> list[PropertyComparison]:
        """What would change on the topic that is there."""
        return [each for each in self.comparisons if each.action is Action.CHANGE]

    @property
    def decisions(self) -> list[str]:
        """What only a person may decide, a sentence each."""
        return [each.advice for each in self.comparisons if each.action is Action.DECIDE]


@dataclass(frozen=True, slots=True)
class TopicsPlan:
    """All topics of a deployment."""

    topics: tuple[TopicPlan, ...]
    replication_factor: int

    @property
    def missing(self) -> list[TopicPlan]:
        """The topics to create."""
        return [topic for topic in self.topics if topic.present is None]

    @property
    def changed(self) -> list[TopicPlan]:
        """The topics to change."""
        return [topic for topic in self.topics if topic.changes]

    @property
    def decisions(self) -> list[str]:
        """What only a person may decide."""
        return [sentence for topic in self.topics for sentence in topic.decisions]

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to create or to change."""
        return not self.missing and not self.changed

    @property
    def fits(self) -> bool:
        """Whether all topics are as they have to be."""
        return self.is_done and not self.decisions

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "fits": self.fits,
            "topics": [
                {
                    "name": topic.wanted.name,
                    "exists": topic.present is not None,
                    "properties": {
                        each.name: {"wanted": each.wanted, "actual": each.actual, "action": str(each.action)}
                        for each in topic.comparisons
                    },
                }
                for topic in self.topics
            ],
            "decisions": self.decisions,
        }


def topic_names(settings: Settings) -> list[str]:
    """Return the names of all topics."""
    return [topic.name for topic in wanted_topics(settings.topics, 1, 1)]


def plan_topics(settings: Settings, options: TopicOptions, present: Mapping[str, PresentTopic | None]) -> TopicsPlan:
    """Compare all topics of the settings with those that are there; None for one that does not exist."""
    jobs = present.get(settings.topics.jobs)
    if jobs is None:
        partitions = options.partitions or DEFAULT_PARTITIONS
        max_message_bytes = options.max_message_bytes or DEFAULT_MAX_MESSAGE_BYTES
    else:
        partitions = options.partitions or jobs.partitions
        # The other topics have to take what is on this one by now.
        present_bytes = int(jobs.configs.get(MAX_MESSAGE_BYTES, DEFAULT_MAX_MESSAGE_BYTES))
        max_message_bytes = max(options.max_message_bytes or 0, present_bytes)
    wanted = wanted_topics(
        settings.topics,
        partitions,
        max_message_bytes,
        longest_delay_seconds=max(settings.runtime.retry_delays_seconds),
        letter_retention_days=options.letter_retention_days,
    )
    replication_factor = options.replication_factor or -1
    return TopicsPlan(
        tuple(TopicPlan(each, present[each.name], _compared(each, present[each.name], options)) for each in wanted),
        replication_factor,
    )


def _compared(
    wanted: WantedTopic, present: PresentTopic | None, options: TopicOptions
) -> tuple[PropertyComparison, ...]:
    if present is None:
        return tuple(_to_create(wanted, options))
    floors = wanted.floors_with(present.replicas)
    return (
        _compared_partitions(wanted, present, options),
        _compared_replicas(wanted, present, options),
        *(_compared_value(wanted.name, name, value, present) for name, value in wanted.configs.items()),
        *(_compared_floor(wanted.name, name, least, present) for name, least in floors.items()),
    )


def _to_create(wanted: WantedTopic, options: TopicOptions) -> Iterable[PropertyComparison]:
    factor = options.replication_factor
    yield PropertyComparison(PARTITIONS, str(wanted.partitions), None, Action.CREATE)
    yield PropertyComparison(REPLICATION_FACTOR, "the broker's" if factor is None else str(factor), None, Action.CREATE)
    for name, value in wanted.configs.items():
        yield PropertyComparison(name, value, None, Action.CREATE)
    for name, least in wanted.floors_with(factor or 1).items():
        yield PropertyComparison(name, _at_least(least), None, Action.CREATE)


def _compared_partitions(wanted: WantedTopic, present: PresentTopic, options: TopicOptions) -> PropertyComparison:
    name, actual, least = wanted.name, present.partitions, wanted.partitions
    said = str(least) if wanted.single else _at_least(least)
    asked = options.partitions is not None and not wanted.single
    if actual < least and (asked or not wanted.keyed):
        return PropertyComparison(PARTITIONS, said, str(actual), Action.CHANGE, str(least))
    if wanted.single and actual > least:
        advice = (
            f"Topic {name} has {actual} partitions and needs one, for one order of its records: delete it and create it"
            " again while no replay and no rollout runs."
        )
        return PropertyComparison(PARTITIONS, said, str(actual), Action.DECIDE, advice=advice)
    if asked and actual > least:
        advice = (
            f"Topic {name} has {actual} partitions, and Kafka cannot take any away: leave out --partitions {least}, or"
            " create another topic."
        )
        return PropertyComparison(PARTITIONS, str(least), str(actual), Action.DECIDE, advice=advice)
    return PropertyComparison(PARTITIONS, said, str(actual), Action.NONE)


def _compared_replicas(wanted: WantedTopic, present: PresentTopic, options: TopicOptions) -> PropertyComparison:
    asked, actual = options.replication_factor, str(present.replicas)
    if asked is None or present.replicas == asked:
        return PropertyComparison(REPLICATION_FACTOR, actual, actual, Action.NONE)
    advice = (
        f"Topic {wanted.name} has {actual} replicas of a partition and {asked} are asked for: place them with"
        " kafka-reassign-partitions, which moves data."
    )
    return PropertyComparison(REPLICATION_FACTOR, str(asked), actual, Action.DECIDE, advice=advice)


def _compared_value(topic: str, name: str, value: str, present: PresentTopic) -> PropertyComparison:
    actual = present.configs.get(name, NOT_TOLD)
    if actual in (value, NOT_TOLD):
        return PropertyComparison(name, value, actual, Action.NONE)
    if name == CLEANUP_POLICY and actual == "compact":
        # Nothing of it was ever deleted for its age, so all that is older than the retention would go at once.
        advice = (
            f"Topic {topic} has cleanup.policy=compact, so a later record of a key takes an earlier one away: set it to"
            f" {value} with kafka-configs, if its retention.ms={present.configs.get(RETENTION_MS)} may take what is"
            " older."
        )
        return PropertyComparison(name, value, actual, Action.DECIDE, advice=advice)
    return PropertyComparison(name, value, actual, Action.CHANGE, value)


def _compared_floor(topic: str, name: str, least: int, present: PresentTopic) -> PropertyComparison:
    if name not in present.configs:
        return PropertyComparison(name, _at_least(least), NOT_TOLD, Action.NONE)
    actual = int(present.configs[name])
    if name == MIN_INSYNC_REPLICAS and actual > present.replicas:
        advice = (
            f"Topic {topic} has {MIN_INSYNC_REPLICAS}={actual} over its {REPLICATION_FACTOR}={present.replicas}, so"
            f" nothing can be written to it: set the first to {least} with kafka-configs, or place more replicas with"
            " kafka-reassign-partitions."
        )
        return PropertyComparison(name, f"{_at_least(least)}, ≤ replicas", str(actual), Action.DECIDE, advice=advice)
    enough = actual >= least or (name == RETENTION_MS and actual == _FOR_EVER)
    if enough:
        return PropertyComparison(name, _at_least(least), str(actual), Action.NONE)
    return PropertyComparison(name, _at_least(least), str(actual), Action.CHANGE, str(least))


def _at_least(least: int) -> str:
    return f"≥ {least}"
