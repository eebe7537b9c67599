"""The audit of the topics of one group, as they are now."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from worker.audit.report import AuditReport
from worker.settings import KafkaSettings, TopicSettings

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


def audit(
    kafka: KafkaSettings, topics: TopicSettings, *, progress: Progress | None = None, offenders: int = 20
) -> AuditReport:
    """Read all topics up to a cut and say what became of every job; at most `offenders` are named for each problem.

    `progress(what, total)` opens a display and gives a function to call with how many records more were read.
    Raises BrokerError where the broker does not answer, or has no topic of jobs or results.
    """
    raise NotImplementedError
