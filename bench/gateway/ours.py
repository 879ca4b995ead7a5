"""Modelyard, with keys, limits, cache lookup, metering and ledger on: its defaults."""

import hashlib
import json
import os
import secrets
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from bench.gateway.rig import ENVS, ROOT, UPSTREAM_KEY, Route, ask, python_version
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


BUILT = ENVS / "modelyard"  # what "pip install" gives a user: compiled, unlike a checkout
_STAMP = BUILT / "sources"


def command() -> Path:
    """The compiled command where it is up to date, else the checkout's plain one."""
    built = BUILT / "bin" / "modelyard"
    if built.exists() and _STAMP.exists() and _STAMP.read_text() == _sources():
        return built
    beside = Path(sys.executable).parent / "modelyard"
    return beside if beside.exists() else ROOT / ".venv" / "bin" / "modelyard"


def compile_it(seconds: float = 900.0) -> str | None:
    """Install the project as a user would, compiled; why it could not be done, or None."""
    if command().is_relative_to(BUILT):
        return None
    print("compiling modelyard (one or two minutes) …", flush=True)
    env = os.environ | {"MODELYARD_COMPILE": "1"}
    pinned = str(ROOT / "requirements-dev.lock")
    for argv in (
        [sys.executable, "-m", "venv", "--clear", str(BUILT)],
        [str(BUILT / "bin" / "pip"), "install", "--quiet", "-c", pinned, str(ROOT)],
    ):
        try:
            done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            return f"it took longer than {seconds:.0f} s"
        if done.returncode:
            return done.stderr.strip()[-500:]
    _STAMP.write_text(_sources())
    return None


def _sources() -> str:
    """A digest of everything that the installed package is made of."""
    digest = hashlib.sha256()
    paths = [*(ROOT / "src").rglob("*.*"), ROOT / "setup.py", ROOT / "pyproject.toml"]
    for path in sorted(paths):
        known = path.suffix in {".py", ".c", ".json", ".tsv", ".sql", ".toml"}
        if known and ".egg-info" not in str(path):
            digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


class Modelyard:
    """One worker; a key with limits too high to be reached, so that each limit is counted."""

    name = "modelyard"
    configuration = (
        "Installed by pip, so compiled; its defaults, one worker. A normal key with limits of "
        "requests, tokens and concurrency that are counted and never reached; exact cache looked "
        "up and missing; cost, usage and one ledger record for each request; request log on."
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
