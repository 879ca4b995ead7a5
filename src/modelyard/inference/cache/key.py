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


def cache_key(
    workspace: str, kind: str, fingerprint: bytes, stream: bool, body: dict[str, Any]
) -> bytes:
    """A 256-bit BLAKE2b digest over workspace, model and the canonical request.

    Two requests share a key only if they ask the same of the same model in the same workspace;
    the order of object members and white space do not matter.
    """
    canonical = _encode({name: body[name] for name in body if name not in IGNORED})
    prefix = b"%d:%b%b %d:" % (len(workspace), workspace.encode(), kind.encode(), stream)
    head = b"%d:%b%b" % (len(fingerprint), fingerprint, prefix)
    return blake2b(head + canonical, digest_size=32).digest()
