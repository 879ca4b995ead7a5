"""``modelyard infer``: one prompt, its answer as it comes, and what it cost."""

import sys
from typing import Annotated, Any

import typer

from modelyard.cli.client import Client
from modelyard.cli.events import messages
from modelyard.cli.options import Json, Key, Url, connect
from modelyard.cli.output import console, dollars, print_json, safe, seconds
from modelyard.cli.problem import Problem
from modelyard.cli.progress import shown

PATH = "/v1/ai-inference/inference"
PATIENCE = 330.0  # seconds of silence: a little more than the server's own limit


def infer(
    prompt: Annotated[str, typer.Argument(help="The prompt; '-' reads it from standard input.")],
    model: Annotated[str | None, typer.Option(help="The model; else the default one.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The most tokens of the answer.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 to 2; the server's is 0.7.")] = None,
    stream: Annotated[bool, typer.Option(help="Print the answer as it comes.")] = True,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Answer one prompt through the gateway: the answer, then cost, tokens, time and cache."""
    text = sys.stdin.read() if prompt == "-" else prompt
    given = {"model": model, "max_tokens": max_tokens, "temperature": temperature}
    body = {"prompt": text, **{name: value for name, value in given.items() if value is not None}}
    client = connect(url, key)
    if as_json:
        print_json(_whole(client, body))
        return
    if stream:
        answer = _streamed(client, body)
    else:
        answer = _whole(client, body)
        _write(answer["response"])
    _write("\n")
    out = console(stderr=True)
    for line in (summary(answer), *(answer.get("metadata") or {}).get("warnings", [])):
        out.print(safe(line), style="dim", markup=False)


def summary(answer: dict[str, Any]) -> str:
    """One line about an answer: who gave it, tokens, cost, time, cache."""
    metadata = answer.get("metadata") or {}
    cache = metadata.get("cache") or ("hit" if answer["cache_hit"] else "miss")
    parts = [
        f"{answer['model_used']} by {answer['provider_used']}",
        f"{answer['input_tokens']} + {answer['output_tokens']} tokens",
        dollars(answer["actual_cost"]),
        seconds(answer["processing_time"]),
        f"cache {cache}",
    ]
    return " · ".join(parts)


def _whole(client: Client, body: dict[str, Any]) -> Any:
    with shown("the request was cancelled") as bar:
        bar.phase("waiting for the answer")
        return client.call("POST", PATH, body, seconds=PATIENCE)


def _streamed(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] | None = None
    begun = False
    try:
        with client.stream(PATH, {**body, "stream": True}, seconds=PATIENCE) as found:
            for message in messages(*found):
                if message["type"] == "data":
                    begun = True
                    _write(str(message["data"]))
                elif message["type"] == "end":
                    answer = message["data"]
    except Problem:
        _write("\n" if begun else "")
        raise
    if answer is None:
        raise Problem("the answer was cut short")
    return answer


def _write(text: str) -> None:
    sys.stdout.write(safe(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()
