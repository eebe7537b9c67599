"""What servers do to a fetch, over https and as object stores: it ends soon, with its code, and tells no secret."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.adapters.blob.https_server import (
    Behavior,
    HttpsServer,
    chunked,
    claim,
    drip,
    drip_headers,
    give,
    in_turn,
    make_certificate,
    reset,
    silence,
    status,
)
from tests.adapters.blob.versitygw import Certificate
from tests.contracts.blob_stores import MAX_BYTES, settings
from worker.adapters.blob.store import UriStore
from worker.domain.errors import ErrorCode, JobError, SettingsError
from worker.domain.uri import PictureUri

PICTURE = bytes(range(256)) * 300
PATH = "/labels/in/a.png"
UNAVAILABLE, TOO_LARGE = ErrorCode.URI_UNAVAILABLE, ErrorCode.IMAGE_TOO_LARGE
FORBIDDEN, NOT_FOUND = ErrorCode.URI_FORBIDDEN, ErrorCode.URI_NOT_FOUND


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def shared_server(certificate: Certificate) -> Iterator[HttpsServer]:
    with HttpsServer(certificate) as server:
        yield server


@pytest.fixture
def server(shared_server: HttpsServer) -> HttpsServer:
    shared_server.forget()
    return shared_server


@pytest.fixture
def authority(certificate: Certificate) -> Path:
    return certificate.certificate.with_name("authority.pem")


class Client:
    """A store and a URI on the server, and what became of a fetch."""

    def __init__(self, store: UriStore, uri: str) -> None:
        self.store = store
        self.uri = uri
        self.asked_room: list[int] = []

    async def fetch(self, uri: str = "") -> bytes:
        return await self.store.fetch(PictureUri.parse(uri or self.uri), self._reserve_memory)

    async def failure(self, uri: str = "") -> ErrorCode:
        with pytest.raises(JobError) as raised:
            await self.fetch(uri)
        error = raised.value
        assert error.message.endswith(".")
        shown = f"{error.message} {error.__cause__} {error.__context__ if not error.__suppress_context__ else ''}"
        assert "hunter2" not in shown
        assert "AWS4-HMAC" not in shown
        return error.code

    async def _reserve_memory(self, size_bytes: int) -> None:
        self.asked_room.append(size_bytes)
        await asyncio.sleep(0)


@pytest.fixture
def timeout_seconds() -> float:
    """Long enough for a machine that has other things to do."""
    return 20.0


@pytest.fixture
async def https(server: HttpsServer, authority: Path, timeout_seconds: float) -> AsyncIterator[Client]:
    base = f"https://localhost:{server.port}"
    prefixes, seconds = (f"{base}/labels/in/",), timeout_seconds
    async with UriStore(settings(prefixes, authority, timeout_seconds=seconds)) as store:
        yield Client(store, f"{base}{PATH}?signature=hunter2")
        # A connection of TLS that was given up stays until the server ends it, too.
        server.forget()


@pytest.fixture
async def s3(
    server: HttpsServer, authority: Path, timeout_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://localhost:{server.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "labelwire")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    async with UriStore(settings(("s3://labels/in/",), authority, timeout_seconds=timeout_seconds)) as store:
        yield Client(store, "s3://labels/in/a.png")


@pytest.fixture(params=["https", "s3"])
def client(request: pytest.FixtureRequest) -> Client:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Client)
    return found


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
async def test_a_server_that_says_later_is_asked_again_once_and_may_then_give(
    server: HttpsServer, client: Client, code: int
) -> None:
    server.behave(PATH, in_turn(status(code), give(PICTURE)))
    assert await client.fetch() == PICTURE
    assert server.asked(PATH) == 2
    server.behave(PATH, status(code))
    assert await client.failure() is UNAVAILABLE
    assert server.asked(PATH) == 4


@pytest.mark.parametrize("code", [400, 401, 403, 451])
async def test_a_refusal_is_for_ever_over_https_where_the_worker_has_no_credentials(
    server: HttpsServer, https: Client, code: int
) -> None:
    server.behave(PATH, status(code))
    assert await https.failure() is FORBIDDEN
    assert server.asked(PATH) == 1


@pytest.mark.parametrize("code", [401, 403])
async def test_a_refusal_by_an_object_store_may_pass_with_other_credentials(
    server: HttpsServer, s3: Client, code: int
) -> None:
    server.behave(PATH, status(code))
    assert await s3.failure() is UNAVAILABLE


async def test_what_is_gone_is_not_found(server: HttpsServer, https: Client) -> None:
    server.behave(PATH, status(410))
    assert await https.failure() is NOT_FOUND
    assert await https.failure(https.uri.replace("a.png", "b.png")) is NOT_FOUND


@pytest.mark.parametrize("timeout_seconds", [0.6])
@pytest.mark.parametrize(
    "behavior",
    [drip(90_000), drip_headers, silence, in_turn(status(503), drip(90_000))],
    ids=["body", "headers", "silence", "second"],
)
async def test_a_slow_server_ends_with_the_time_for_the_whole(
    server: HttpsServer, client: Client, behavior: Behavior, timeout_seconds: float
) -> None:
    server.behave(PATH, behavior)
    begun = time.monotonic()
    assert await client.failure() is UNAVAILABLE
    assert timeout_seconds <= time.monotonic() - begun < 5  # each of them would take ten seconds and more


@pytest.mark.parametrize(
    ("behavior", "code", "rooms"),
    [
        (claim(10 * len(PICTURE), b"short"), TOO_LARGE, []),
        (claim(2**62, PICTURE), TOO_LARGE, []),
        (claim(len(PICTURE) + 1, PICTURE), UNAVAILABLE, [len(PICTURE) + 1]),
    ],
    ids=["ten times", "huge", "one more"],
)
async def test_a_length_that_lies_is_found_out(
    server: HttpsServer, client: Client, behavior: Behavior, code: ErrorCode, rooms: list[int]
) -> None:
    server.behave(PATH, behavior)
    assert await client.failure() is code
    assert client.asked_room == (2 * rooms if code is UNAVAILABLE else rooms)


async def test_more_than_the_claimed_length_is_not_taken(server: HttpsServer, client: Client) -> None:
    server.behave(PATH, claim(1000, PICTURE))
    # A client may also refuse an answer that is followed by what nobody asked for.
    (came,) = await asyncio.gather(client.fetch(), return_exceptions=True)
    assert came == PICTURE[:1000] or (isinstance(came, JobError) and came.code is UNAVAILABLE)
    assert set(client.asked_room) <= {1000}


async def test_without_a_length_there_is_room_for_the_limit_and_no_more_is_taken(
    server: HttpsServer, https: Client
) -> None:
    server.behave(PATH, chunked(PICTURE))
    assert await https.fetch() == PICTURE
    assert https.asked_room == [MAX_BYTES]
    server.behave(PATH, chunked(PICTURE, endless=True))
    assert await https.failure() is TOO_LARGE
    assert https.asked_room == [MAX_BYTES] * 2


@pytest.mark.parametrize("cut", [reset(), reset(PICTURE)], ids=["before", "within"])
async def test_a_connection_that_is_cut_off_is_made_again(server: HttpsServer, client: Client, cut: Behavior) -> None:
    server.behave(PATH, in_turn(cut, give(PICTURE)))
    assert await client.fetch() == PICTURE
    server.behave(PATH, cut)
    assert await client.failure() is UNAVAILABLE


async def test_what_comes_compressed_is_refused_and_nothing_is_decompressed(
    server: HttpsServer, client: Client
) -> None:
    server.behave(PATH, give(b"\x1f\x8b" + bytes(100), Content_Encoding="gzip"))
    assert await client.failure() is ErrorCode.IMAGE_UNSUPPORTED
    assert client.asked_room == []


async def test_a_server_that_is_away_is_unavailable(client: Client, server: HttpsServer) -> None:
    server.behave(PATH, give(PICTURE))
    server.refuse()
    try:
        assert await client.failure() is UNAVAILABLE
    finally:
        server.listen()
    assert await client.fetch() == PICTURE


async def test_a_server_that_nobody_vouches_for_is_not_believed(server: HttpsServer) -> None:
    server.behave(PATH, give(PICTURE))
    base = f"https://localhost:{server.port}"
    async with UriStore(settings((f"{base}/labels/in/",), None)) as store:
        assert await Client(store, f"{base}{PATH}").failure() is UNAVAILABLE
    assert server.asked(PATH) == 0


# Redirects and addresses.

Location = Callable[[int], str]


async def test_redirects_are_followed_to_what_is_allowed_three_times(server: HttpsServer, https: Client) -> None:
    for number in range(4):
        server.behave(f"/labels/in/{number}", status(302, Location=f"{number + 1}?x=1"))
    server.behave("/labels/in/4", give(PICTURE))
    base = https.uri.partition("a.png")[0]
    assert await https.fetch(f"{base}1") == PICTURE
    assert await https.failure(f"{base}0") is FORBIDDEN
    assert server.asked("/labels/in/4") == 1


@pytest.mark.parametrize(
    "location",
    [
        lambda _: "/private/a.png",
        lambda _: "../private/a.png",
        lambda _: "%2e%2e/private/a.png",
        lambda port: f"https://127.0.0.1:{port}/labels/in/b.png",
        lambda port: f"https://[::ffff:127.0.0.1]:{port}/private/a.png",
        lambda port: f"//127.0.0.1:{port}/private/a.png",
        lambda port: f"http://localhost:{port}/labels/in/b.png",
        lambda port: f"https://user@localhost:{port}/labels/in/b.png",
        lambda _: "https://169.254.169.254/latest/meta-data/",
        lambda _: "file:///etc/passwd",
        lambda _: "s3://labels/in/b.png",
        lambda _: "https://[/",
        lambda _: "",
    ],
)
async def test_a_redirect_to_anywhere_else_is_not_followed(
    server: HttpsServer, https: Client, location: Location
) -> None:
    for path in ("/private/a.png", "/labels/in/b.png"):
        server.behave(path, give(PICTURE))
    server.behave(PATH, status(302, Location=location(server.port)))
    assert await https.failure() is FORBIDDEN
    assert server.asked("/private/a.png") == server.asked("/labels/in/b.png") == 0


async def test_a_redirect_to_an_allowed_prefix_on_a_private_address_is_not_followed(
    server: HttpsServer, authority: Path
) -> None:
    base, private = f"https://localhost:{server.port}", f"https://127.0.0.2:{server.port}"
    server.behave(PATH, status(302, Location=f"{private}/inside/a.png"))
    server.behave("/inside/a.png", give(PICTURE))
    prefixes = (f"{base}/labels/in/", f"{private}/inside/")
    async with UriStore(settings(prefixes, authority)) as store:
        assert await Client(store, f"{base}{PATH}").failure() is FORBIDDEN
    assert (server.asked(PATH), server.asked("/inside/a.png")) == (1, 0)
    async with UriStore(settings(prefixes, authority, private_networks=["127.0.0.0/8", "::1/128"])) as store:
        assert await Client(store, f"{base}{PATH}").fetch() == PICTURE


async def test_a_redirect_to_an_allowed_prefix_of_another_scheme_is_not_followed(
    server: HttpsServer, authority: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    base = f"https://localhost:{server.port}"
    server.behave(PATH, status(302, Location=f"file://{tmp_path}/a.png"))
    async with UriStore(settings((f"{base}/labels/in/", f"file://{tmp_path}/"), authority)) as store:
        assert await Client(store, f"{base}{PATH}").failure() is FORBIDDEN


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]"])
async def test_a_private_address_is_not_reached_unless_its_network_is_named(
    server: HttpsServer, authority: Path, host: str
) -> None:
    server.behave(PATH, give(PICTURE))
    base = f"https://{host}:{server.port}"
    async with UriStore(settings((f"{base}/labels/in/",), authority, private_networks=["10.0.0.0/8"])) as store:
        assert await Client(store, f"{base}{PATH}").failure() is FORBIDDEN
    assert server.asked(PATH) == 0


async def test_nothing_of_the_environment_goes_along(
    server: HttpsServer, https: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login user password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    server.behave("/labels/in/0", status(302, Location=PATH, Set_Cookie="id=1; Path=/"))
    server.behave(PATH, give(PICTURE))
    assert await https.fetch(https.uri.replace("a.png", "0")) == PICTURE
    names = {name.lower() for sent in server.headers_seen for name in sent}
    assert names == {"host", "accept", "accept-encoding", "user-agent"}


# What is told at the start.


@pytest.mark.parametrize("content", [None, b"no certificate", b"\xff"])
def test_certificates_that_are_none_are_told_at_the_start(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(SettingsError, match=r"TLS_ROOT_CERTIFICATES='.*ca.pem' is no PEM file"):
        UriStore(settings((), tmp_path / "ca.pem"))


def test_a_bucket_that_cannot_be_used_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match=r"allows az://labels/, which cannot be used: .*ccount"):
        UriStore(settings(("az://labels/",), None))
