"""``modelyard infer``: what is sent, what is shown, what is an error."""

import io
import json
from typing import Any

import pytest

from cli.scripted import KEY, command, serving

PATH = "POST /v1/ai-inference/inference"
ANSWER: dict[str, Any] = {
    "request_id": "req_1",
    "response": "Hello, world",
    "model_used": "gpt-4o",
    "provider_used": "main",
    "processing_time": 1.25,
    "cache_hit": False,
    "input_tokens": 12,
    "output_tokens": 3,
    "estimated_cost": 0.0001,
    "actual_cost": 0.0000605,
    "timestamp": "2026-01-15T10:30:00Z",
    "metadata": {"cache": "miss", "warnings": ["Mind the gap."]},
}


def stream(*messages: dict[str, Any], done: bool = True) -> bytes:
    text = ": keep-alive\n\n"
    for number, message in enumerate(messages, 1):
        event = {"id": f"chunk_{number:03}", "sequence": number, "timestamp": "t", **message}
        text += f"id: {number}\ndata: {json.dumps(event)}\n\n"
    return (text + ("data: [DONE]\n\n" if done else "")).encode()


def data(text: str) -> dict[str, Any]:
    return {"type": "data", "data": text}


END = {"type": "end", "data": ANSWER}


def test_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    progress = {"type": "progress", "data": {"message": "on it"}}
    with serving({PATH: stream(progress, data("Hello, "), data("world"), END)}) as server:
        status = command(server, "infer", "Hi", "--model", "gpt-4o", "--max-tokens", "9")
    said = capsys.readouterr()
    assert status == 0
    assert said.out == "Hello, world\n"
    line, warning = said.err.splitlines()
    assert line == "gpt-4o by main · 12 + 3 tokens · $0.0000605 · 1.25 s · cache miss"
    assert warning == "Mind the gap."
    assert server.last.headers["authorization"] == f"Bearer {KEY}"
    assert server.last.body == {
        "prompt": "Hi",
        "model": "gpt-4o",
        "max_tokens": 9,
        "stream": True,
    }


def test_without_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(
        {PATH: ANSWER | {"actual_cost": None, "cache_hit": True, "metadata": {}}}
    ) as server:
        assert command(server, "infer", "Hi", "--no-stream", "--temperature", "0") == 0
    said = capsys.readouterr()
    assert said.out == "Hello, world\n"
    assert "cost unknown · 1.25 s · cache hit" in said.err
    assert server.last.body == {"prompt": "Hi", "temperature": 0.0}


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({PATH: ANSWER}) as server:
        assert command(server, "infer", "Hi", "--json") == 0
    assert json.loads(capsys.readouterr().out) == ANSWER


def test_the_prompt_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("two\nlines"))
    with serving({PATH: stream(END)}) as server:
        assert command(server, "infer", "-") == 0
    assert server.last.body["prompt"] == "two\nlines"


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([data("Hel")], "cut short"),
        ([], "cut short"),
        (
            [data("Hel"), {"type": "error", "code": "PROVIDER_ERROR", "message": "It broke."}],
            "It broke. (PROVIDER_ERROR, request req-of-the-header)",
        ),
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_an_incomplete_answer_is_an_error(
    events: list[dict[str, Any]], told: str, done: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({PATH: stream(*events, done=done)}) as server:
        assert command(server, "infer", "Hi") == 1
    said = capsys.readouterr()
    assert said.out == ("Hel\n" if events else "")
    assert told in said.err
    assert len(said.err.splitlines()) == 1


def test_nothing_that_steers_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving({PATH: stream(data("a\x1b[2Jb\n"), END)}) as server:
        assert command(server, "infer", "Hi") == 0
        assert capsys.readouterr().out == "a\x1b[2Jb\n\n"
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        assert command(server, "infer", "Hi") == 0
    assert capsys.readouterr().out == "a[2Jb\n\n"
