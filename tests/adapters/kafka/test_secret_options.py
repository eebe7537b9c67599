"""What librdkafka says holds no secret of its options, wherever it says it."""

import logging

import pytest

from worker.adapters.kafka.admin import connected
from worker.adapters.kafka.secret_options import RedactingLogger, hide_secrets
from worker.adapters.kafka.validate import validate_options
from worker.domain.errors import BrokerError, SettingsError
from worker.settings import KafkaSettings

CANARY = "canary-7f3a"
SCRAM = {"security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": "ocr"}
BEARER = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "OAUTHBEARER"}
OIDC = BEARER | {"sasl.oauthbearer.method": "oidc", "sasl.oauthbearer.client.id": "ocr"}


@pytest.mark.parametrize(
    "options",
    [
        {"security.protocol": CANARY},
        {"sasl.mechanism": CANARY},
        SCRAM | {"sasl.password": CANARY, "ssl.key.pem": CANARY},
        SCRAM | {"ssl.keystore.location": "/dev/null", "ssl.keystore.password": CANARY},
        BEARER | {"enable.sasl.oauthbearer.unsecure.jwt": "true", "sasl.oauthbearer.config": f"{CANARY}=1"},
        OIDC | {"sasl.oauthbearer.client.secret": CANARY},
        OIDC
        | {
            "sasl.oauthbearer.client.secret": "s",
            "sasl.oauthbearer.token.endpoint.url": f"http://u:{CANARY}@127.0.0.1:9/t",
        },
        OIDC
        | {
            "sasl.oauthbearer.client.secret": "s",
            "sasl.oauthbearer.token.endpoint.url": f"http://127.0.0.1:9/t?key={CANARY}",
        },
    ],
    ids=lambda options: list(options)[-1],
)
def test_neither_an_error_nor_the_log_holds_a_secret(options: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    try:
        validate_options(KafkaSettings.model_validate({"bootstrap_servers": "127.0.0.1:9", "client": options}))
    except SettingsError as error:
        said.append(str(error))
    try:
        connected("127.0.0.1:9", options, timeout_seconds=0.3)
    except BrokerError as error:
        said.append(str(error))
    assert said, "nothing answers there"
    assert CANARY not in " ".join(said)
    assert CANARY not in caplog.text


def test_what_is_no_secret_is_shown() -> None:
    options = {
        "sasl.username": "ocr",
        "sasl.password": "pw!",
        "ssl.ca.location": "/ca.pem",
        "some.url": "http://tokens/t",
    }
    assert hide_secrets("ocr /ca.pem http://tokens/t", options) == "ocr /ca.pem http://tokens/t"
    assert hide_secrets("the word: pw!", options) == "the word: (hidden)"


def test_the_log_names_the_option_that_is_doubtful(caplog: pytest.LogCaptureFixture) -> None:
    logger = RedactingLogger(logging.getLogger("librdkafka"), {"sasl.password": CANARY})
    with caplog.at_level(logging.INFO):
        logger.log(logging.INFO, "%s [%s] %s", "CONFWARN", "client", f"`sasl.mechanism` set to `x` but {CANARY}")
    assert caplog.messages == ["CONFWARN [client] `sasl.mechanism` set, but (hidden)"]
