"""What is wrong with the TLS of a Triton is told apart, and is over by itself once the server is mended."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from tests.adapters.blob.https_server import make_certificate, make_dated_certificate
from tests.adapters.blob.versitygw import Certificate
from tests.adapters.triton.triton_servicer import MODEL, ScriptedTriton
from worker.adapters.clock import SystemClock
from worker.adapters.triton.client import TritonBackend
from worker.domain.errors import ErrorCode, JobError
from worker.settings import TritonSettings
from worker.testing.clock import ManualClock
from worker.testing.events import RecordedEvents

DAY = timedelta(days=1)
NOW = datetime.now(UTC)
SETTING = "LABELWIRE_TRITON__"


@pytest.fixture
def sound(tmp_path: Path) -> Certificate:
    """A certificate for localhost; its authority is beside it."""
    return make_certificate(tmp_path, "DNS:localhost")


def shown(made: Certificate, *, asks_clients: bool = False) -> grpc.ServerCredentials:
    """Return the credentials of a server that shows a certificate, and may ask its clients for theirs."""
    authority = (made.certificate.parent / "authority.pem").read_bytes() if asks_clients else None
    return grpc.ssl_server_credentials(
        [(made.key.read_bytes(), made.certificate.read_bytes())], authority, asks_clients
    )


async def trouble(credentials: grpc.ServerCredentials | None, host: str = "localhost", **settings: object) -> str:
    """Return what a worker with these settings says of a server with these credentials; empty if it is ready."""
    triton = ScriptedTriton()
    triton.host = "localhost"  # both of its addresses, because gRPC tells what is wrong with one of them alone
    triton.credentials = credentials
    async with triton:
        chosen = TritonSettings.model_validate({"url": f"{host}:{triton.port}", "tls": True, **settings})
        backend = TritonBackend(chosen, RecordedEvents(), SystemClock())
        try:
            if await backend.ready():
                assert backend.obstacle() == ""
                return ""
            sentence = backend.obstacle()
            with pytest.raises(JobError) as raised:
                await backend.describe(MODEL)
            assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE
            # Requests get the same remedy as the check.
            assert raised.value.message.rpartition("; ")[2] == sentence.rpartition("; ")[2]
            return sentence
        finally:
            await backend.close()


async def test_what_is_wrong_is_told_apart(sound: Certificate, tmp_path: Path) -> None:
    folder = tmp_path / "stranger"
    folder.mkdir()
    stranger = make_certificate(folder, "DNS:localhost")
    expired = make_dated_certificate(tmp_path, NOW - 3 * DAY, NOW - DAY)
    early = make_dated_certificate(tmp_path, NOW + DAY, NOW + 3 * DAY)
    roots = {"tls_root_certificates": str(tmp_path / "authority.pem")}
    own = roots | {"tls_private_key": str(sound.key), "tls_certificate_chain": str(sound.certificate)}
    old = roots | {"tls_private_key": str(expired.key), "tls_certificate_chain": str(expired.certificate)}
    asking = shown(sound, asks_clients=True)
    assert await trouble(shown(sound), **roots) == ""
    assert await trouble(asking, **own) == ""
    troubles = {
        "expired": await trouble(shown(expired), **roots),
        "early": await trouble(shown(early), **roots),
        "another name": await trouble(shown(sound), host="127.0.0.1", **roots),
        "a stranger's": await trouble(shown(stranger), **roots),
        "unknown authority": await trouble(shown(sound)),
        "no TLS there": await trouble(None, **roots),
        "no TLS here": await trouble(shown(sound), tls=False),
        "none of its own": await trouble(asking, **roots),
        "an old one of its own": await trouble(asking, **old),
        "another key": await trouble(asking, **{**own, "tls_private_key": str(stranger.key)}),
    }
    remedies = {
        "expired": "renew Triton's certificate, or that of its authority",
        "early": "or give Triton a certificate that has begun.",
        "another name": f"use a name that Triton's certificate holds in {SETTING}URL='127.0.0.1:",
        "a stranger's": f"that is trusted here, so check {SETTING}TLS_ROOT_CERTIFICATES='{tmp_path}/authority.pem'.",
        "unknown authority": f"that is trusted here, so check {SETTING}TLS_ROOT_CERTIFICATES, which is not set.",
        "no TLS there": f"the server there does not speak TLS, so check {SETTING}TLS=true and {SETTING}URL=",
        "no TLS here": f"if it speaks TLS, set {SETTING}TLS=true.",
        "none of its own": f"if it wants a certificate of its clients, set {SETTING}TLS_CERTIFICATE_CHAIN and",
        "an old one of its own": f"may refuse this worker's certificate, {SETTING}TLS_CERTIFICATE_CHAIN='{tmp_path}",
        "another key": f"{SETTING}TLS_PRIVATE_KEY are whole and fit together.",
    }
    assert troubles.keys() == remedies.keys()
    for name, remedy in remedies.items():
        assert troubles[name].startswith("Triton at "), name
        assert remedy in troubles[name], (name, troubles[name])
        assert "\n" not in troubles[name]


async def test_files_that_are_no_pair_are_named(sound: Certificate, tmp_path: Path) -> None:
    (tmp_path / "garbage.pem").write_text("nothing")
    sentence = await trouble(shown(sound), tls_root_certificates=str(tmp_path / "garbage.pem"))
    assert f"check that {SETTING}TLS_ROOT_CERTIFICATES='{tmp_path}/garbage.pem'" in sentence


async def test_a_certificate_that_is_renewed_on_the_server_ends_it(sound: Certificate, tmp_path: Path) -> None:
    expired = make_dated_certificate(tmp_path, NOW - 3 * DAY, NOW - DAY)
    triton = ScriptedTriton()
    triton.host = "localhost"
    triton.credentials = shown(expired)
    async with triton:
        roots = str(tmp_path / "authority.pem")
        settings = TritonSettings(url=f"localhost:{triton.port}", tls=True, tls_root_certificates=roots)
        backend = TritonBackend(settings, RecordedEvents(), SystemClock())
        assert not await backend.ready()
        assert "has expired" in backend.obstacle()
        await triton.stop()
        triton.credentials = shown(sound)
        await triton.start()
        async with asyncio.timeout(10):
            while not await backend.ready():  # noqa: ASYNC110 - the server says nothing of itself
                await asyncio.sleep(0.1)
        assert backend.obstacle() == ""
        await backend.close()


async def test_an_address_where_nobody_listens_does_not_hide_what_is_wrong_with_another(
    sound: Certificate, tmp_path: Path
) -> None:
    """`localhost` leads to an address of each family, and gRPC tells of one, then of the other."""
    assert sound.certificate.is_file()
    triton = ScriptedTriton()
    triton.credentials = shown(make_dated_certificate(tmp_path, NOW - 3 * DAY, NOW - DAY))
    async with triton:
        roots = str(tmp_path / "authority.pem")
        settings = TritonSettings(url=f"localhost:{triton.port}", tls=True, tls_root_certificates=roots)
        backend = TritonBackend(settings, RecordedEvents(), SystemClock())
        async with asyncio.timeout(20):
            while "has expired" not in backend.obstacle():
                assert not await backend.ready()
        for _ in range(10):
            assert not await backend.ready()
            assert "has expired" in backend.obstacle()
            await asyncio.sleep(0.1)
        await backend.close()


async def test_a_server_that_is_gone_is_told_once_its_certificate_is_forgotten(
    sound: Certificate, tmp_path: Path
) -> None:
    assert sound.certificate.is_file()
    triton, clock = ScriptedTriton(), ManualClock()
    triton.host = "localhost"
    triton.credentials = shown(make_dated_certificate(tmp_path, NOW - 3 * DAY, NOW - DAY))
    await triton.start()
    roots = str(tmp_path / "authority.pem")
    settings = TritonSettings(url=f"localhost:{triton.port}", tls=True, tls_root_certificates=roots)
    backend = TritonBackend(settings, RecordedEvents(), clock)
    assert not await backend.ready()
    await triton.stop()
    async with asyncio.timeout(20):
        while "Connection refused" not in backend.obstacle():
            clock.advance(20)
            assert not await backend.ready()
            await asyncio.sleep(0.1)
    await backend.close()


async def test_a_server_that_answers_and_is_not_ready_is_named() -> None:
    triton = ScriptedTriton()
    triton.is_ready = False
    async with triton:
        backend = TritonBackend(TritonSettings(url=triton.address), RecordedEvents(), SystemClock())
        assert not await backend.ready()
        assert backend.obstacle() == (
            f"Triton at {triton.address} is not ready: see in its log which model it loads, or cannot load."
        )
        await backend.close()
