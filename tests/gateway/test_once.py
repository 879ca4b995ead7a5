"""A claim of an idempotency key lasts as long as its request; which streams failed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from modelyard.gateway import once
from modelyard.kernel import idempotency
from modelyard.kernel.ports import Commit, Replay
from modelyard.protocol.errors import Failure


class Store:
    """Notes what is committed and released; refuses the first."""

    def __init__(self) -> None:
        self.commits: list[Replay] = []
        self.released: list[Replay] = []
        self.thrice = asyncio.Event()

    async def commit(self, commit: Commit) -> None:
        assert commit.replay is not None
        self.commits.append(commit.replay)
        if len(self.commits) == 1:
            raise Failure("SYSTEM_OVERLOADED", "busy")
        if len(self.commits) == 3:
            self.thrice.set()

    async def release(self, replay: Replay) -> None:
        self.released.append(replay)


async def test_a_claim_is_renewed_and_then_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "CLAIM_SECONDS", 0.01)
    store = Store()
    context: Any = SimpleNamespace(ports=SimpleNamespace(store=store))
    first = Replay(key=b"k", workspace="w", fingerprint=b"f", expires_at=1.0)
    claim, over = once._Claim(context, first), asyncio.Event()
    renewing = asyncio.create_task(claim.renew(over))
    await store.thrice.wait()
    over.set()
    await renewing
    await claim.release()
    assert {(one.key, one.fingerprint, one.status) for one in store.commits} == {(b"k", b"f", 0)}
    times = [one.expires_at for one in store.commits]
    assert times == sorted(times) and times[0] > 1.0
    assert store.released == store.commits[-1:]


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        (b'data: {"choices":[]}\n\ndata: [DONE]\n\n', False),
        (b'data: {"choices":[]}\n\ndata: {"error":{"message":"m"}}\n\n', True),
        (b'event: message_stop\ndata: {"type":"message_stop"}\n\n', False),
        (b'event: error\ndata: {"type":"error","error":{"type":"t"}}\n\n', True),
        (b'id: 4\ndata: {"type":"error","code":"TIMEOUT"}\n\n', True),
        (b'data: {"candidates":[],"error":null}\r\n\r\n', False),
        (b'data: {"candidates":[]}\r\n\r\ndata: {"error":{"code":503}}\r\n\r\n', True),
        (b'[{"candidates":[]},\r\n{"error":{"code":503}}]', True),
        (b'[{"candidates":[{"error":1}]}]', False),
        (b"", False),
    ],
)
def test_an_error_at_the_end_is_seen(body: bytes, failed: bool) -> None:
    assert once._failed(body) is failed
