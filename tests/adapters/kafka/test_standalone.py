"""Consumers that are members of no group; nothing has to be connected."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.adapters.kafka.offline.standalone import standalone_consumer
from worker.adapters.kafka.transient import retry_transient
from worker.domain.errors import BrokerError


def test_options_about_membership_are_left_out() -> None:
    standalone_consumer("localhost:1", {"group.protocol": "no such protocol"}).close()


def test_an_option_that_librdkafka_refuses_is_a_broker_error() -> None:
    with pytest.raises(BrokerError, match=r"no\.such\.option"):
        standalone_consumer("localhost:1", {"no.such.option": "1"})


def test_what_passes_by_itself_is_asked_again_and_all_else_is_raised() -> None:
    failures = [KafkaError._TRANSPORT, KafkaError.TOPIC_AUTHORIZATION_FAILED]  # noqa: SLF001 - librdkafka's own name
    asked = []

    def ask() -> str:
        asked.append(failures[0])
        raise KafkaException(KafkaError(failures.pop(0)))

    with pytest.raises(KafkaException) as raised:
        retry_transient(ask, timeout_seconds=60, pause_seconds=0)

    assert len(asked) == 2
    assert raised.value.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_after_the_timeout_also_what_passes_is_raised() -> None:
    def ask() -> str:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))  # noqa: SLF001 - librdkafka's own name

    with pytest.raises(KafkaException):
        retry_transient(ask, timeout_seconds=-1, pause_seconds=0)
