"""A provider of any dialect: it answers what a test scripted, byte for byte."""

import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


@dataclass(frozen=True)
class Scripted:
    """One answer. A stream is sent in pieces of ``split`` bytes."""

    body: bytes
    status: int = 200
    kind: str = "application/json"
    split: int | None = None
    pause: float = 0.0  # seconds before the stream's last piece
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """One request as it came in; header names in lower case."""

    method: str
    path: str
    fields: dict[str, str]
    body: bytes


class Provider:
    """The server. The last answer repeats."""

    def __init__(self) -> None:
        self.answers: list[Scripted] = []
        self.asked: list[Asked] = []
        owner = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                owner._answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Provider":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def script(self, *answers: Scripted) -> None:
        """Answer so from now on; what was asked before is forgotten."""
        self.answers = list(answers)
        self.asked = []

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("content-length") or 0)
        fields = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, handler.path, fields, handler.rfile.read(length))
        self.asked.append(asked)
        scripted = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        handler.send_response(scripted.status)
        handler.send_header("content-type", scripted.kind)
        for name, value in scripted.fields.items():
            handler.send_header(name, value)
        if scripted.split is None:
            handler.send_header("content-length", str(len(scripted.body)))
            handler.end_headers()
            handler.wfile.write(scripted.body)
            return
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(scripted.body), scripted.split):
            piece = scripted.body[start : start + scripted.split]
            if start + scripted.split >= len(scripted.body):
                time.sleep(scripted.pause)
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            handler.wfile.flush()
        handler.wfile.write(b"0\r\n\r\n")
