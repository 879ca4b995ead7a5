"""The other gateways: each as its documentation starts it, with what it can leave out left out."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from bench.gateway.rig import ENVS, UPSTREAM_KEY, Route, python_version
from bench.gateway.subject import Launch, clean_environment

NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_body_buffer_size 64k;
    keepalive_requests 1000000000;
    upstream model {{
        server 127.0.0.1:{upstream};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""

LITELLM = """\
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: {key}
litellm_settings:
  telemetry: false
  num_retries: 0
general_settings:
  master_key: sk-bench
"""

TENSORZERO = """\
[gateway]
disable_pseudonymous_usage_analytics = true

[gateway.observability]
enabled = false

[models.gpt-4o]
routing = ["upstream"]

[models.gpt-4o.providers.upstream]
type = "openai"
model_name = "gpt-4o"
api_base = "http://127.0.0.1:{upstream}/v1/"
api_key_location = "env::UPSTREAM_KEY"
"""

TENSORZERO_START = """\
import signal, sys
from tensorzero.tensorzero import _start_http_gateway
gateway = _start_http_gateway(config_file=sys.argv[1], clickhouse_url=None, postgres_url=None,
                              valkey_url=None, async_setup=False)
print("listening", gateway.base_url, flush=True)
signal.pause()
"""


class Nginx:
    """The yardstick: a proxy that does nothing but pass bytes on."""

    name = "nginx"
    configuration = (
        "A bare proxy: one worker, keep-alive to client and upstream, no access log, no limits, "
        "no keys. It reads neither the request nor the answer."
    )

    def missing(self) -> str | None:
        return None if shutil.which("nginx") else "nginx is not on PATH"

    def version(self) -> str:
        ran = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True)
        return ran.stderr.rpartition("/")[2].strip()

    def launch(self, port: int, upstream: int, folder: Path) -> Launch:
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port, upstream=upstream))
        argv = [str(shutil.which("nginx")), "-p", str(folder), "-c", str(config), "-e", "stderr"]
        return Launch(argv, Route(port, headers=[f"Authorization: Bearer {UPSTREAM_KEY}"]))

    def settled(self, route: Route, log: Path) -> Route | None:
        return route


class LiteLLM:
    """litellm[proxy], started as its documentation says."""

    name = "litellm"
    configuration = (
        "litellm --num_workers 1 with one model and a master key that each request sends; no "
        "database, no cache, no callbacks, no retries; log level ERROR, LITELLM_MODE=PRODUCTION."
    )
    requirement = "litellm[proxy]==1.106.2"  # never 1.82.7 or 1.82.8, which stole credentials

    def missing(self) -> str | None:
        return None if (ENVS / self.name / "bin" / "litellm").exists() else "not installed"

    def version(self) -> str:
        return python_version(ENVS / self.name, "litellm")

    def launch(self, port: int, upstream: int, folder: Path) -> Launch:
        config = folder / "litellm.yaml"
        config.write_text(LITELLM.format(upstream=upstream, key=UPSTREAM_KEY))
        argv = [str(ENVS / self.name / "bin" / "litellm"), "--config", str(config)]
        argv += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        env = clean_environment(
            LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR", LITELLM_MODE="PRODUCTION"
        )
        return Launch(argv, Route(port, headers=["Authorization: Bearer sk-bench"]), env)

    def settled(self, route: Route, log: Path) -> Route | None:
        return route


class TensorZero:
    """The gateway inside the ``tensorzero`` wheel; it chooses its port itself."""

    name = "tensorzero"
    configuration = (
        "The HTTP gateway that the Python package starts; observability (ClickHouse, Postgres), "
        "usage analytics, cache and keys off. Asked on its OpenAI-compatible path."
    )
    requirement = "tensorzero==2026.6.0"

    def missing(self) -> str | None:
        return None if (ENVS / self.name / "bin" / "python").exists() else "not installed"

    def version(self) -> str:
        return python_version(ENVS / self.name, "tensorzero")

    def launch(self, port: int, upstream: int, folder: Path) -> Launch:
        config = folder / "tensorzero.toml"
        config.write_text(TENSORZERO.format(upstream=upstream))
        python = str(ENVS / self.name / "bin" / "python")
        route = Route(port, "/openai/v1/chat/completions", "tensorzero::model_name::gpt-4o")
        env = clean_environment(UPSTREAM_KEY=UPSTREAM_KEY)
        return Launch([python, "-c", TENSORZERO_START, str(config)], route, env)

    def settled(self, route: Route, log: Path) -> Route | None:
        found = re.search(r"listening http://[\d.]+:(\d+)/openai/v1", log.read_text())
        return replace(route, port=int(found[1])) if found else None


class Portkey:
    """@portkey-ai/gateway on Node; the request's headers say where to go."""

    name = "portkey"
    configuration = (
        "node build/start-server.js --headless, NODE_ENV=production; no configuration of its own: "
        "provider, upstream address and the upstream's key come in each request's headers."
    )
    requirement = "@portkey-ai/gateway@1.15.2"

    def _package(self) -> Path:
        return ENVS / self.name / "node_modules" / "@portkey-ai" / "gateway"

    def missing(self) -> str | None:
        if not shutil.which("node"):
            return "Node is not on PATH"
        return None if (self._package() / "build").exists() else "not installed"

    def version(self) -> str:
        return str(json.loads((self._package() / "package.json").read_text())["version"])

    def launch(self, port: int, upstream: int, folder: Path) -> Launch:
        script = self._package() / "build" / "start-server.js"
        argv = [str(shutil.which("node")), str(script), "--headless", f"--port={port}"]
        headers = [
            f"Authorization: Bearer {UPSTREAM_KEY}",
            "x-portkey-provider: openai",
            f"x-portkey-custom-host: http://127.0.0.1:{upstream}/v1",
        ]
        return Launch(argv, Route(port, headers=headers), clean_environment(NODE_ENV="production"))

    def settled(self, route: Route, log: Path) -> Route | None:
        return route
