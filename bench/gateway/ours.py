"""Modelyard, with keys, limits, cache lookup, metering and ledger on: its defaults."""

import json
import os
import secrets
import sys
from dataclasses import replace
from pathlib import Path

from bench.gateway.rig import ROOT, UPSTREAM_KEY, Route, ask, python_version
from bench.gateway.subject import Launch, NotStarted, clean_environment

CONFIG = """\
[providers.main]
dialect = "openai"
base_url = "http://127.0.0.1:{upstream}/v1"
api_key = "{key}"

[[models]]
name = "gpt-4o"
targets = ["main/gpt-4o"]
"""

LIMITS = {
    "requests_per_minute": 100_000_000,
    "tokens_per_minute": 100_000_000_000,
    "concurrent_requests": 10_000,
}


def command() -> Path:
    """The installed command: beside this Python, or in the checkout's environment."""
    beside = Path(sys.executable).parent / "modelyard"
    return beside if beside.exists() else ROOT / ".venv" / "bin" / "modelyard"


class Modelyard:
    """One worker; a key with limits too high to be reached, so that each limit is counted."""

    name = "modelyard"
    configuration = (
        "Its defaults, one worker. A normal key with limits of requests, tokens and concurrency "
        "that are counted and never reached; exact cache looked up and missing; cost, usage and "
        "one ledger record for each request; request log on."
    )

    def __init__(self) -> None:
        self.admin_key = "my-" + secrets.token_urlsafe(32)

    def missing(self) -> str | None:
        return None if command().exists() else "not installed: run make setup"

    def version(self) -> str:
        return python_version(command().parents[1], "modelyard")

    def launch(self, port: int, upstream: int, folder: Path) -> Launch:
        config = folder / "modelyard.toml"
        config.write_text(CONFIG.format(upstream=upstream, key=UPSTREAM_KEY))
        env = clean_environment(
            MODELYARD_HOME=str(folder / "home"), MODELYARD_ADMIN_KEY=self.admin_key
        )
        argv = [str(command()), "serve", "--port", str(port), "--config", str(config)]
        return Launch(argv, Route(port, headers=self._bearer(self.admin_key)), env)

    def settled(self, route: Route, log: Path) -> Route | None:
        return route

    def limited(self, route: Route) -> Route:
        """The same route with a key that has limits."""
        wanted = {"name": f"bench-{os.getpid()}", "limits": LIMITS}
        content = json.dumps(wanted).encode()
        status, got = ask(route.port, "POST", "/v1/auth/keys", content, route.headers)
        if status not in (200, 201):
            raise NotStarted(f"no key: status {status}, {got[:300]!r}")
        return replace(route, headers=self._bearer(str(json.loads(got)["key"])))

    @staticmethod
    def _bearer(key: str) -> list[str]:
        return [f"Authorization: Bearer {key}"]
