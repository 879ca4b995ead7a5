"""The cache key: everything that changes an answer, and nothing else."""

from hashlib import blake2b
from typing import Any

import msgspec

# Fields of a request that cannot change its answer. ``model`` is in the model's fingerprint.
IGNORED = frozenset(
    {
        "model",
        "user",
        "metadata",
        "store",
        "stream",
        "stream_options",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "service_tier",
    }
)
_encode = msgspec.json.Encoder(order="sorted").encode
_write = msgspec.json.Encoder().encode


def cache_key(
    workspace: str,
    kind: str,
    fingerprint: bytes,
    stream: bool,
    body: dict[str, Any],
    namespace: str = "",
) -> bytes:
    """A 256-bit BLAKE2b digest over workspace, namespace, model and the canonical request.

    Two requests share a key only if they ask the same of the same model in the same namespace of
    the same workspace; the order of object members and white space do not matter. Each part is
    told with its length, so that nothing moves from one to the next.
    """
    canonical = _encode({name: body[name] for name in body if name not in IGNORED})
    space, sort, part = workspace.encode(), kind.encode(), namespace.encode()
    head = b"%d:%b%d:%b%d:%b%d:%b%d:" % (
        len(fingerprint),
        fingerprint,
        len(space),
        space,
        len(sort),
        sort,
        len(part),
        part,
        stream,
    )
    return blake2b(head + canonical, digest_size=32).digest()


def as_keyed(raw: bytes, body: dict[str, Any]) -> bytes:
    """What a request whose answer is shared is sent as: its own bytes, if they say ``body``.

    Of a member that is there twice the key has the last value, but a provider may take the first:
    then ``body`` is sent. Without escapes of characters, the texts of both hold as many quotation
    marks; each needless member has two more.
    """
    written = _write(body)
    if b"\\u" not in raw and raw.count(b'"') == written.count(b'"'):
        return raw
    return written
