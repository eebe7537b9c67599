"""An admin request whose future is never done ends in an error, like one that timed out."""

import contextlib
import gc
import weakref
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.adapters.kafka.admin import topic_configs
from worker.adapters.kafka.call_timeout import all_done, call_within
from worker.adapters.kafka.transient import is_transient


class HangingAdmin:
    """Takes requests, and answers that of the first topic alone."""

    def describe_configs(self, resources: list[object], **_: object) -> dict[object, Future[object]]:
        futures: dict[object, Future[object]] = {resource: Future() for resource in resources}
        next(iter(futures.values())).set_result({"min.insync.replicas": SimpleNamespace(value="2")})
        return futures


@pytest.mark.timeout(60)
def test_a_config_that_is_never_told_is_an_error_that_passes() -> None:
    with pytest.raises(KafkaException, match="1 of 2 admin requests had no answer within 10 s") as raised:
        topic_configs(HangingAdmin(), ["jobs", "results"], "min.insync.replicas")  # type: ignore[arg-type]
    assert is_transient(raised.value.args[0])


def test_what_is_answered_in_time_is_returned_as_it_is() -> None:
    answered: dict[str, Future[int]] = {"jobs": Future(), "results": Future()}
    answered["jobs"].set_result(1)
    answered["results"].set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
    assert all_done(1, answered) is answered


class _Client:
    """Refuses what it is asked."""

    def refuse(self) -> None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - librdkafka's own name


def test_a_refused_call_leaves_nothing_that_only_a_collection_of_garbage_frees() -> None:
    client = _Client()
    seen = weakref.ref(client)
    gc.disable()
    try:
        with contextlib.suppress(KafkaException):
            call_within(5, client.refuse)
        del client
        assert seen() is None
    finally:
        gc.enable()
