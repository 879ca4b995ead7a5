"""An issuer that is not ours: the npm package oidc-provider, run by Node."""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from modelyard.auth.oidc import Issuer
from modelyard.protocol.errors import Failure
from serving import free_port

FOLDER = Path(__file__).parents[1] / "oidc_provider"
AUDIENCE = "https://ai.example.com/"
CLAIMS = {
    "workspace": "org",
    "roles": "realm_access.roles",
    "department": "https://claims.example.com/department",
    "clearance_level": "clearance",
}
MADE = {
    "RS256": lambda: RSAKey.generate_key(2048, private=True),
    "ES256": lambda: ECKey.generate_key("P-256", private=True),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519", private=True),
}


def new_key(algorithm: str, kid: str) -> dict[str, Any]:
    """A private JWK for the provider."""
    return {**MADE[algorithm]().as_dict(private=True), "kid": kid, "use": "sig"}


class Provider:
    """A running provider: ``serve`` gives it other keys, at the same address."""

    def __init__(self) -> None:
        node = shutil.which("node")
        if node is None or not (FOLDER / "node_modules" / "oidc-provider").exists():
            pytest.skip("the OpenID provider is not installed: 'make emulator' (needs Node 20)")
        self._process = subprocess.Popen(
            [node, "server.js"],
            cwd=FOLDER,
            env=os.environ | {"PORT": str(free_port())},  # nobody else's once it is away
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.url = ""

    def serve(self, *keys: dict[str, Any]) -> None:
        """Serve with these keys; the first one signs."""
        assert self._process.stdin is not None and self._process.stdout is not None
        line = json.dumps({"keys": keys, "clients": ["app", "other-app"]})
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        told = ""
        for line in self._process.stdout:
            told += line
            if line.startswith("serving at "):
                self.url = line.removeprefix("serving at ").strip()
                return
        raise AssertionError(f"the provider did not start:\n{told}")

    async def token(self, resource: str = AUDIENCE, client: str = "app") -> str:
        """An access token for ``resource`` (RFC 8707), by client credentials."""
        return await asyncio.to_thread(self._token, resource, client)

    def _token(self, resource: str, client: str) -> str:
        form = {"grant_type": "client_credentials", "resource": resource, "scope": "model:read"}
        pair = base64.b64encode(f"{client}:{client}-secret".encode()).decode()
        request = urllib.request.Request(
            self.url + "/token",
            urllib.parse.urlencode(form).encode(),
            {"Authorization": f"Basic {pair}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(json.load(answer)["access_token"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait(60)


class Web:
    """Fetches addresses as the server does, and counts; ``down`` makes it fail."""

    def __init__(self) -> None:
        self.down = False
        self.fetched: list[str] = []

    async def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        if self.down:
            raise ConnectionRefusedError(f"{url} cannot be reached")
        return await asyncio.to_thread(self._get, url)

    def _get(self, url: str) -> bytes:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return bytes(answer.read())


def reason(failure: Failure) -> str:
    assert failure.code.symbol == "UNAUTHENTICATED"
    return str(failure.details["reason"])


def refusal(one: Issuer, token: str, now: float | None = None) -> str:
    with pytest.raises(Failure) as raised:
        one.read(token, now or time.time())
    return reason(raised.value)
