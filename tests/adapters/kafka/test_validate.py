"""What librdkafka takes and refuses of what is passed through."""

import pytest

from worker.adapters.kafka.validate import validate_options
from worker.domain.errors import SettingsError
from worker.settings import KafkaSettings


@pytest.mark.parametrize(
    "client", [{}, {"socket_timeout_ms": "60000"}, {"delivery_timeout_ms": "300000"}, {"message_timeout_ms": "1000"}]
)
@pytest.mark.parametrize("group_protocol", ["auto", "consumer", "classic"])
def test_options_that_fit_every_client_are_taken(client: dict[str, str], group_protocol: str) -> None:
    given = {"client": client, "group_protocol": group_protocol, "transaction_timeout_seconds": 1}
    validate_options(KafkaSettings.model_validate(given))


@pytest.mark.parametrize(("group_protocol", "taken"), [("auto", False), ("consumer", False), ("classic", True)])
def test_an_option_of_the_classic_protocol_needs_that_protocol(group_protocol: str, *, taken: bool) -> None:
    given = {"client": {"session_timeout_ms": "10000"}, "group_protocol": group_protocol}
    settings = KafkaSettings.model_validate(given)
    if taken:
        validate_options(settings)
        return
    with pytest.raises(SettingsError, match=r"session\.timeout\.ms"):
        validate_options(settings)


def test_a_mechanism_that_the_client_was_built_without_is_no_reason_to_build_it_anew() -> None:
    settings = KafkaSettings.model_validate({"client": {"security_protocol": "SASL_SSL"}})
    with pytest.raises(SettingsError, match=r"OAUTHBEARER\W.* Set LABELWIRE_KAFKA__CLIENT__SASL_MECHANISM to one of"):
        validate_options(settings)
