"""Each surface before each dialect: what the provider is asked and what the client gets, exactly.

A cell is a folder ``<surface>_<dialect>``, a case one file in it. ``python -m dialects.cells``
(in ``tests``) writes them anew: what changed is then to be read, not only committed.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dialects.clients import CLIENTS
from dialects.providers import PROVIDERS, scripted
from dialects.upstream import Asked, Provider
from e2e.client import Client, Reply
from serving import Server

FOLDER = Path(__file__).parent
SETTINGS = {
    "openai": 'base_url = "{url}/v1"\napi_key = "up-secret"\n',
    "anthropic": 'dialect = "anthropic"\nbase_url = "{url}/v1"\napi_key = "up-secret"\n',
    "gemini": 'dialect = "gemini"\nbase_url = "{url}/v1beta"\napi_key = "up-secret"\n',
    "bedrock": 'dialect = "bedrock"\nbase_url = "{url}"\napi_key = "up-secret"\n',
    "azure": 'dialect = "azure"\nbase_url = "{url}"\napi_key = "up-secret"\n',
}
MODELS = {
    "openai": "gpt-x",
    "anthropic": "claude-x",
    "gemini": "gemini-x",
    "bedrock": "anthropic.claude-x-v1:0",
    "azure": "deployment-x",
}
_SHOWN_ASKED = (
    "authorization",
    "x-api-key",
    "anthropic-version",
    "x-goog-api-key",
    "api-key",
)
_SHOWN_ANSWERED = ("content-type", "x-modelyard-warning", "retry-after", "x-model-version")


def cells() -> Iterator[tuple[str, str, str]]:
    """Every surface, dialect and case."""
    for surface, cases in CLIENTS.items():
        for dialect in PROVIDERS:
            for case in cases:
                yield surface, dialect, case


def config(url: str) -> str:
    """A provider for each dialect, and a model of the same name."""
    lines = []
    for dialect, model in MODELS.items():
        lines.append(f"[providers.{dialect}-up]\nretries = 0\n{SETTINGS[dialect].format(url=url)}")
        lines.append(f'[[models]]\nname = "to-{dialect}"\ntargets = ["{dialect}-up/{model}"]\n')
    chain = ["anthropic-up/claude-x", "gemini-up/gemini-x"]
    lines.append(f'[[models]]\nname = "chain"\ntargets = {chain}\n')
    return "\n".join(lines)


def play(api: Client, provider: Provider, surface: str, dialect: str, case: str) -> str:
    """Send one case; what was asked and answered, as text."""
    provider.script(scripted(dialect, case))
    path, body = CLIENTS[surface][case]
    path = path.replace("{model}", f"to-{dialect}")
    if "model" in body:
        body = body | {"model": f"to-{dialect}"}
    fields = {"X-Request-ID": "r-1", "anthropic-version": "2023-06-01"}
    content = json.dumps(body, separators=(",", ":")).encode()
    reply = api.post(path, content, fields | {"content-type": "application/json"})
    return shown(provider.asked, reply)


def shown(asked: list[Asked], reply: Reply) -> str:
    """Requests and the answer; times and our own ids, which change, are left out."""
    lines = []
    for one in asked:
        lines.append(f"> {one.method} {one.path}")
        lines += [f"> {name}: {one.fields[name]}" for name in _SHOWN_ASKED if name in one.fields]
        lines.append(one.body.decode())
    lines.append(f"< {reply.status}")
    lines += [
        f"< {name}: {reply.headers[name]}" for name in _SHOWN_ANSWERED if name in reply.headers
    ]
    text = "\n".join([*lines, reply.body.decode()])
    text = re.sub(r'"created":(?!1700000000)\d+', '"created":0', text)
    text = re.sub(r"[0-9a-f]{32}", "<id>", text)
    text = re.sub(r'(milliseconds\\?":)[\d.]+', r"\g<1>0", text)
    return text.rstrip("\n") + "\n"


def file(surface: str, dialect: str, case: str) -> Path:
    """Where a case is kept."""
    return FOLDER / f"{surface}_{dialect}" / f"{case}.txt"


def main() -> None:
    """Write every case."""
    with Provider() as provider, Server(config(provider.url)) as server:
        api = Client(server.url, server.key)
        for cell in cells():
            path = file(*cell)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(play(api, provider, *cell).encode())
            sys.stdout.write(f"{path.relative_to(FOLDER)}\n")


if __name__ == "__main__":
    main()
