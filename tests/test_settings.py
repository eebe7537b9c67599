"""Settings come from the environment; what is wrong is named, and secrets are not."""

import os

import pytest

from worker import settings
from worker.domain.errors import SettingsError

PASSWORD = "LABELWIRE_KAFKA__CLIENT__SASL_PASSWORD"  # noqa: S105 - its name


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith(settings.PREFIX):
            monkeypatch.delenv(name)


def refusal() -> str:
    with pytest.raises(SettingsError) as raised:
        settings.load()
    return str(raised.value)


def test_without_an_environment_every_setting_has_a_value() -> None:
    shown = settings.effective(settings.load())
    assert set(shown) == set(settings.known_names())
    assert shown["LABELWIRE_TOPICS__JOBS"] == "label-images"


def test_every_setting_is_described() -> None:
    assert [name for name, description in settings.known_names().items() if not description.endswith(".")] == []


def test_a_setting_takes_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELWIRE_LIMITS__MAX_JOBS", "7")
    assert settings.load().limits.max_jobs == 7
    assert settings.effective(settings.load())["LABELWIRE_LIMITS__MAX_JOBS"] == "7"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LABELWIRE_TOPIC__JOBS", "did you mean LABELWIRE_TOPICS__JOBS?"),
        ("LABELWIRE_TOPICS__JOB", "did you mean LABELWIRE_TOPICS__JOBS?"),
        ("labelwire_topics__jbos", "did you mean LABELWIRE_TOPICS__JOBS?"),
        ("LABELWIRE_WEATHER", "lists all names"),
        ("LABELWIRE_KAFKA", "is not a setting"),
        ("LABELWIRE_KAFKA__CLIENT", "is not a setting"),
    ],
)
def test_an_unknown_name_is_refused_with_what_comes_near(monkeypatch: pytest.MonkeyPatch, name: str, hint: str) -> None:
    monkeypatch.setenv(name, "x")
    said = refusal()
    assert name in said
    assert hint in said


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LABELWIRE_HTTP__PORT", "eighty", "integer"),
        ("LABELWIRE_HTTP__PORT", "70000", "65535"),
        ("LABELWIRE_LOG__LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("LABELWIRE_KAFKA__GROUP_PROTOCOL", "raft", "'consumer' or 'classic'"),
        ("LABELWIRE_TOPICS__JOBS", "no spaces", "pattern"),
        ("LABELWIRE_RUNTIME__DRAIN_SECONDS", "0", "greater than 0"),
        ("LABELWIRE_TRITON__TLS", "perhaps", "boolean"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    said = refusal()
    assert f"{name}={value!r}" in said
    assert says in said


@pytest.mark.parametrize(
    ("name", "topic", "others"),
    [
        ("DEAD_LETTERS", "label-images", "jobs and for dead letters"),
        ("RESULTS", "label-images", "jobs and for results"),
        ("RESULTS", "label-images.retry.2", "results and for retry 2"),
        ("PARKED", "label-images.dlq", "dead letters and for parked jobs"),
        ("REPLAYS", "label-images.rollouts", "replays and for rollouts"),
        ("REPLAY_RUNS", "label-text", "results and for replay runs"),
    ],
)
def test_no_topic_has_two_purposes(monkeypatch: pytest.MonkeyPatch, name: str, topic: str, others: str) -> None:
    monkeypatch.setenv(f"LABELWIRE_TOPICS__{name}", topic)
    assert refusal() == f"LABELWIRE_TOPICS: the topic {topic} is for {others}: give each a topic of its own."


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELWIRE_HTTP__PORT", "x")
    monkeypatch.setenv("LABELWIRE_LOG__LEVEL", "x")
    said = refusal()
    assert "LABELWIRE_HTTP__PORT" in said
    assert "LABELWIRE_LOG__LEVEL" in said


@pytest.mark.parametrize("value", ["hunter2", "12345", "null", "true", '{"a": 1}', '"quoted"', "[1]", "with space "])
def test_options_of_librdkafka_pass_through_untouched_and_hidden(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(PASSWORD, value)
    monkeypatch.setenv("LABELWIRE_KAFKA__CLIENT__SECURITY_PROTOCOL", "SASL_SSL")
    loaded = settings.load()
    assert loaded.kafka.client_options() == {"sasl.password": value, "security.protocol": "SASL_SSL"}
    shown = settings.effective(loaded)
    assert shown[PASSWORD] == "(hidden)"
    assert value not in repr(loaded.kafka.client)


@pytest.mark.parametrize("name", ["ENABLE_AUTO_COMMIT", "BOOTSTRAP_SERVERS", "GROUP_ID", "ACKS"])
def test_options_that_would_break_a_delivery_rule_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"LABELWIRE_KAFKA__CLIENT__{name}", "hunter2")
    said = refusal()
    assert name.lower().replace("_", ".") in said
    assert "belongs to the worker" in said
    assert "hunter2" not in said


def test_a_wrong_value_beside_a_secret_does_not_print_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "hunter2")
    monkeypatch.setenv("LABELWIRE_KAFKA__GROUP_ID", "")
    monkeypatch.setenv("LABELWIRE_KAFKA__GROUP_PROTOCOL", "x")
    assert "hunter2" not in refusal()


def test_names_of_other_parts_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELWIRE_CACHE_DIR", "/somewhere")
    assert "LABELWIRE_CACHE_DIR" not in settings.effective(settings.load())


REDIS = {
    "LABELWIRE_CACHE__BACKEND": "redis",
    "LABELWIRE_CACHE__URL": "rediss://user:hunter2@redis:6379/0",
    "LABELWIRE_CACHE__SECRET": "hunter2 hunter2 hunter2",
}


def test_the_secrets_of_the_cache_are_hidden() -> None:
    loaded = settings.load(REDIS)
    assert loaded.cache.redis_url == REDIS["LABELWIRE_CACHE__URL"]
    assert loaded.cache.redis_secret == REDIS["LABELWIRE_CACHE__SECRET"].encode()
    shown = settings.effective(loaded)
    assert [shown[name] for name in REDIS] == ["redis", "(hidden)", "(hidden)"]
    assert "hunter2" not in repr(loaded)


@pytest.mark.parametrize("missing", ["LABELWIRE_CACHE__URL", "LABELWIRE_CACHE__SECRET"])
def test_a_cache_in_redis_needs_an_address_and_a_secret(missing: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings.load({name: value for name, value in REDIS.items() if name != missing})
    assert "LABELWIRE_CACHE: the backend redis needs LABELWIRE_CACHE__URL and" in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LABELWIRE_CACHE__URL", "http://hunter2@redis", "LABELWIRE_CACHE__URL: give redis://host:port or rediss://"),
        ("LABELWIRE_CACHE__URL", "redis://", "LABELWIRE_CACHE__URL: give redis://host:port or rediss://"),
        ("LABELWIRE_CACHE__URL", "redis://hunter2@redis:99999", "LABELWIRE_CACHE__URL: Port out of range"),
        ("LABELWIRE_CACHE__URL", "redis://hunter2@redis:0", "LABELWIRE_CACHE__URL: the port is a number from 1"),
        ("LABELWIRE_CACHE__SECRET", "hunter2", "LABELWIRE_CACHE__SECRET: Value should have at least 16 items"),
        ("LABELWIRE_CACHE__BACKEND", "disk", "LABELWIRE_CACHE__BACKEND='disk': "),
    ],
)
def test_a_wrong_setting_of_the_cache_is_named_and_no_secret_is_shown(name: str, value: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings.load(REDIS | {name: value})
    assert sentence in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_an_entry_of_the_cache_in_memory_is_no_larger_than_the_cache() -> None:
    given = {"LABELWIRE_CACHE__BACKEND": "memory", "LABELWIRE_CACHE__MAX_BYTES": "1048576"}
    with pytest.raises(SettingsError, match="max_entry_bytes is larger than max_bytes, so lower it"):
        settings.load(given | {"LABELWIRE_CACHE__MAX_ENTRY_BYTES": "1048577"})
    assert settings.load(given).cache.max_bytes == 1048576


def test_tiles_share_at_most_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELWIRE_PIPELINE__TILE_SIDE", "256")
    monkeypatch.setenv("LABELWIRE_PIPELINE__TILE_OVERLAP", "129")
    assert "LABELWIRE_PIPELINE__TILE_OVERLAP='129': tiles of 256 pixels can share at most 128." in refusal()


def test_a_list_that_is_not_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELWIRE_RUNTIME__RETRY_DELAYS_SECONDS", "[5, 60")
    monkeypatch.setenv("LABELWIRE_FIELDS__TYPES", "gtin")

    said = refusal()

    assert "LABELWIRE_RUNTIME__RETRY_DELAYS_SECONDS='[5, 60': is not JSON" in said
    assert "LABELWIRE_FIELDS__TYPES='gtin': is not JSON" in said


def test_a_given_environment_is_all_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELWIRE_LIMITS__MAX_JOBS", "7")

    given = settings.load({"LABELWIRE_PIPELINE__LINE_WIDTHS": "[96, 320]"})

    assert given.pipeline.line_widths == (96, 320)
    assert given.limits == settings.LimitSettings()
    with pytest.raises(SettingsError, match="LABELWIRE_LIMITS__MAX_JOBS='many': Input should be a valid integer"):
        settings.load({"LABELWIRE_LIMITS__MAX_JOBS": "many"})
