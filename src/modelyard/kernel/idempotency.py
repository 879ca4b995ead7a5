"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header): one request, one effect.

The answer is kept in the commit of the change itself, encrypted, as it may hold a secret that is
shown once. A key belongs to its caller and route; another payload under it is refused.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct, structs

from modelyard.kernel.context import Context
from modelyard.kernel.ports import Replay
from modelyard.protocol.asgi import Answer
from modelyard.protocol.errors import Failure

KEPT_SECONDS = 24 * 3600.0
CLAIM_SECONDS = 60.0  # a claim whose server died is free again after this
LONGEST_KEY = 255
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')  # a Structured-Field String (RFC 8941)

Seal = Callable[[bytes], bytes]


class Sealing(Struct, frozen=True):
    """How kept answers are encrypted and read again."""

    seal: Seal
    open: Seal


def key_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The key that a client sent, quoted or bare. Raises ``INVALID_REQUEST``."""
    sent = headers.get(b"idempotency-key")
    if sent is None:
        return None
    text = sent.decode("latin-1").strip()
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted.group(1)) if quoted else text
    if not key or len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise Failure(
            "INVALID_REQUEST",
            f"'Idempotency-Key' must be 1 to {LONGEST_KEY} printable ASCII characters.",
            details={"field": "Idempotency-Key", "rule": "format", "allowed": "a UUID, say"},
        )
    return key


async def claim(context: Context, key: str, target: str, body: bytes) -> Replay | Answer:
    """Claim ``key`` for the request to ``target`` (method, path and query), or its kept answer.

    Raises ``IDEMPOTENCY_KEY_REUSED`` for another payload, ``IDEMPOTENCY_IN_PROGRESS``.
    """
    mark = "\n".join((context.principal.workspace, context.principal.id, key))
    claimed = Replay(
        key=hashlib.blake2b(mark.encode(), digest_size=16).digest(),
        workspace=context.principal.workspace,
        fingerprint=hashlib.blake2b(target.encode() + b"\n" + body, digest_size=16).digest(),
        expires_at=time.time() + CLAIM_SECONDS,
    )
    kept = await context.ports.store.claim(claimed)
    if kept is None:
        return claimed
    if kept.fingerprint != claimed.fingerprint:
        raise Failure(
            "IDEMPOTENCY_KEY_REUSED",
            "This Idempotency-Key was used for another request. Use a new one for a new request.",
            details={"field": "Idempotency-Key"},
        )
    if not kept.status:
        raise Failure(
            "IDEMPOTENCY_IN_PROGRESS",
            "The first request with this Idempotency-Key still runs. Ask again in a moment.",
            details={"field": "Idempotency-Key"},
            retry_after=1,
        )
    answer = msgspec.msgpack.decode(context.of(Sealing).open(kept.body), type=Answer)
    answer.headers["Idempotency-Replayed"] = "true"
    return answer


def keep(context: Context, claimed: Replay, answer: Answer) -> None:
    """Stage the answer with the change that it tells of."""
    body = context.of(Sealing).seal(msgspec.msgpack.encode(answer))
    context.commit.replay = structs.replace(
        claimed, status=answer.status, body=body, expires_at=time.time() + KEPT_SECONDS
    )
