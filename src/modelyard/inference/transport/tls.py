"""TLS towards origins. There is no way to turn verification off."""

import asyncio
import ssl

import certifi

from modelyard.inference.transport.wire import Tls, TlsFailure


def context(tls: Tls) -> ssl.SSLContext:
    """A context that trusts the system's CAs, those of certifi, and ``tls.ca_file``.

    Reads files: call it in a thread. Raises ``TlsFailure`` for one that cannot be used.
    """
    made = ssl.create_default_context()
    made.load_verify_locations(certifi.where())
    made.set_alpn_protocols(["http/1.1"])
    if tls.ca_file is not None:
        try:
            made.load_verify_locations(tls.ca_file)
        except (OSError, ValueError) as error:
            raise TlsFailure(f"ca_file {tls.ca_file!r} cannot be used: {error}") from error
    if tls.client_cert is not None:
        try:
            made.load_cert_chain(tls.client_cert, tls.client_key, password=_no_password)
        except (OSError, ValueError) as error:
            text = f"client_cert {tls.client_cert!r} or its client_key cannot be used: {error}"
            raise TlsFailure(text) from error
    return made


def _no_password() -> str:
    """Without it OpenSSL would ask at the terminal for the password of an encrypted key."""
    raise ValueError("the key is encrypted")


def reason(error: OSError) -> str:
    """What went wrong in a handshake, in words: for a mismatch, what did not match."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return str(error) or "closed during the handshake"


def ended(transport: asyncio.Transport) -> bool:
    """Whether the peer ended the conversation, after an end of file on ``transport``.

    TLS says so itself; the end of the connection below it may be anybody's doing. A transport
    without TLS has nothing better than that end.
    """
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return not tls.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False
