"""A real https server that behaves as it is told, badly for the most part."""

import socket
import ssl
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tests.adapters.blob.versitygw import Certificate

Behavior = Callable[["Answer"], None]

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
# `openssl req` knows no certificate that has expired, or does not hold yet.
_AUTHORITY_CONFIG = """\
[ca]
default_ca = test
[test]
database = {folder}/index.txt
rand_serial = yes
new_certs_dir = {folder}
certificate = {folder}/authority.pem
private_key = {folder}/authority-key.pem
default_md = sha256
policy = any
x509_extensions = leaf
[any]
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
subjectAltName = {names}
"""


def make_certificate(folder: Path, names: str = "DNS:localhost,IP:127.0.0.1,IP:127.0.0.2") -> Certificate:
    """Return a certificate for these names; `authority.pem` beside it vouches for it."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    usage = "keyUsage=critical,keyCertSign"
    authority, authority_key = folder / "authority.pem", folder / "authority-key.pem"
    _openssl(authority, authority_key, "-subj", "/CN=test authority", "-addext", usage)
    issued_by = ["-CA", str(authority), "-CAkey", str(authority_key), "-addext", "basicConstraints=critical,CA:FALSE"]
    _openssl(made.certificate, made.key, "-subj", "/CN=localhost", "-addext", f"subjectAltName={names}", *issued_by)
    return made


def make_dated_certificate(folder: Path, begins: datetime, ends: datetime, names: str = "DNS:localhost") -> Certificate:
    """Return a certificate that holds from and to these times; `authority.pem` vouches for it.

    The authority is the one that `make_certificate` has made in the folder.
    """
    stem = f"dated-{begins:%Y%m%d}-{ends:%Y%m%d}"
    made = Certificate(folder / f"{stem}.pem", folder / f"{stem}-key.pem")
    request, config = folder / f"{stem}.csr", folder / f"{stem}.cnf"
    config.write_text(_AUTHORITY_CONFIG.format(folder=folder, names=names))
    (folder / "index.txt").write_text("")
    _run("req", "-new", *_KEY, "-keyout", str(made.key), "-out", str(request), "-subj", "/CN=localhost")
    dates = ("-startdate", f"{begins:%Y%m%d%H%M%SZ}", "-enddate", f"{ends:%Y%m%d%H%M%SZ}")
    files = ("-config", str(config), "-in", str(request), "-out", str(made.certificate))
    _run("ca", "-batch", "-notext", *dates, *files)
    return made


def _openssl(certificate: Path, key: Path, *options: str) -> None:
    _run("req", "-x509", *_KEY, "-days", "2", "-keyout", str(key), "-out", str(certificate), *options)


def _run(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Answer(BaseHTTPRequestHandler):
    """One request, answered by the behavior of its path."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked[path] += 1
        self.server.headers_seen.append(dict(self.headers))
        try:
            self.server.behaviors.get(path, status(404))(self)
        except (OSError, ValueError):
            self.close_connection = True

    def begin(self, code: int, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Last-Modified", "Tue, 01 Sep 2026 00:00:00 GMT")
        self.send_header("ETag", '"1"')
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(("0.0.0.0", 0), Answer)  # noqa: S104 - 127.0.0.1 and 127.0.0.2
        self.refuses = False
        self.over = threading.Event()
        self.behaviors: dict[str, Behavior] = {}
        self.asked: Counter[str] = Counter()
        self.headers_seen: list[dict[str, str]] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        # The handshake is left to the thread that answers.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def verify_request(self, *_: object) -> bool:
        return not self.refuses

    def handle_error(self, *_: object) -> None:
        """Clients that go away are what this server is for."""


class HttpsServer:
    """The server, in a thread."""

    def __init__(self, certificate: Certificate) -> None:
        self._server = _Server(certificate)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def behave(self, path: str, behavior: Behavior) -> None:
        self._server.behaviors[path] = behavior

    def forget(self) -> None:
        """End what is being answered, slowly or not at all, and forget how to behave."""
        self._server.over.set()
        self._server.over = threading.Event()
        self._server.behaviors.clear()
        self._server.asked.clear()
        self._server.headers_seen.clear()

    def refuse(self) -> None:
        """Cut each new connection off."""
        self._server.refuses = True

    def listen(self) -> None:
        """Take connections again."""
        self._server.refuses = False

    def asked(self, path: str) -> int:
        return self._server.asked[path]

    @property
    def headers_seen(self) -> list[dict[str, str]]:
        return self._server.headers_seen


# Behaviors.


def give(body: bytes, **headers: str) -> Behavior:
    def answer(request: Answer) -> None:
        request.begin(200, Content_Length=str(len(body)), **headers)
        request.wfile.write(body)

    return answer


def status(code: int, **headers: str) -> Behavior:
    def answer(request: Answer) -> None:
        request.begin(code, Content_Length="0", **headers)

    return answer


def in_turn(*behaviors: Behavior) -> Behavior:
    left = list(behaviors)

    def answer(request: Answer) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


def claim(size_bytes: int, body: bytes) -> Behavior:
    """Claim a length, give what there is, and end the connection."""

    def answer(request: Answer) -> None:
        request.begin(200, Content_Length=str(size_bytes))
        request.wfile.write(body)
        request.close_connection = True

    return answer


def chunked(body: bytes, *, endless: bool = False) -> Behavior:
    """Give the body without a length, once or without end."""

    def answer(request: Answer) -> None:
        request.begin(200, Transfer_Encoding="chunked")
        while True:
            request.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
            if not endless:
                break
        request.wfile.write(b"0\r\n\r\n")

    return answer


def drip(size_bytes: int) -> Behavior:
    """Give one byte after another, slowly."""

    def answer(request: Answer) -> None:
        request.begin(200, Content_Length=str(size_bytes))
        over = request.server.over
        for _ in range(size_bytes):
            request.wfile.write(b"x")
            if over.wait(0.05):
                break
        request.close_connection = True

    return answer


def drip_headers(request: Answer) -> None:
    """Give headers without end, slowly."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    over = request.server.over
    for number in range(200):
        request.wfile.write(b"X-%d: x\r\n" % number)
        if over.wait(0.05):
            break
    request.close_connection = True


def silence(request: Answer) -> None:
    """Answer nothing."""
    request.server.over.wait(10)
    request.close_connection = True


def reset(body: bytes = b"") -> Behavior:
    """Give the first half, and cut the connection off."""

    def answer(request: Answer) -> None:
        if body:
            request.begin(200, Content_Length=str(len(body)))
            request.wfile.write(body[: len(body) // 2])
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.close_connection = True

    return answer
