"""The sandbox being slow, and failing, as it is told."""

import asyncio
from typing import Any

import pytest
from sandbox_use import ask, call_of, chat, chunks, open_stream, read

from modelyard.inference.providers.openai import refusal
from modelyard.inference.providers.provider import After, AttemptFailed
from modelyard.inference.providers.sandbox import Sandbox
from modelyard.inference.transport.wire import (
    ConnectionLost,
    Deadlines,
    IdleTimeout,
    TotalTimeout,
)


class Refusing:
    """An upstream's response, as far as ``refusal`` looks at it."""

    def __init__(self, wait: bytes | None) -> None:
        self.wait = wait

    def header(self, name: bytes) -> bytes | None:
        return self.wait if name == b"retry-after" else None


async def failure(text: str, **more: Any) -> AttemptFailed:
    with pytest.raises(AttemptFailed) as failed:
        await ask(chat(text), **more)
    return failed.value


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 405, 408, 409, 413, 415, 418, 422, 429, 500, 502, 503, 504, 529]
)
async def test_fails_as_a_provider_with_that_status(status: int) -> None:
    failed = await failure(f"[sandbox fail={status} retry_after=2] Hi")
    response: Any = Refusing(b"2" if status == 429 or status >= 500 else None)
    like = refusal(status, response, b"{}")
    for field in ("reason", "code", "after", "status"):
        assert getattr(failed, field) == getattr(like, field), field
    if status == 429 or status >= 500:
        assert failed.retry_after == 2.0


@pytest.mark.parametrize(
    "directive", ["fail=500", "fail=429", "fail=disconnect", "cut=1", "error_after=1", "delay=9"]
)
async def test_no_told_failure_says_that_the_sandbox_is_ill(directive: str) -> None:
    failed = await failure(f"[sandbox {directive}]", deadlines=Deadlines(first_byte=0.01))
    assert failed.healthy


async def test_a_disconnect_and_a_timeout() -> None:
    lost = await failure("[sandbox fail=disconnect]")
    assert (lost.reason, lost.code) == ("connection_lost", "PROVIDER_UNAVAILABLE")
    silent = await failure("[sandbox fail=timeout]", deadlines=Deadlines(first_byte=0.05))
    assert (silent.reason, silent.code) == ("timeout_first_byte", "INFERENCE_TIMEOUT")
    sooner = await failure("[sandbox fail=timeout delay=0.01]")
    assert sooner.reason == "timeout_first_byte"


async def test_delay_and_the_deadlines() -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    answer = await ask(chat("[sandbox delay=0.05] Hi"))
    assert loop.time() - start >= 0.049
    assert "[sandbox" not in answer["choices"][0]["message"]["content"]
    late = await failure("[sandbox delay=60]", deadlines=Deadlines(first_byte=0.02))
    assert late.reason == "timeout_first_byte"
    late = await failure("[sandbox delay=60]", deadlines=Deadlines(total=0.02))
    assert late.reason == "timeout_total"


