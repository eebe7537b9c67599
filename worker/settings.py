"""All settings of the worker, from the environment: `LABELWIRE_<SECTION>__<NAME>`.

Invariant: a name that starts with the prefix and is not a setting is an error, never ignored. What librdkafka itself
can be told passes through `LABELWIRE_KAFKA__CLIENT__*`: `SECURITY_PROTOCOL` is its `security.protocol`.
"""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from worker.domain.errors import SettingsError
from worker.domain.model_set import ModelSetName
from worker.picture_settings import (
    MEBIBYTE,
    BlobSettings,
    FieldSettings,
    PipelineSettings,
    Positive,
    QualitySettings,
    Section,
)
from worker.pipeline.options import ImageLimits

PREFIX = "LABELWIRE_"
RETRY_LEVELS = 3

_IMAGE = ImageLimits()

# Read by other parts of the distribution, not by the worker.
_FOREIGN = frozenset({"LABELWIRE_CACHE_DIR"})

# The worker owns these: a change would break a delivery rule.
RESERVED_CLIENT_OPTIONS = frozenset(
    {
        "bootstrap.servers",
        "group.id",
        "group.instance.id",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "acks",
        "isolation.level",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "transactional.id",
    }
)

Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class KafkaSettings(Section):
    """The broker and the group."""

    bootstrap_servers: str = Field(
        default="localhost:9092", min_length=1, description="Kafka brokers: `host:port,host:port`."
    )
    group_id: str = Field(default="labelwire", min_length=1, description="Consumer group of the workers.")
    group_protocol: Literal["auto", "consumer", "classic"] = Field(
        default="auto",
        description="`consumer` (KIP-848), `classic` (cooperative-sticky), or `auto`: KIP-848 if the broker has it.",
    )
    group_instance_id: str | None = Field(
        default=None,
        min_length=1,
        description="Makes the worker a static member: it keeps its partitions over a restart. Use the pod's name.",
    )
    start_from: Literal["earliest", "latest"] = Field(
        default="earliest",
        description="Where a group starts that has committed nothing on any of its topics. Partitions and topics that"
        " are added later are read from their beginning.",
    )
    commit_interval_seconds: Positive = Field(
        default=1.0, description="Longest time between two commits while jobs finish."
    )
    max_poll_interval_seconds: float = Field(
        default=300.0, ge=10, description="Longest gap between polls before partitions are revoked."
    )
    transaction_timeout_seconds: float = Field(
        default=15.0,
        ge=1,
        description="Time until the broker aborts the transaction of a killed worker (exactly-once).",
    )
    client: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Options of librdkafka for every client, with `_` for each dot: KAFKA__CLIENT__SASL_USERNAME.",
    )

    @field_validator("client", mode="before")
    @classmethod
    def _librdkafka_names(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        named = {str(name).lower().replace("_", "."): str(option) for name, option in value.items()}
        reserved = sorted(RESERVED_CLIENT_OPTIONS & set(named))
        if reserved:
            raise ValueError(f"{', '.join(reserved)} belongs to the worker and cannot be passed through")
        return named

    def client_options(self) -> dict[str, str]:
        """Return the pass-through options, in the clear, for librdkafka alone."""
        return {name: option.get_secret_value() for name, option in self.client.items()}


class TopicSettings(Section):
    """The topics. Retry topics are `<jobs>.retry.1` to `.3`."""

    jobs: Topic = Field(default="label-images", description="Topic of the jobs.")
    results: Topic = Field(default="label-text", description="Topic of the results.")
    dead_letters: Topic = Field(default="label-images.dlq", description="Topic of the dead letters.")

    replays: Topic | None = Field(default=None, description="Topic of the replayed jobs; `<jobs>.replay` if unset.")
    parked: Topic | None = Field(
        default=None, description="Topic of the jobs that were replayed too often; `<jobs>.parked` if unset."
    )
    replay_runs: Topic | None = Field(
        default=None, description="Topic of the plans and audit records of replays; `<jobs>.replay-runs` if unset."
    )
    rollouts: Topic | None = Field(
        default=None, description="Compacted topic of the state of model rollouts; `<jobs>.rollouts` if unset."
    )
    min_result_bytes: int = Field(
        default=256 * 1024, ge=1024, description="The result topic must accept messages of at least this size."
    )

    @model_validator(mode="after")
    def _all_differ(self) -> Self:
        named = {"jobs": self.jobs, "results": self.results, "dead letters": self.dead_letters}
        named |= {f"retry {level}": name for level, name in enumerate(self.retry_topics, 1)}
        named |= {"replays": self.replay_topic, "parked jobs": self.parked_topic}
        named |= {"replay runs": self.replay_runs_topic, "rollouts": self.rollouts_topic}
        roles: dict[str, str] = {}
        for role, name in named.items():
            other = roles.setdefault(name, role)
            if other != role:
                raise ValueError(f"the topic {name} is for {other} and for {role}: give each a topic of its own")
        return self

    @property
    def retry_topics(self) -> tuple[str, ...]:
        """One for each delay, the shortest first."""
        return tuple(f"{self.jobs}.retry.{level}" for level in range(1, RETRY_LEVELS + 1))

    @property
    def replay_topic(self) -> str:
        """Where replayed jobs come from."""
        return self.replays or f"{self.jobs}.replay"

    @property
    def parked_topic(self) -> str:
        """Where jobs go that were replayed too often."""
        return self.parked or f"{self.jobs}.parked"

    @property
    def replay_runs_topic(self) -> str:
        """Where each replay leaves its audit record."""
        return self.replay_runs or f"{self.jobs}.replay-runs"

    @property
    def rollouts_topic(self) -> str:
        """Where the state of model rollouts stands."""
        return self.rollouts or f"{self.jobs}.rollouts"


class TritonSettings(Section):
    """The inference server."""

    url: str = Field(
        default="localhost:8001",
        min_length=1,
        description="gRPC address of Triton; `dns:///headless-service:8001` balances over all pods of the service.",
    )
    device: Literal["any", "cpu", "gpu"] = Field(
        default="any",
        description="The device that Triton runs on; models that were built for another device are refused.",
    )
    model_set: ModelSetName = Field(
        default="", description="Model set to read with until a rollout has put another one in use; empty: plain names."
    )
    request_timeout_seconds: Positive = Field(
        default=30.0, description="Longest time for one request, including its retries."
    )
    max_inflight_requests: int = Field(
        default=32,
        ge=1,
        description="Most concurrent requests of this worker; the limit is lowered while Triton is overloaded.",
    )
    circuit_failures: int = Field(
        default=5,
        ge=1,
        description="Failures in a row that open a model's circuit; its requests then wait until it recovers.",
    )
    circuit_cooldown_seconds: Positive = Field(
        default=0.25, description="Initial circuit cooldown; doubles after failed probes."
    )
    circuit_max_cooldown_seconds: Positive = Field(default=2.0, description="Longest circuit cooldown.")
    max_message_bytes: int = Field(
        default=64 * MEBIBYTE, ge=MEBIBYTE, description="Largest gRPC message, in both directions."
    )
    tls: bool = Field(default=False, description="Use TLS for the connection to Triton.")
    tls_root_certificates: str | None = Field(
        default=None, description="PEM file with the certificate authorities to trust."
    )
    tls_private_key: str | None = Field(default=None, description="PEM file with the client's private key.")
    tls_certificate_chain: str | None = Field(default=None, description="PEM file with the client's certificate.")


class LimitSettings(Section):
    """What may be in memory at once, and how large one job may be."""

    max_jobs: int = Field(
        default=0,
        ge=0,
        description="Jobs in progress at most, fewer where those keep Triton busy; 0 stands for 4 a core.",
    )
    max_inflight_bytes: int = Field(
        default=256 * MEBIBYTE, ge=MEBIBYTE, description="Encoded bytes in memory at once, fetched pictures included."
    )
    max_inflight_pixels: int = Field(default=64_000_000, ge=1_000_000, description="Decoded pixels in memory at once.")
    max_image_pixels: int = Field(
        default=_IMAGE.max_pixels,
        ge=1,
        description="Most pixels of a page, by its header; all pages of a picture may have twice as many.",
    )
    max_decoded_bytes: int = Field(
        default=_IMAGE.max_decoded_bytes,
        ge=MEBIBYTE,
        description="Memory for a page that must be decoded whole: progressive JPEG, interlaced PNG, WebP, HEIF, PDF.",
    )
    max_pages: int = Field(default=_IMAGE.max_pages, ge=1, description="Most pages of one TIFF or PDF.")
    pdf_dots_per_inch: int = Field(
        default=_IMAGE.pdf_dots_per_inch, ge=50, le=1200, description="Resolution at which PDF pages are rendered."
    )
    large_image_pixels: int = Field(
        default=16_000_000,
        ge=1,
        description="Pictures with more pixels use the large lane, so that they do not delay small ones.",
    )
    max_large_jobs: int = Field(default=1, ge=1, description="Jobs of the large lane in progress at once.")
    dead_letters_per_minute: int = Field(
        default=600,
        ge=0,
        description="Most dead letters per minute and worker; more bad jobs wait, good jobs go on. 0: no limit.",
    )
    waiting_dead_letters: int = Field(
        default=50_000, ge=1, description="If more bad jobs than this wait for that limit, the worker takes no jobs."
    )
    isolated_memory_bytes: int | None = Field(
        default=None,
        ge=256 * MEBIBYTE,
        description="Memory of the child process that reads a suspect job; three quarters of the free memory if unset.",
    )
    partition_window: int = Field(
        default=8192,
        ge=1,
        le=8192,
        description="How far a partition is read ahead of its oldest record that is not done, in offsets.",
    )


class RuntimeSettings(Section):
    """Time budgets and threads."""

    delivery: Literal["at-least-once", "exactly-once"] = Field(
        default="at-least-once", description="`exactly-once` writes outcomes and offsets in Kafka transactions."
    )
    ordering: Literal["unordered", "key"] = Field(
        default="unordered",
        description="`key` finishes the jobs of one key in order and retries them in place, without retry topics.",
    )
    attempt_seconds: Positive = Field(
        default=120.0,
        description="Time for one attempt at a picture of up to 50 megapixels; larger ones get proportionally more.",
    )
    retry_initial_seconds: Positive = Field(
        default=0.5, description="First delay before a job is tried again while a server is unavailable."
    )
    retry_max_seconds: Positive = Field(
        default=3.0, description="Longest delay before a job is tried again while a server is unavailable."
    )
    retry_delays_seconds: tuple[Positive, Positive, Positive] = Field(
        default=(5.0, 60.0, 600.0),
        description="Delays of the three retry topics, as JSON. They hold jobs that may have caused their own failure.",
    )
    drain_seconds: Positive = Field(
        default=25.0, description="Time to finish jobs after SIGTERM or when partitions are revoked."
    )
    threads: int = Field(default=0, ge=0, description="Threads for image processing; 0 follows the cgroup's CPU quota.")
    readiness_interval_seconds: Positive = Field(
        default=2.0, description="Time between two checks of Triton and of the topics."
    )


class CacheSettings(Section):
    """Readings that are kept, so that a picture that was read before is answered without Triton."""

    backend: Literal["off", "memory", "redis"] = Field(
        default="off",
        description="Where readings are kept: `memory` of each worker, or a `redis` that workers share.",
    )
    url: SecretStr | None = Field(
        default=None, description="Address of the Redis: `rediss://user:password@host:6379/0`; `redis://` without TLS."
    )
    secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Secret that signs entries in Redis, the same for all workers; at least 16 characters.",
    )
    max_bytes: int = Field(
        default=64 * MEBIBYTE, ge=MEBIBYTE, description="Memory that the backend `memory` takes in each worker."
    )
    ttl_seconds: int = Field(default=86_400, ge=1, description="Time after which a reading is forgotten.")
    timeout_seconds: Positive = Field(
        default=0.05,
        description="Longest time for one request to Redis, connecting included; then the picture is read instead.",
    )
    max_entry_bytes: int = Field(
        default=256 * 1024, ge=1024, description="Largest reading that is kept, compressed; larger ones are read anew."
    )

    @field_validator("url")
    @classmethod
    def _of_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            address = urlsplit(value.get_secret_value())
            if address.scheme not in {"redis", "rediss"} or not address.hostname:
                raise ValueError("give redis://host:port or rediss://host:port")
            if address.port == 0:
                raise ValueError("the port is a number from 1 to 65535")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.backend == "redis" and (self.url is None or self.secret is None):
            raise ValueError("the backend redis needs LABELWIRE_CACHE__URL and LABELWIRE_CACHE__SECRET")
        if self.backend == "memory" and self.max_entry_bytes > self.max_bytes:
            raise ValueError("max_entry_bytes is larger than max_bytes, so lower it")
        return self

    @property
    def redis_url(self) -> str:
        """The address with its password, for the client alone."""
        return "" if self.url is None else self.url.get_secret_value()

    @property
    def redis_secret(self) -> bytes:
        """The secret, for the adapter alone."""
        return b"" if self.secret is None else self.secret.get_secret_value().encode()


