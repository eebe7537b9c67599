"""URIs of pictures that do not come with their job, and which of them may be fetched.

Invariants: a URI that could be read in two ways (a path with `..`, credentials before a host, a host that is not ASCII)
is refused before it is compared with anything. No message holds a query, which may be a signature.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import quote, unquote_to_bytes

from worker.domain.errors import ErrorCode, JobError

SCHEMES: Final = ("s3", "gs", "az", "https", "file")
PREFIXES_SETTING: Final = "LABELWIRE_BLOB__ALLOWED_PREFIXES"
MAX_URI_CHARACTERS: Final = 8192
_DEFAULT_PORT: Final = 443
_SHOWN_CHARACTERS: Final = 200
_MAX_ENCODINGS: Final = 4

_FORM: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(#.*)?")
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*")
_BUCKET: Final = re.compile(r"[a-z0-9$][a-z0-9._-]{0,221}")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True)
class PictureUri:
    """A URI that has one meaning only.

    `scheme` is one of `SCHEMES`. `authority` is the bucket, the container, or the host in lower case with its port
    unless that is 443; empty for files. `path` begins with a slash and is encoded as it was given. `target` is what an
    https server is asked for, the query included; `original` is the URI as the job has it.
    """

    scheme: str
    authority: str
    path: str
    target: str = field(repr=False)
    original: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a URI. Raises JobError JOB_INVALID, or URI_FORBIDDEN for a scheme that is never fetched."""
        if len(text) > MAX_URI_CHARACTERS:
            raise _invalid(f"has {len(text)} characters; at most {MAX_URI_CHARACTERS} are allowed")
        form = _FORM.fullmatch(text) if text.isprintable() else None
        if form is None:
            raise _invalid("is no URI; send one like s3://bucket/folder/label.png")
        scheme, authority, path, query, fragment = form.groups(default="")
        scheme = scheme.lower()
        if scheme not in SCHEMES:
            raise JobError(
                ErrorCode.URI_FORBIDDEN,
                f"The job's image_uri has scheme {scheme[:20]!r}, which is never fetched; use {_listed(SCHEMES)}.",
            )
        if fragment or "\\" in text:
            raise _invalid("has a fragment or a backslash; leave '#' and '\\' away")
        if query and scheme != "https":
            raise _invalid("has a query, which only https takes; leave '?' and what follows away")
        _check_path(scheme, path)
        return cls(scheme, _checked_authority(scheme, authority), path, path + query, text)

    @property
    def key(self) -> str:
        """The object's name in its bucket or container."""
        return self.path.removeprefix("/")

    @property
    def file_path(self) -> str:
        """The path of a `file` URI, decoded."""
        return unquote_to_bytes(self.path).decode()

    @property
    def host(self) -> str:
        """The host of an https URI, without brackets."""
        return self._host_and_port[0]

    @property
    def port(self) -> int:
        """The port of an https URI."""
        return self._host_and_port[1]

    @property
    def canonical(self) -> str:
        """The URI without its query, the same for all URIs that name the same thing (RFC 3986, section 6.2.2)."""
        path = self.path
        if self.scheme == "https":
            path = _ESCAPE.sub(_normal_escape, path.encode()).decode()
        elif self.scheme == "file":
            path = quote(self.file_path)
        return f"{self.scheme}://{self.authority}{path}"

    def __str__(self) -> str:
        """Return the URI for messages: without its query."""
        shown = f"{self.scheme}://{self.authority}{self.path}"
        return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"

    @property
    def _host_and_port(self) -> tuple[str, int]:
        bracketed = re.fullmatch(r"\[(.*)\](?::(\d+))?", self.authority)
        host, _, port = self.authority.partition(":")
        if bracketed:
            host, port = bracketed[1], bracketed[2] or ""
        return host, int(port or _DEFAULT_PORT)


