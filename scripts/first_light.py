"""Start a server, send a first request through it, and keep serving: the program of ``make run``.

It takes the options of ``modelyard serve`` and honours its environment. Ctrl-C and SIGTERM end
the server too; so does the end of this program, whatever its reason.
"""

import ctypes
import errno
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelyard.cli.client import Client
from modelyard.cli.infer import PATH
from modelyard.cli.options import local_url
from modelyard.cli.output import console, dollars, print_flush, safe, seconds
from modelyard.cli.problem import Problem
from modelyard.cli.serve import parser, tell_errors
from modelyard.settings import Settings, SettingsError, load

SANDBOX = "sandbox"
PROMPT = "Say in one sentence what an AI gateway is good for."
READY_WITHIN = 60.0  # seconds; far more than a start takes
STOP_WITHIN = 15.0  # seconds beyond what running requests get
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STAGES = ("queue", "upstream", "first_byte", "first_token", "overhead")
PR_SET_PDEATHSIG = 1  # prctl(2)


class Server:
    """``modelyard serve`` as a child process whose output is held back until ``release``."""

    def __init__(self, options: Sequence[str]) -> None:
        self._held: deque[str] | None = deque(maxlen=200)
        self._lock = threading.Lock()
        self.asked_to_stop = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "modelyard", "serve", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C comes to us alone; we pass it on
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self._copier = threading.Thread(target=self._copy, daemon=True)
        self._copier.start()

    def _copy(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            line = raw.decode(errors="replace")
            with self._lock:
                if self._held is None:
                    sys.stderr.write(line)
                    sys.stderr.flush()
                else:
                    self._held.append(line)

    def release(self, *, show: bool = False) -> None:
        """Pass on what the server prints from now on; with ``show`` what it printed as well."""
        with self._lock:
            held, self._held = self._held or (), None
        if show:
            sys.stderr.writelines(held)

    def stop(self, number: int, _frame: FrameType | None = None) -> None:
        """Ask the server to finish what is running and end; a second time ends it at once."""
        self.asked_to_stop = True
        self.process.send_signal(signal.SIGTERM)
        for again in SIGNALS:
            signal.signal(again, lambda *_: self.process.kill())

    def wait(self) -> int:
        """Wait until it ends; its exit status, 0 when it was asked to stop and did."""
        status = self.process.wait()
        if self.asked_to_stop and status in (0, -signal.SIGTERM):
            return 0
        return status if status >= 0 else 128 - status

    def end(self, within: float) -> None:
        """Make sure that it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self._copier.join(2)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def main(arguments: Sequence[str]) -> int:
    """Run it; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        loaded = load(options.config, {"host": options.host, "port": options.port})
    except SettingsError as error:
        tell_errors(error)
        return 2
    settings = loaded.settings
    out = console()
    for warning in loaded.warnings:
        out.print(f"warning: {warning}", style="yellow", markup=False)
    try:
        port = _port(settings)
    except OSError as reason:
        _tell_unusable(settings, reason)
        return 1
    words = [*arguments, "--port", str(port)]
    url = local_url(settings).rpartition(":")[0] + f":{port}"
    return _run(Server(words), Client(url, None), settings, out)


def _run(server: Server, client: Client, settings: Settings, out: Console) -> int:
    for number in SIGNALS:
        signal.signal(number, server.stop)
    try:
        begun = time.monotonic()
        if not _wait(server, client, out):
            server.release(show=True)
            server.end(settings.shutdown_seconds)
            return 0 if server.asked_to_stop else server.wait() or 1
        out.print(f"The server is ready, after {seconds(time.monotonic() - begun)}.\n")
        key = _admin_key(settings)
        model = _first_light(Client(client.url, key), out)
        _next_steps(client.url, key, model, out)
        server.release()
        return server.wait()
    finally:
        server.end(settings.shutdown_seconds + STOP_WITHIN)


def _port(settings: Settings) -> int:
    """The port to serve on, a free one for 0. Raises OSError when it cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((settings.host, settings.port))
        return int(probe.getsockname()[1])


def _tell_unusable(settings: Settings, reason: OSError) -> None:
    told = f"Port {settings.port} of {settings.host} cannot be used: {reason.strerror}."
    if reason.errno == errno.EADDRINUSE:
        told = f"Port {settings.port} is taken: another program listens there."
    other = min(settings.port + 1, 65_535)
    print(
        f"{told}\nChoose another one: MODELYARD_PORT={other} make run (0 takes any free one).",
        file=sys.stderr,
    )


def _wait(server: Server, client: Client, out: Console) -> bool:
    """Whether the server became ready; it may have ended instead."""
    deadline = time.monotonic() + READY_WITHIN
    with out.status("Starting the server …"):
        if not out.is_terminal:
            out.print("Starting the server …")
        while time.monotonic() < deadline and server.process.poll() is None:
            try:
                client.get("/health/ready")
            except Problem:
                time.sleep(0.02)
            else:
                return True
    return False


def _admin_key(settings: Settings) -> str | None:
    if settings.admin_key:
        return settings.admin_key
    try:
        return Path(settings.home, "admin.key").read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _first_light(client: Client, out: Console) -> str:
    """Ask twice and show both answers; returns the model that answered."""
    body: dict[str, Any] = {"prompt": PROMPT, "max_tokens": 100}
    out.print(f"[bold]First request:[/bold] {PROMPT}")
    try:
        first = client.call("POST", PATH, body, seconds=330)
    except Problem as problem:
        out.print(f"It failed: {problem.message}", style="red", markup=False)
        if problem.error.get("code") == "UNAUTHENTICATED":
            out.print("Choose an admin key yourself: MODELYARD_ADMIN_KEY=… make run\n")
            return SANDBOX
        out.print("The sandbox answers instead:")
        body["model"] = SANDBOX
        try:
            first = client.call("POST", PATH, body, seconds=330)
        except Problem as second:
            out.print(f"That failed too: {second.message}", style="red", markup=False)
            return SANDBOX
    out.print(f"\n  {safe(first['response'])}\n", style="green", markup=False)
    _table(first, out)
    again = client.call("POST", PATH, body, seconds=330)
    _compare(first, again, out)
    return str(first["model_used"]) if first["metadata"].get("sandbox") else _name(first)


def _name(answer: dict[str, Any]) -> str:
    return f"{answer['provider_used']}/{answer['model_used']}"


def _table(answer: dict[str, Any], out: Console) -> None:
    metadata = answer["metadata"]
    timings = metadata.get("timings") or {}
    stages = [f"{name} {timings[name]} ms" for name in STAGES if timings.get(name) is not None]
    cost = dollars(answer["actual_cost"])
    provider = f"provider {answer['provider_used']}"
    if metadata.get("sandbox"):
        provider = "a sandbox: deterministic, free, no model was called"
    rows = {
        "model": f"{answer['model_used']} ({provider})",
        "cost": f"{cost} for {answer['input_tokens']} + {answer['output_tokens']} tokens",
        "time": f"{seconds(answer['processing_time'])} ({', '.join(stages)})",
        "cache": metadata.get("cache", "miss"),
        "request": answer["request_id"],
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows.items():
        table.add_row(f"  [bold]{name}[/bold]", escape(str(value)))
    print_flush(table, out)


def _compare(first: dict[str, Any], again: dict[str, Any], out: Console) -> None:
    took = seconds(again["processing_time"])
    if not again["cache_hit"]:
        told = f"{took}, not from the cache ({again['metadata'].get('cache', 'miss')})"
    elif first["metadata"].get("sandbox"):
        told = f"{took}, from the cache (L1). With a provider, its time and its cost are saved."
    else:
        saved = seconds(max(0.0, first["processing_time"] - again["processing_time"]))
        told = f"{took}, from the cache (L1): {saved} and {dollars(first['actual_cost'])} saved."
    out.print(f"[bold]The same again:[/bold] {told}\n")


def _next_steps(url: str, key: str | None, model: str, out: Console) -> None:
    told = key or "the key that was shown at the first start"
    out.print(f"[bold]Server[/bold]     {url}")
    out.print(f"[bold]Docs[/bold]       {url}/docs")
    out.print(f"[bold]Admin key[/bold]  {escape(told)}", soft_wrap=True)
    out.print("\n[bold]Next[/bold]")
    out.print("1. Ask with curl:", markup=False)
    request = '{"prompt": "Hello"}'
    _code(
        out,
        f"curl {url}{PATH} -H 'Authorization: Bearer {told}' \\",
        f"  -H 'Content-Type: application/json' -d '{request}'",
    )
    out.print("2. Use the openai package, with the base URL and the key replaced:", markup=False)
    _code(
        out,
        "from openai import OpenAI",
        f'client = OpenAI(base_url="{url}/v1", api_key="{told}")',
        f'print(client.chat.completions.create(model="{model}",',
        '    messages=[{"role": "user", "content": "Hello"}]).choices[0].message.content)',
    )
    out.print("3. Add a provider by its key alone, and start again:", markup=False)
    _code(out, "OPENAI_API_KEY=sk-… make run")
    out.print("\nServing until Ctrl-C.")


def _code(out: Console, *lines: str) -> None:
    for line in lines:
        out.print(f"     {line}", style="cyan", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
