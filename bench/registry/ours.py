"""Modelyard with one more resource: the registry of ``slice.py``, served as everything else is."""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.gateway.ours import LIMITS, command, compile_it
from bench.gateway.rig import ROOT, ask, python_version
from bench.gateway.subject import NotStarted, clean_environment
from bench.registry.requests import ANEW, RUN, Address, Model, Request, Size, described, source

API = "/v1/bench/models"


class Modelyard:
    """One worker; a normal key, so that authentication, rights and audit are as for anybody."""

    name = "modelyard"
    health = "/health/ready"
    configuration = (
        "Installed by pip, so compiled; its defaults, one worker. A normal key, checked for each "
        "request; rights by policies; an event of the sealed audit trail and the arrows of "
        "provenance for each change, in its transaction; full-text search."
    )

    def __init__(self) -> None:
        self.admin_key = "my-" + secrets.token_urlsafe(32)
        self.plain = ""  # why it is not compiled

    def missing(self) -> str | None:
        return None if command().exists() else "not installed: run make setup"

    def install(self) -> None:
        self.plain = compile_it() or ""

    def version(self) -> str:
        return python_version(command().parents[1], "modelyard")

    def launch(
        self, port: int, database: str, folder: Path
    ) -> tuple[Sequence[str], Mapping[str, str]]:
        more = {"MODELYARD_DATABASE_URL": database} if database else {}
        env = clean_environment(
            MODELYARD_HOME=str(folder / "home"),
            MODELYARD_ADMIN_KEY=self.admin_key,
            PYTHONPATH=str(ROOT),
            **more,
        )
        python = str(command().with_name("python"))
        return [python, "-m", "bench.registry.serve", "--port", str(port)], env

    def enter(self, port: int, folder: Path) -> Address:
        """Make a key with what a model's users need."""
        wanted = {"name": f"bench-{os.getpid()}", "limits": LIMITS, "scopes": ["model:write"]}
        header = [f"Authorization: Bearer {self.admin_key}"]
        status, got = ask(port, "POST", "/v1/auth/keys", json.dumps(wanted).encode(), header)
        if status not in (200, 201):
            raise NotStarted(f"no key: status {status}, {got[:300]!r}")
        return Address(port, [f"Authorization: Bearer {json.loads(got)['key']}"])

    def create_model(self, name: str, tags: Mapping[str, str]) -> Request:
        body = {"id": name, "name": name, "description": described(name), "labels": dict(tags)}
        return Request("POST", API, body, f'"id":"{name}"', status=201)

    def create_version(self, name: str) -> Request:
        body = {
            "source": source(name),
            "run_id": RUN,
            "description": "As planned.",
            "labels": {"framework": "onnx"},
        }
        expect = f'"source":"{source(name)}"'
        return Request("POST", f"{API}/{name}/versions", body, expect, status=201)

    def set_alias(self, name: str, alias: str, version: str) -> Request:
        body = {"alias": alias, "version": version}
        return Request("POST", f"{API}/{name}/set-alias", body, f'"{alias}":"{version}"')

    def request(self, operation: str, size: Size, fresh: str) -> Request:
        told = '"description":"Predicts'  # of each model
        if operation == "get":
            return Request("GET", f"{API}/%k", None, f'"source":"{source("%k")}"')
        if operation == "list":
            return Request("GET", f"{API}?page_size=50", None, told, min(50, size.models))
        if operation == "filter":
            path = f"{API}?page_size=50&filter=" + quote('labels.team="') + "%k%22"
            return Request("GET", path, None, told, size.page, keys="teams")
        if operation == "search":
            return Request(
                "GET", f"{API}?page_size=50&filter=%k", None, '"id":"%k', size.page, keys="words"
            )
        if operation == "update":
            return Request("PATCH", f"{API}/%k", {"description": ANEW}, ANEW)
        if operation == "set alias":
            return self.set_alias("%k", "champion", "%d")
        if operation == "create version":
            return self.create_version("%k")
        return self.create_model(f"{fresh}-%n", {"team": "team-00", "stage": "trial"})

    def models(self, answer: Any) -> list[Model]:
        found = answer.get("models", [answer])
        return [
            Model(
                name=one["id"],
                description=one["description"],
                tags=one["labels"],
                latest=(one["latest"] or {}).get("id", ""),
                source=(one["latest"] or {}).get("source", ""),
                aliases=one["aliases"],
            )
            for one in found
        ]