class PrivacySettings(Section):
    """What is left out of what workers write, because it may be personal data."""

    redact: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ...] = Field(
        default=(),
        description="Texts that results leave out, as JSON: types of fields with their lines and barcodes, `lines` or"
        " `barcodes`.",
    )
    dead_letter_payload: Literal["copy", "reference"] = Field(
        default="copy",
        description="`reference` leaves the job's value out of its dead letter, which then names where it stands.",
    )


class HttpSettings(Section):
    """The worker's own endpoints: /livez, /readyz and /metrics."""

    host: str = Field(default="::", description="Address to listen on; `::` listens on all addresses, IPv4 and IPv6.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 takes a free port.")


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto`: readable on a terminal, JSON elsewhere."
    )


class TracingSettings(Section):
    """Traces of jobs by OpenTelemetry."""

    endpoint: str | None = Field(
        default=None,
        description="Receiver of traces by OTLP over HTTP, as `http://collector:4318`; nothing is traced if unset.",
    )
    sample_ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of the jobs that are traced; jobs whose producer's trace is sampled are traced always.",
    )

    @field_validator("endpoint")
    @classmethod
    def _of_http(cls, value: str | None) -> str | None:
        if value is not None:
            address = urlsplit(value)
            if address.scheme not in {"http", "https"} or not address.hostname:
                raise ValueError("give http://host:port or https://host:port")
            if address.password is not None:
                raise ValueError("put credentials into OTEL_EXPORTER_OTLP_HEADERS, because an address is shown")
        return value


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    triton: TritonSettings = TritonSettings()
    pipeline: PipelineSettings = PipelineSettings()
    fields: FieldSettings = FieldSettings()
    quality: QualitySettings = QualitySettings()
    limits: LimitSettings = LimitSettings()
    blob: BlobSettings = BlobSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    cache: CacheSettings = CacheSettings()
    privacy: PrivacySettings = PrivacySettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()


