"""An MLflow tracking server, started as its documentation says, without what it can leave out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.gateway.rig import ENVS, python_version
from bench.gateway.subject import clean_environment
from bench.registry.requests import ANEW, RUN, Address, Model, Request, Size, described, source

API = "/api/2.0/mlflow"
# Nothing runs beside the requests: no runner of jobs, no telemetry, no line for each request.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


@dataclass
class MLflow:
    """Registered models over MLflow's own REST API."""

    workers: int = 1
    name: str = "mlflow"
    health: str = "/health"
    requirement: str = "mlflow==3.17.2 psycopg2-binary==2.9.13"

    @property
    def configuration(self) -> str:
        return (
            f"mlflow server --workers {self.workers} (uvicorn, its default server; its default is "
            "4 workers); no access log, no job runner, no telemetry; its security middleware and "
            "everything else as by default; no authentication, which it has none of by default."
        )

    def missing(self) -> str | None:
        return None if (ENVS / self.name / "bin" / "mlflow").exists() else "not installed"

    def version(self) -> str:
        return python_version(ENVS / self.name, "mlflow")

    def launch(
        self, port: int, database: str, folder: Path
    ) -> tuple[Sequence[str], Mapping[str, str]]:
        url = database.replace("postgresql:", "postgresql+psycopg2:", 1)
        url = url or f"sqlite:///{folder / 'mlflow.db'}"
        argv = [str(ENVS / self.name / "bin" / "mlflow"), "server", "--backend-store-uri", url]
        argv += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(self.workers)]
        argv += ["--uvicorn-opts", "--no-access-log"]
        return argv, clean_environment(**ENVIRONMENT)

    def enter(self, port: int, folder: Path) -> Address:
        return Address(port)

    def create_model(self, name: str, tags: Mapping[str, str]) -> Request:
        body = {
            "name": name,
            "description": described(name),
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        return Request("POST", f"{API}/registered-models/create", body, f'"name": "{name}"')

    def create_version(self, name: str) -> Request:
        body = {
            "name": name,
            "source": source(name),
            "run_id": RUN,
            "description": "As planned.",
            "tags": [{"key": "framework", "value": "onnx"}],
        }
        return Request("POST", f"{API}/model-versions/create", body, f'"source": "{source(name)}"')

    def set_alias(self, name: str, alias: str, version: str) -> Request:
        body = {"name": name, "alias": alias, "version": version}
        return Request("POST", f"{API}/registered-models/alias", body, "{}")

    def request(self, operation: str, size: Size, fresh: str) -> Request:
        models = f"{API}/registered-models"
        search = f"{models}/search?max_results=50"
        told = '"name": "'  # of each model, and of its latest version
        if operation == "get":
            return Request("GET", f"{models}/get?name=%k", None, f'"source": "{source("%k")}"')
        if operation == "list":
            return Request("GET", search, None, told, 2 * min(50, size.models))
        if operation == "filter":
            path = f"{search}&filter=" + quote("tags.team = '") + "%k%27"
            return Request("GET", path, None, told, 2 * size.page, keys="teams")
        if operation == "search":
            path = f"{search}&filter=" + quote("name ILIKE '%") + "%k" + quote("%'")
            return Request("GET", path, None, told + "%k", 2 * size.page, keys="words")
        if operation == "update":
            body = {"name": "%k", "description": ANEW}
            return Request("PATCH", f"{models}/update", body, ANEW)
        if operation == "set alias":
            return self.set_alias("%k", "champion", "%d")
        if operation == "create version":
            return self.create_version("%k")
        return self.create_model(f"{fresh}-%n", {"team": "team-00", "stage": "trial"})

    def models(self, answer: Any) -> list[Model]:
        found = answer.get("registered_models") or [answer["registered_model"]]
        return [self._model(one) for one in found]

    @staticmethod
    def _model(one: Any) -> Model:
        latest = (one.get("latest_versions") or [{}])[-1]
        return Model(
            name=one["name"],
            description=one["description"],
            tags={tag["key"]: tag["value"] for tag in one.get("tags", [])},
            latest=latest.get("version", ""),
            source=latest.get("source", ""),
            aliases={alias["alias"]: alias["version"] for alias in one.get("aliases", [])},
        )