async def test_a_delay_is_cancelled_at_once() -> None:
    call = call_of(chat("[sandbox delay=30]"))
    task = asyncio.ensure_future(Sandbox().call(call, "sandbox", Deadlines(), "a"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 25)


async def test_fails_so_many_times_and_for_each_workspace_apart() -> None:
    sandbox = Sandbox()
    text = "[sandbox fail=503 times=2] Hi"
    for _ in range(2):
        assert (await failure(text, sandbox=sandbox)).status == 503
    assert (await ask(chat(text), sandbox=sandbox))["object"] == "chat.completion"
    assert (await ask(chat(text), sandbox=sandbox))["object"] == "chat.completion"
    assert (await failure(text, sandbox=sandbox, workspace="other")).status == 503
    assert (await failure(text + "!", sandbox=sandbox)).status == 503


async def test_what_is_remembered_is_bounded() -> None:
    sandbox = Sandbox()
    for number in range(1_100):
        await failure(f"[sandbox fail=500 times=1] {number}", sandbox=sandbox)
    assert len(sandbox._failures) == 1_024


async def test_a_stream_is_cut() -> None:
    pieces, error = await read(await open_stream(chat("[sandbox cut=10] Hi")))
    assert isinstance(error, ConnectionLost)
    events = chunks(pieces)
    assert len(events) == 11  # the role, and ten tokens
    assert all(event["choices"][0]["finish_reason"] is None for event in events)


async def test_a_short_answer_is_cut_before_its_end() -> None:
    pieces, error = await read(await open_stream(chat("[sandbox cut=500] Hi", max_tokens=3)))
    assert isinstance(error, ConnectionLost)
    assert all(event["choices"][0]["finish_reason"] is None for event in chunks(pieces))


async def test_an_error_event_in_a_stream() -> None:
    pieces, error = await read(await open_stream(chat("[sandbox error_after=4] Hi")))
    assert error is None
    *events, last = chunks(pieces)
    assert len(events) == 5
    assert "error" in last
    assert b"[DONE]" not in pieces[-1]


async def test_a_whole_answer_fails_where_its_stream_would() -> None:
    assert (await failure("[sandbox cut=10] Hi")).reason == "connection_lost"
    assert (await failure("[sandbox error_after=10] Hi")).reason == "http_500"
    with pytest.raises(AttemptFailed):
        await ask({"input": "[sandbox cut=1] Hi"}, "embedding")
    with pytest.raises(AttemptFailed):
        await ask({"input": ["a", "[sandbox fail=500] Hi"]}, "embedding")


async def test_a_stall_meets_the_idle_and_the_total_deadline() -> None:
    body = chat("[sandbox chunk_delay=30] Hi")
    stalled = await read(await open_stream(body, deadlines=Deadlines(idle=0.02)))
    assert isinstance(stalled[1], IdleTimeout)
    late = await read(await open_stream(body, deadlines=Deadlines(total=0.02)))
    assert isinstance(late[1], TotalTimeout)


async def test_chunks_are_delayed() -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    pieces, error = await read(await open_stream(chat("[sandbox chunk_delay=0.01 tokens=6]")))
    assert error is None
    assert loop.time() - start >= 0.049
    assert len(chunks(pieces)) == 9


@pytest.mark.parametrize(
    ("directive", "names"),
    [
        ("speed=3", "speed"),
        ("delay", "delay"),
        ("delay=-1", "delay"),
        ("delay=nan", "delay"),
        ("delay=1e9", "delay"),
        ("fail=200", "fail"),
        ("fail=never", "fail"),
        ("fail=", "fail"),
        ("tokens=0", "tokens"),
        ("tokens=1.5", "tokens"),
        ("times=99999999999999999999", "times"),
    ],
)
async def test_a_wrong_directive_is_refused_by_name(directive: str, names: str) -> None:
    failed = await failure(f"Hi [sandbox {directive}]")
    assert (failed.code, failed.after, failed.healthy) == ("INVALID_REQUEST", After.STOP, True)
    assert names in failed.message
    if names == "speed":
        assert "chunk_delay" in failed.message


async def test_only_the_last_user_message_directs() -> None:
    body = chat("Hi")
    body["messages"].insert(0, {"role": "user", "content": "[sandbox fail=500]"})
    body["messages"].insert(0, {"role": "system", "content": "[sandbox fail=500]"})
    assert (await ask(body))["object"] == "chat.completion"
    together = await failure("[sandbox delay=0.01] Hi [sandbox fail=418, retry_after=1]")
    assert together.status == 418


async def test_closing_ends_a_stream() -> None:
    reply = await open_stream(chat("[sandbox chunk_delay=0.01 tokens=500]"))
    pieces: list[bytes] = []
    ends: list[Exception | None] = []
    third = asyncio.Event()

    def piece(event: bytes) -> None:
        pieces.append(event)
        if len(pieces) == 3:
            third.set()

    reply.listen(piece, ends.append)
    await asyncio.wait_for(third.wait(), 60)
    reply.close()
    reply.close()
    count = len(pieces)
    await asyncio.sleep(0.05)
    assert (len(pieces), ends) == (count, [])


async def test_closing_from_within_a_piece_and_before_listening() -> None:
    reply = await open_stream(chat("Hi"))
    pieces: list[bytes] = []
    ends: list[Exception | None] = []

    def piece(event: bytes) -> None:
        pieces.append(event)
        reply.close()

    reply.listen(piece, ends.append)
    async with asyncio.timeout(60):
        while not pieces:  # noqa: ASYNC110 (the listener is the test's own)
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    assert (len(pieces), ends) == (1, [])
    other = await open_stream(chat("Hi"))
    other.close()
    other.listen(pieces.append, ends.append)
    await asyncio.sleep(0.02)
    assert (len(pieces), ends) == (1, [])


async def test_pause_holds_back_and_resume_loses_nothing() -> None:
    reply = await open_stream(chat("[sandbox tokens=100]"))
    pieces: list[bytes] = []
    ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def piece(event: bytes) -> None:
        pieces.append(event)
        if len(pieces) == 5:
            reply.pause()

    reply.listen(piece, ended.set_result)
    async with asyncio.timeout(60):
        while len(pieces) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    assert len(pieces) == 5
    reply.resume()
    assert await asyncio.wait_for(ended, 60) is None
    assert len(chunks(pieces)) == 103