@dataclass(frozen=True, slots=True)
class AllowedPrefixes:
    """The prefixes that pictures may be fetched from. Each ends in a slash, so that it names whole folders."""

    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Parse prefixes from settings. Raises ValueError, with a sentence, for one that allows more than it shows."""
        return cls(tuple(_canonical_prefix(text) for text in texts))

    def check(self, uri: PictureUri) -> None:
        """Raise JobError URI_FORBIDDEN unless the URI lies under a prefix."""
        canonical = uri.canonical
        if not any(canonical.startswith(prefix) for prefix in self.prefixes):
            raise JobError(
                ErrorCode.URI_FORBIDDEN,
                f"The job's image_uri {uri} lies under no allowed prefix; name its folder in {PREFIXES_SETTING}.",
            )

    def of_scheme(self, scheme: str) -> Iterator[PictureUri]:
        """Give the prefixes of one scheme."""
        for prefix in self.prefixes:
            if prefix.startswith(f"{scheme}://"):
                yield PictureUri.parse(f"{prefix}x")


def _canonical_prefix(text: str) -> str:
    if "?" in text or not text.endswith("/"):
        raise ValueError(f"the prefix {text.partition('?')[0][:80]!r} must end in '/', to name a whole folder")
    try:
        # A folder's canonical form is that of a file in it, without the file's name.
        prefix = PictureUri.parse(f"{text}x").canonical[:-1]
    except JobError as error:
        raise ValueError(f"the prefix {text[:80]!r} cannot be used: {error}") from error
    if prefix == "file:///":
        raise ValueError("the prefix 'file:///' would allow every file of the machine; name a folder")
    return prefix


def _checked_authority(scheme: str, authority: str) -> str:
    if scheme == "https":
        return _checked_host(authority)
    if scheme == "file":
        if authority not in {"", "localhost"}:
            raise _invalid("names a host; a file URI has three slashes, as file:///folder/label.png")
        return ""
    if not _BUCKET.fullmatch(authority) or ".." in authority:
        raise _invalid(f"names no valid bucket or container after {scheme}://")
    return authority


def _checked_host(authority: str) -> str:
    if "@" in authority:
        raise _invalid("holds a user before its host; credentials never come with a job")
    host, port = authority.lower(), ""
    literal = re.fullmatch(r"\[([0-9a-f:.]+)\](?::(.*))?", host)
    if literal:
        host, port = literal[1], literal[2] or ""
        try:
            host = f"[{ipaddress.IPv6Address(host)}]"
        except ValueError as error:
            raise _invalid("has an address in brackets that is not of IPv6") from error
    else:
        host, _, port = host.partition(":")
        if not _HOST.fullmatch(host):
            raise _invalid("has no valid host; write one with other letters in its ASCII form (xn--…)")
        if _NUMBER.fullmatch(host.rpartition(".")[2]) and not _is_ipv4(host):
            raise _invalid("has an address as its host that is not written as four decimal numbers")
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= 0xFFFF):  # noqa: PLR2004 - ports
        raise _invalid("has a port that is not a number from 1 to 65535")
    return f"{host}:{int(port)}" if port and int(port) != _DEFAULT_PORT else host


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _check_path(scheme: str, path: str) -> None:
    if not path.startswith("/"):
        raise _invalid(f"has no path; send one like {scheme}://…/folder/label.png")
    if scheme != "https" and (path.endswith("/") or "//" in path):
        raise _invalid("names a folder, or has an empty part between two slashes; name one picture")
    if scheme in {"https", "file"} and (not path.isascii() or " " in path or _BROKEN_ESCAPE.search(path)):
        raise _invalid("has characters in its path that must be percent-encoded")
    encoded = path.encode()
    for _ in range(_MAX_ENCODINGS):
        _check_segments(encoded)
        decoded = unquote_to_bytes(encoded)
        if decoded == encoded:
            break
        encoded = decoded
    else:
        raise _invalid("is percent-encoded over and over")
    try:
        encoded.decode()
    except UnicodeDecodeError as error:
        raise _invalid("has a path that is not UTF-8") from error


def _check_segments(path: bytes) -> None:
    """Refuse what a server, a proxy or a file system could take for `..`, in whatever encoding."""
    if b"\\" in path or any(byte < 0x20 or byte == 0x7F for byte in path):  # noqa: PLR2004 - the control characters
        raise _invalid("has an encoded backslash or control character in its path")
    # Some servers cut a segment at ';' before they look at it.
    if any(segment.partition(b";")[0] in {b".", b".."} for segment in path.split(b"/")):
        raise _invalid("has '.' or '..' in its path; name the picture itself")


def _normal_escape(escape: re.Match[bytes]) -> bytes:
    value = int(escape[1], 16)
    return bytes([value]) if value in _UNRESERVED else b"%%%02X" % value


def _invalid(what: str) -> JobError:
    return JobError(ErrorCode.JOB_INVALID, f"The job's image_uri {what}.")


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"