class _GivenSettings(Settings):
    """Settings that do not look at this process's environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  pydantic-settings' own hook
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given, and nothing else."""
        return (init_settings,)


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment of this process, or from one that is given.

    Raises SettingsError with one sentence for each name or value that is wrong.
    """
    given = os.environ if environment is None else environment
    problems = [*_unknown_names(given), *_broken_json(given)]
    if problems:
        raise SettingsError(" ".join(problems))
    try:
        return Settings() if environment is None else _GivenSettings(**_values(environment))
    except ValidationError as error:
        raise SettingsError(" ".join(_sentences(error, given))) from error


def _values(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of an environment by section and name, lists read as JSON."""
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in environment.items()}
    return source()


def known_names() -> dict[str, str]:
    """Return every environment variable that is understood, with its description."""
    names = {}
    for section, name, field in _fields():
        if name != "client":
            names[f"{PREFIX}{section}__{name}".upper()] = field.description or ""
    return names


def secret_names() -> frozenset[str]:
    """Return the environment variables whose values are secret, those of `kafka.client` apart."""
    return frozenset(
        f"{PREFIX}{section}__{name}".upper()
        for section, name, field in _fields()
        if name != "client" and SecretStr in get_args(field.annotation)
    )


def _fields() -> Iterator[tuple[str, str, Any]]:
    for section, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, inner in kind.model_fields.items():
                yield section, name, inner


