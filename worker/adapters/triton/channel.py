"""The connection to Triton.

Invariant: `options` names every channel argument that matters, because arguments given to gRPC replace all of
tritonclient's defaults.
"""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc

from worker.domain.errors import SettingsError
from worker.settings import TritonSettings

_KEEPALIVE_TIME_MS: Final = 30_000
_KEEPALIVE_TIMEOUT_MS: Final = 10_000
# A server that comes back is found within this time; gRPC's own default grows to two minutes.
_RECONNECT_MAX_MS: Final = 500
_RECONNECT_INITIAL_MS: Final = 200
_DNS_INTERVAL_MS: Final = 5_000
_ROUND_ROBIN: Final = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

Option = tuple[str, int | str]


def target(url: str) -> str:
    """Return the gRPC target of a URL: a bare host:port is resolved by DNS, to all its addresses."""
    has_scheme = "://" in url or url.split(":", 1)[0] in {"dns", "ipv4", "ipv6", "unix"}
    return url if has_scheme else f"dns:///{url}"


def addresses(settings: TritonSettings, resolve: Callable[..., list[Any]] = socket.getaddrinfo) -> list[str]:
    """Return the host:port of each server behind the URL; the URL itself where it names one, or over TLS.

    Over TLS a server shows a certificate for its name and not for its address. `resolve` is called as
    `socket.getaddrinfo`.
    """
    host, _, port = settings.url.removeprefix("dns:///").rpartition(":")
    if settings.tls or not port.isdecimal():
        return [settings.url]
    try:
        found = {str(one[4][0]) for one in resolve(host, int(port), socket.AF_INET, socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return [settings.url]  # whoever asks it is told that there is no such server
    return [f"{address}:{port}" for address in sorted(found)] if len(found) > 1 else [settings.url]


def options(max_message_bytes: int) -> tuple[Option, ...]:
    """Return all channel arguments."""
    return (
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", _KEEPALIVE_TIME_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        # An idle channel needs no pings, the readiness checks keep it busy; a stock Triton would answer pings without
        # calls by closing the connection (too_many_pings).
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 0),
        # pick_first, the default, sends everything to one server of many.
        ("grpc.service_config", _ROUND_ROBIN),
        # gRPC silently stops retrying over 256 KiB, so the client retries by itself and alone.
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", _RECONNECT_INITIAL_MS),
        ("grpc.min_reconnect_backoff_ms", _RECONNECT_INITIAL_MS),
        ("grpc.max_reconnect_backoff_ms", _RECONNECT_MAX_MS),
        ("grpc.dns_min_time_between_resolutions_ms", _DNS_INTERVAL_MS),
        # Two clients in one process must not share a connection, nor each other's back-off.
        ("grpc.use_local_subchannel_pool", 1),
    )


def credentials(settings: TritonSettings) -> grpc.ChannelCredentials | None:
    """Read the TLS files, None without TLS. Raises SettingsError for a file that cannot be read."""
    if not settings.tls:
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=_pem("TLS_ROOT_CERTIFICATES", settings.tls_root_certificates),
        private_key=_pem("TLS_PRIVATE_KEY", settings.tls_private_key),
        certificate_chain=_pem("TLS_CERTIFICATE_CHAIN", settings.tls_certificate_chain),
    )


def _pem(name: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(
            f"LABELWIRE_TRITON__{name}={path!r} cannot be read ({error.strerror}); give the path of a PEM file."
        ) from error


def blocking_channel(settings: TritonSettings) -> grpc.Channel:
    """Open a channel for calls outside a loop. Raises SettingsError for a TLS file that cannot be read."""
    tls, arguments = credentials(settings), options(settings.max_message_bytes)
    if tls is None:
        return grpc.insecure_channel(target(settings.url), options=arguments)
    return grpc.secure_channel(target(settings.url), tls, options=arguments)


def connect(settings: TritonSettings, tls: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    """Open a channel on the running loop; it connects when it is first used."""
    arguments = options(settings.max_message_bytes)
    if tls is None:
        return grpc.aio.insecure_channel(target(settings.url), options=arguments)
    return grpc.aio.secure_channel(target(settings.url), tls, options=arguments)
