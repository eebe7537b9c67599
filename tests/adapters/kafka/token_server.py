"""A server of tokens, as OpenID Connect has it: it gives who knows the secret a token that nobody has signed."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_LIFETIME_SECONDS = 600


class _Answer(BaseHTTPRequestHandler):
    server: "_Server"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        known = base64.b64encode(f"{self.server.client_id}:{self.server.secret}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {known}":
            self._give(401, {"error": "invalid_client"})
            return
        now = int(time.time())
        claims = {"sub": self.server.client_id, "iat": now, "exp": now + _LIFETIME_SECONDS}
        token = f"{_part({'alg': 'none'})}.{_part(claims)}."
        self._give(200, {"access_token": token, "token_type": "bearer", "expires_in": _LIFETIME_SECONDS})

    def _give(self, code: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, client_id: str, secret: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.client_id = client_id
        self.secret = secret


class TokenServer:
    """The server, in a thread. Its tokens name `client_id` as the user."""

    def __init__(self, client_id: str, secret: str) -> None:
        self._server = _Server(client_id, secret)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where tokens are asked for."""
        return f"http://127.0.0.1:{self._server.server_port}/token"


def _part(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()
