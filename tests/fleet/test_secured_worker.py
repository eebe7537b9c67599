"""A worker between a Kafka with users, rights and TLS, and a Triton with TLS; and what keeps it from its work there."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.adapters.blob.https_server import make_certificate
from tests.adapters.blob.versitygw import Certificate
from tests.adapters.kafka.secured_broker import SecuredKafka
from tests.fleet.test_three_workers import picture
from tests.fleet.workers import Fleet, WorkerProcess, read_until, wait_until
from tests.real_kafka import demand_real_kafka
from worker.adapters.kafka.acls import Right, Role, role_rights
from worker.audit.run import audit
from worker.domain.records import OutgoingRecord
from worker.domain.result import LabelText
from worker.local.triton import TritonServer
from worker.settings import KafkaSettings, Settings, TopicSettings

JOBS = 200
USER, PASSWORD = "ocr-worker", "correct horse battery staple"


class SecuredTriton(TritonServer):
    """A Triton with TLS, which asks its clients for a certificate as well."""

    def __init__(self, repository: Path, run_dir: Path, shown: Certificate, authority: Path) -> None:
        arguments = [
            "--grpc-use-ssl=true",
            "--grpc-use-ssl-mutual=true",
            f"--grpc-server-cert={shown.certificate}",
            f"--grpc-server-key={shown.key}",
            f"--grpc-root-cert={authority}",
        ]
        super().__init__(repository, run_dir=run_dir, arguments=arguments)
        self.shown = shown
        self.authority = authority

    @property
    def url(self) -> str:
        """The address for which its certificate is."""
        return self.grpc_url.replace("127.0.0.1", "localhost")


class Deployment:
    """A Kafka and a Triton that are secured, and the workers between them."""

    def __init__(self, kafka: SecuredKafka, triton: SecuredTriton, folder: Path) -> None:
        self.kafka = kafka
        self.triton = triton
        self.fleet = Fleet(kafka.bootstrap_servers, triton.url, folder)

    @property
    def settings(self) -> Settings:
        """The settings of whoever may do everything."""
        fleet = self.fleet
        topics = TopicSettings(
            jobs=fleet.jobs_topic, results=fleet.results_topic, dead_letters=fleet.dead_letters_topic
        )
        kafka = KafkaSettings(bootstrap_servers=self.kafka.bootstrap_servers, group_id=fleet.prefix)
        return Settings(kafka=kafka, topics=topics)

    def rights(self) -> list[Right]:
        return [right for right in role_rights(self.settings, Role.WORKER).rights if not right.optional]

    def add_worker(self, **more: str) -> WorkerProcess:
        return self.fleet.add_worker(
            **{
                "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": f"localhost:{self.kafka.tls_port}",
                "LABELWIRE_KAFKA__CLIENT__SECURITY_PROTOCOL": "SASL_SSL",
                "LABELWIRE_KAFKA__CLIENT__SASL_MECHANISMS": "SCRAM-SHA-512",
                "LABELWIRE_KAFKA__CLIENT__SASL_USERNAME": USER,
                "LABELWIRE_KAFKA__CLIENT__SASL_PASSWORD": PASSWORD,
                "LABELWIRE_KAFKA__CLIENT__SSL_CA_LOCATION": str(self.kafka.authority),
                "LABELWIRE_TRITON__TLS": "true",
                "LABELWIRE_TRITON__TLS_ROOT_CERTIFICATES": str(self.triton.authority),
                "LABELWIRE_TRITON__TLS_CERTIFICATE_CHAIN": str(self.triton.shown.certificate),
                "LABELWIRE_TRITON__TLS_PRIVATE_KEY": str(self.triton.shown.key),
                "LABELWIRE_LOG__FORMAT": "json",
                **more,
            }
        )


@pytest.fixture(scope="module")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    demand_real_kafka()
    with SecuredKafka(run_dir=tmp_path_factory.mktemp("secured-kafka")) as server:
        server.add_scram_user(USER, PASSWORD)
        yield server


@pytest.fixture(scope="module")
def secured_triton(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredTriton]:
    folder = tmp_path_factory.mktemp("secured-triton")
    made = make_certificate(folder, "DNS:localhost")
    with SecuredTriton(model_repository, folder, made, folder / "authority.pem") as server:
        yield server


@pytest.fixture
def deployment(secured_kafka: SecuredKafka, secured_triton: SecuredTriton, tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(secured_kafka, secured_triton, tmp_path)
    deployment.fleet.create_topics()
    secured_kafka.grant(deployment.rights(), USER)
    yield deployment
    deployment.fleet.stop()
    secured_kafka.take(deployment.rights(), USER)


def job(fleet: Fleet, number: int) -> OutgoingRecord:
    name = f"job-{number}".encode()
    return OutgoingRecord(fleet.jobs_topic, name, picture(number), (("content-type", b"image/png"), ("job-id", name)))


@pytest.mark.real
@pytest.mark.timeout(300)
def test_every_job_is_done_behind_users_rights_and_tls_and_a_right_may_come_later(deployment: Deployment) -> None:
    fleet, settings = deployment.fleet, deployment.settings
    (late,) = (
        right for right in deployment.rights() if (right.operation, right.name) == ("Write", fleet.results_topic)
    )
    deployment.kafka.take([late], USER)
    worker = deployment.add_worker()
    fleet.submit(*(job(fleet, number) for number in range(JOBS)))
    wait_until(lambda: f"user {USER!r} Write topic {fleet.results_topic}: grant it" in worker.probe("/readyz")[1])
    deployment.kafka.grant([late], USER)
    wait_until(lambda: worker.probe("/readyz")[0] == 200)
    with fleet.reader(fleet.results_topic, fleet.dead_letters_topic) as reader:
        read_until(reader, lambda seen: len(seen) >= JOBS, 240)
    assert worker.terminate() == 0
    report = audit(settings.kafka, settings.topics)
    assert (report.jobs, report.completed, report.lost, report.pending) == (JOBS, JOBS, 0, 0)
    assert report.is_sound
    assert PASSWORD not in worker.log_path.read_text()


@pytest.mark.real
@pytest.mark.timeout(300)
def test_what_keeps_a_worker_from_its_servers_is_said_by_each_and_ends_none(
    deployment: Deployment, tmp_path: Path
) -> None:
    kafka = deployment.kafka
    client, triton = "LABELWIRE_KAFKA__CLIENT__", "LABELWIRE_TRITON__"
    stranger = make_certificate(tmp_path, "DNS:localhost")
    plain_tls = {f"{client}SECURITY_PROTOCOL": "SSL"}
    url = deployment.triton.url.replace("localhost", "127.0.0.1")
    cases = {
        "password": ({f"{client}SASL_PASSWORD": "guessed"}, f"topics: Kafka refuses user {USER!r} at localhost:"),
        "name": (
            {"LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.tls_port}"},
            f"topics: The certificate of Kafka at 127.0.0.1:{kafka.tls_port} is for another host name",
        ),
        "expired": (
            {"LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": f"localhost:{kafka.expired_port}", **plain_tls},
            f"topics: The certificate of Kafka at localhost:{kafka.expired_port}, or of its authority, has expired",
        ),
        "triton's name": ({f"{triton}URL": url}, f"use a name that Triton's certificate holds in {triton}URL={url!r}."),
        "triton's authority": (
            {f"{triton}TLS_ROOT_CERTIFICATES": str(tmp_path / "authority.pem")},
            f"so check {triton}TLS_ROOT_CERTIFICATES='{tmp_path}/authority.pem'.",
        ),
        "own certificate": (
            {
                f"{triton}TLS_CERTIFICATE_CHAIN": str(stranger.certificate),
                f"{triton}TLS_PRIVATE_KEY": str(stranger.key),
            },
            f"it may refuse this worker's certificate, {triton}TLS_CERTIFICATE_CHAIN='{stranger.certificate}'",
        ),
    }
    workers = {name: deployment.add_worker(**environment) for name, (environment, _) in cases.items()}
    for name, (_, sentence) in cases.items():
        wait_until(lambda name=name, sentence=sentence: sentence in workers[name].probe("/readyz")[1])  # type: ignore[misc]
    time.sleep(3)  # long enough for a few more checks
    for name, (_, sentence) in cases.items():
        worker, log = workers[name], workers[name].log_path.read_text()
        assert worker.process.poll() is None, name
        assert worker.probe("/livez")[0] == 200, name
        assert worker.probe("/readyz")[0] == 503, name
        assert sentence in log, name
        assert log.count(sentence) <= 5, (name, "it is said when it changes, and not at every check")
        assert "guessed" not in log
        assert PASSWORD not in log
        assert worker.terminate() == 0, name


@pytest.mark.real
@pytest.mark.timeout(300)
def test_no_secret_and_no_text_of_a_label_is_written_while_it_works_and_while_all_of_it_fails(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Each secret is a canary that is looked for in all that the worker and the commands write."""
    fleet, client = deployment.fleet, "LABELWIRE_KAFKA__CLIENT__"
    key = tmp_path / "locked-key.pem"
    canaries = {
        name: f"canary-{name}-5b1e" for name in ("cache", "signing", "s3", "session", "oauth", "locked", "signature")
    }
    lock = ["pkcs8", "-topk8", "-in", str(deployment.triton.shown.key), "-out", str(key)]
    subprocess.run(["openssl", *lock, "-passout", f"pass:{canaries['locked']}"], check=True)
    environment = {
        f"{client}SSL_CERTIFICATE_PEM": deployment.triton.shown.certificate.read_text(),
        f"{client}SSL_KEY_PEM": key.read_text(),
        f"{client}SSL_KEY_PASSWORD": canaries["locked"],
        f"{client}SASL_OAUTHBEARER_CLIENT_SECRET": canaries["oauth"],
        f"{client}DEBUG": "conf,security",
        "LABELWIRE_CACHE__BACKEND": "redis",
        "LABELWIRE_CACHE__URL": f"redis://user:{canaries['cache']}@127.0.0.1:9/0",
        "LABELWIRE_CACHE__SECRET": canaries["signing"],
        "LABELWIRE_BLOB__ALLOWED_PREFIXES": '["s3://labels/", "https://127.0.0.1/"]',
        "LABELWIRE_LOG__LEVEL": "debug",
        "LABELWIRE_RUNTIME__RETRY_DELAYS_SECONDS": "[0.5, 0.5, 0.5]",
        "AWS_ACCESS_KEY_ID": "labels",
        "AWS_SECRET_ACCESS_KEY": canaries["s3"],
        "AWS_SESSION_TOKEN": canaries["session"],
        "AWS_ENDPOINT": "https://127.0.0.1:9",
        "AWS_REGION": "eu",
    }
    # The lines of the key's body, and the password, are secrets as well.
    secrets = {*canaries.values(), PASSWORD, *key.read_text().splitlines()[1:-1]}
    signed = f"https://127.0.0.1/label.png?X-Amz-Signature={canaries['signature']}"
    uris = [json.dumps({"image_uri": uri}).encode() for uri in ("s3://labels/label.png", signed)]
    bad = [b"no picture", b'{"image_base64": "!"}', *uris]
    worker = deployment.add_worker(**environment)
    wrong = deployment.add_worker(**environment, **{f"{client}SASL_PASSWORD": "canary-wrong-5b1e"})
    secrets.add("canary-wrong-5b1e")
    fleet.submit(job(fleet, 1), *(OutgoingRecord(fleet.jobs_topic, b"bad", value, ()) for value in bad))
    with fleet.reader(fleet.results_topic, fleet.dead_letters_topic) as reader:
        records = read_until(reader, lambda seen: len(seen) >= 1 + len(bad), 120)
    wait_until(lambda: f"Kafka refuses user {USER!r}" in wrong.probe("/readyz")[1])
    written = {
        "probes": "".join(
            each.probe(path)[1] for each in (worker, wrong) for path in ("/livez", "/readyz", "/metrics")
        ),
        "arguments": "".join(_arguments_of(each.process.pid) for each in (worker, wrong)),
        "headers": str([record.headers for record in records]),
    }
    for each, arguments in (
        (worker, ["check", "--json"]),
        (worker, ["dlq", "ls", "--json"]),
        (wrong, ["check", "--connect"]),
    ):
        written[f"{' '.join(arguments)}, {each.log_path.name}"] = _output(arguments, each.environment)
    assert (worker.terminate(), wrong.terminate()) == (0, 0)
    for each in (worker, wrong):
        written[each.log_path.name] = each.log_path.read_text()
    for failure in ("cache of readings asked", "URI_UNAVAILABLE", "URI_FORBIDDEN", "JOB_INVALID"):
        assert failure in written["worker-0.log"]
    assert "[redacted]" in written["worker-0.log"], "librdkafka has told its configuration"
    found = {(where, secret) for where, text in written.items() for secret in secrets if secret in text}
    assert found == set()
    (result,) = (record for record in records if record.coordinate.topic == fleet.results_topic)
    read = [line.text for page in LabelText.model_validate_json(result.value or b"").pages for line in page.lines]
    assert "BERLIN" in read
    assert [line for line in read for name in written if name.endswith(".log") and line in written[name]] == []


def _arguments_of(pid: int) -> str:
    """Return the arguments of a process and its children."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return " ".join(argument for process in processes for argument in process.cmdline())


def _output(arguments: list[str], environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "worker", *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return ended.stdout + ended.stderr