def _unknown_names(environment: Mapping[str, str]) -> Iterator[str]:
    # pydantic-settings passes over a misspelt section silently, so the prefix is scanned here.
    known = known_names()
    for name in sorted(environment):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known or upper in _FOREIGN:
            continue
        if upper.startswith(f"{PREFIX}KAFKA__CLIENT__"):
            continue
        near = difflib.get_close_matches(upper, known, n=1, cutoff=0.8)
        hint = f"did you mean {near[0]}?" if near else "`labelwire check` lists all names."
        yield f"{name} is not a setting; {hint}"


def _broken_json(environment: Mapping[str, str]) -> Iterator[str]:
    """Say which lists are not JSON: pydantic-settings names the section only, and not as a validation error."""
    lists = {
        f"{PREFIX}{section}__{name}".upper()
        for section, name, field in _fields()
        if get_origin(field.annotation) is tuple
    }
    for name in sorted(environment):
        if name.upper() in lists:
            try:
                json.loads(environment[name])
            except ValueError as error:
                yield f"{name}={environment[name]!r}: is not JSON ({error}); give a list such as [1, 2]."


def _sentences(error: ValidationError, environment: Mapping[str, str]) -> Iterator[str]:
    secrets = secret_names()
    for problem in error.errors(include_url=False):
        path = [str(part) for part in problem["loc"]]
        name = PREFIX + "__".join(path).upper()
        is_secret = path[:2] == ["kafka", "client"] or PREFIX + "__".join(path[:2]).upper() in secrets
        hidden = is_secret or name not in environment
        value = "" if hidden else f"={environment[name]!r}"
        yield f"{name}{value}: {problem['msg'].removeprefix('Value error, ')}."


def effective(settings: Settings) -> dict[str, str]:
    """Return every setting by its environment name, secrets hidden."""
    shown = {}
    for section, name, _ in _fields():
        value = getattr(getattr(settings, section), name)
        key = f"{PREFIX}{section}__{name}".upper()
        if name == "client":
            shown.update({f"{key}__{option.upper().replace('.', '_')}": "(hidden)" for option in sorted(value)})
        else:
            shown[key] = _shown(value)
    return shown


def _shown(value: object) -> str:
    """Return a value as the environment has to say it."""
    if isinstance(value, SecretStr):
        return "(hidden)"
    if isinstance(value, tuple):
        return json.dumps(value, default=str)
    return "" if value is None else str(value)
