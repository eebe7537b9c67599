"""A folder and a real S3 server."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.blob.https_server import make_certificate
from tests.adapters.blob.versitygw import GATEWAY, Certificate, S3Gateway
from tests.go_tools import demand_go_tool
from tests.registry.registries import Place, ReadOnly
from worker.adapters.blob.object_folder import ObjectFolder


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def gateway(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Gateway]:
    demand_go_tool(GATEWAY)
    with S3Gateway(certificate, run_dir=tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(gateway: S3Gateway, certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Place:
    for variable, value in gateway.environment.items():
        monkeypatch.setenv(variable, value)
    name = f"models-{uuid.uuid4().hex[:8]}"
    authority = certificate.certificate.with_name("authority.pem")
    monkeypatch.setenv("LABELWIRE_BLOB__TLS_ROOT_CERTIFICATES", str(authority))
    bucket = gateway.make_bucket(name)
    return Place(f"s3://{name}/the/registry", bucket / "the" / "registry", authority.read_text("ascii"))


@pytest.fixture
def read_only(certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReadOnly]:
    demand_go_tool(GATEWAY)
    with S3Gateway(certificate, run_dir=tmp_path / "read-only-s3", is_read_only=True) as server:

        def served(place: Place) -> Place:
            folder = server.make_bucket("models") / "r"
            shutil.copytree(place.path, folder)
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.environment["AWS_ENDPOINT_URL"])
            return Place("s3://models/r", folder, place.root_certificates)

        yield served


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.real)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Place(str(tmp_path / "registry"), tmp_path / "registry")
    s3: Place = request.getfixturevalue("s3")
    return s3


@pytest.fixture
def registry(place: Place) -> ObjectFolder:
    return place.open()
