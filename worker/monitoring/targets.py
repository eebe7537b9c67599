"""Where pages of metrics are, and what each answered.

Invariant: a page that cannot be had is an answer, too: what is away is shown as away and ends nothing.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from worker.adapters.telemetry.exposition import MetricSample, fetch_page, parse_page
from worker.domain.errors import ExpositionError
from worker.ports import Clock

_PATH: Final = "/metrics"
_MAX_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class ReadPage:
    """What an address answered at a time of a monotonic clock: samples, or a sentence that says why there are none."""

    name: str
    at_seconds: float
    samples: tuple[MetricSample, ...] = ()
    problem: str = ""


def page_url(given: str) -> str:
    """Return the address of a page: `host:port` and addresses without a path are completed.

    Raises ExpositionError for what is no http address.
    """
    url = given if "://" in given else f"http://{given}"
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address:
        raise ExpositionError(f"{given!r} is no address of a page of metrics: give one as http://127.0.0.1:8080.")
    return url if parts.path.strip("/") else url.rstrip("/") + _PATH


def resolve(host: str) -> set[str]:
    """Return the addresses of a name, of both kinds; none if it has none."""
    try:
        return {str(address[0]) for *_, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()


def pages_of(url: str, resolver: Callable[[str], Iterable[str]] = resolve) -> list[str]:
    """Return the same page at each address of the URL's name: a headless Service has one for each pod.

    Asked again each time, because pods come and go. A name that has no address is kept, and is away. With https the
    certificate is the name's, so the name is kept.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" or not parts.hostname:
        return [url]
    found = [ipaddress.ip_address(each) for each in resolver(parts.hostname)]
    # Of a name with addresses of both kinds, as `localhost`, those of IPv4: else each server would count twice.
    version = min((each.version for each in found), default=4)
    addresses = sorted({int(each): each for each in found if each.version == version}.items())
    if len(addresses) < 2:  # noqa: PLR2004 - one address is the name's own
        return [url]
    hosts = [f"[{address}]" if version == 6 else str(address) for _, address in addresses]  # noqa: PLR2004 - IPv6
    return [parts._replace(netloc=f"{host}:{parts.port or 80}").geturl() for host in hosts]


def read_pages(urls: Sequence[str], clock: Clock, timeout_seconds: float) -> list[ReadPage]:
    """Read the pages of all addresses at once; each waits `timeout_seconds` at most for an answer."""
    pages = [page for url in urls for page in pages_of(url)]
    if not pages:
        return []
    with ThreadPoolExecutor(min(len(pages), _MAX_AT_ONCE), "metrics") as executor:
        return list(executor.map(lambda page: _read(page, clock, timeout_seconds), pages))


def _read(url: str, clock: Clock, timeout_seconds: float) -> ReadPage:
    name = urlsplit(url).netloc
    try:
        samples = tuple(parse_page(fetch_page(url, timeout_seconds)))
    except ExpositionError as error:
        return ReadPage(name, clock.monotonic(), problem=str(error))
    return ReadPage(name, clock.monotonic(), samples)
