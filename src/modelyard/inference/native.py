"""Events that carry a provider's own bytes beside what they mean in OpenAI's shape.

The log of a stream (``eventlog``) reads OpenAI's chunks. Where client and provider speak another
dialect, the provider's events travel as comment lines (WHATWG, server-sent events) before the
chunk they mean, so that one log serves the accounts and the client's untouched bytes.
"""


def attach(native: bytes, chunk: bytes) -> bytes:
    """One event: ``native`` (whole events, lines ended by LF) in comments, then ``chunk``."""
    lines = native.replace(b"\n", b"\n:")
    return b":" + lines[:-1] + chunk


def detach(event: bytes) -> bytes:
    """The provider's own bytes of an event; b"" where it carries none."""
    if not event.startswith(b":"):
        return b""
    end = event.rindex(b"\n", 0, -2) + 1  # the chunk is the last line
    return event[1:end].replace(b"\n:", b"\n")


def payload(event: bytes) -> bytes:
    """The data of one event, its ``data`` lines joined; b"" where there are none."""
    if event.startswith(b"data: ") and b"\n" not in event[:-2]:
        return event[6:-2]
    lines = [line[5:].lstrip(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)
