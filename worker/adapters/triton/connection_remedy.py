"""What to do about a connection to Triton that fails, by what gRPC says of it.

gRPC has one status for a server that is away and for one whose certificate it refuses; only its text tells them apart
(as of 1.85). A server that refuses the client's certificate closes the connection, and says why in its own log alone.
"""

from typing import Final

from worker.settings import PREFIX, TritonSettings

_TRITON: Final = f"{PREFIX}TRITON__"
# So ends what gRPC says where no connection came about; one that breaks later is "Socket closed" alone.
_NO_CONNECTION: Final = "; last error: "
_CLOSED: Final = ("Socket closed", "Connection reset", "closed before", "recvmsg")
# The most precise first: all that follow from a certificate have CERTIFICATE_VERIFY_FAILED in their text.
_BY_TEXT: Final = (
    (
        "certificate has expired",
        "renew Triton's certificate, or that of its authority; if it has not expired, set this machine's clock right",
    ),
    ("not yet valid", "set this machine's clock right, or give Triton a certificate that has begun"),
    ("Hostname Verification", "use a name that Triton's certificate holds in {url}"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "Triton's certificate is not signed by an authority that is trusted here, so check {roots}",
    ),
    ("WRONG_VERSION_NUMBER", f"the server there does not speak TLS, so check {_TRITON}TLS=true and {{url}}"),
    (
        "security handshaker",
        f"check that {{roots}}, {_TRITON}TLS_CERTIFICATE_CHAIN and {_TRITON}TLS_PRIVATE_KEY are whole and fit together",
    ),
)


def connection_remedy(text: str, settings: TritonSettings) -> str:
    """Return what to do, as the end of a sentence; empty if the text names nothing about TLS."""
    trusted = settings.tls_root_certificates
    roots = f"{_TRITON}TLS_ROOT_CERTIFICATES" + (", which is not set" if trusted is None else f"={trusted!r}")
    for part, remedy in _BY_TEXT:
        if part in text:
            return remedy.format(url=f"{_TRITON}URL={settings.url!r}", roots=roots)
    if _NO_CONNECTION in text and any(closed in text for closed in _CLOSED):
        return _of_closed(settings)
    return ""


def _of_closed(settings: TritonSettings) -> str:
    if not settings.tls:
        return f"see in Triton's log why it ended the connection; if it speaks TLS, set {_TRITON}TLS=true"
    if settings.tls_certificate_chain is None:
        return (
            "see in Triton's log why it ended the connection; if it wants a certificate of its clients, set"
            f" {_TRITON}TLS_CERTIFICATE_CHAIN and {_TRITON}TLS_PRIVATE_KEY"
        )
    return (
        "see in Triton's log why it ended the connection; it may refuse this worker's certificate,"
        f" {_TRITON}TLS_CERTIFICATE_CHAIN={settings.tls_certificate_chain!r}, so check that it has not expired and that"
        " Triton trusts its authority"
    )
