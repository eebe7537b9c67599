"""Asks librdkafka whether it takes the options that are passed through to it."""

from confluent_kafka import Consumer, KafkaException, Producer

from worker.adapters.kafka.membership import consumer_options, group_protocols
from worker.adapters.kafka.secret_options import hide_secrets
from worker.adapters.kafka.sink import producer_options
from worker.adapters.kafka.transactions import transaction_options
from worker.domain.errors import SettingsError
from worker.settings import PREFIX, KafkaSettings


def validate_options(settings: KafkaSettings) -> None:
    """Raise SettingsError, with librdkafka's own words, where it refuses an option. Nothing has to be connected."""
    try:
        Producer(producer_options(settings))
        Producer(transaction_options(settings, "labelwire"))
        for protocol in group_protocols(settings):
            Consumer(consumer_options(settings, protocol)).close()
    except (KafkaException, ValueError, TypeError) as error:
        reason = error.args[0]
        message = hide_secrets(reason.str() if hasattr(reason, "str") else str(reason), settings.client_options())
        # librdkafka's default mechanism is missing from its wheels, and its message advises to compile it.
        advice = (
            f" Set {PREFIX}KAFKA__CLIENT__SASL_MECHANISM to one of these."
            if "No provider for SASL mechanism" in message
            else ""
        )
        raise SettingsError(f"{PREFIX}KAFKA__CLIENT__*: librdkafka refuses an option: {message}.{advice}") from error
