"""What every answer of this server carries, whichever plane gives it."""

import os

API_VERSION = "1.0.0"  # X-API-Version: major.minor.patch of the HTTP interface
WHOLE = "modelyard.whole"  # of an ASGI scope: our server takes an answer as it is, by a call
LONGEST_REQUEST_ID = 128  # characters


def request_id(sent: bytes | None) -> str:
    """The client's ``X-Request-ID`` when it is usable, else a fresh one.

    Usable is 1 to 128 printable ASCII characters without a space: it goes into logs and back
    into a header.
    """
    if sent and len(sent) <= LONGEST_REQUEST_ID and all(32 < byte < 127 for byte in sent):
        return sent.decode("ascii")
    return "req_" + os.urandom(12).hex()
