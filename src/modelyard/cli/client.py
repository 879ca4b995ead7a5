"""The client of the command line: JSON and event streams over the standard library's HTTP."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from modelyard import __version__
from modelyard.cli.problem import Problem

SECONDS = 30.0  # of silence, for commands that only ask


class Client:
    """Talks to one server. Each call raises Problem with a line that names the way out."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        self._parts = _checked(self.url)
        if key is not None and not (key.isascii() and key.isprintable()):
            raise Problem("the API key holds characters that no key has", status=2)
        self._key = key

    def get(self, path: str, **query: str) -> Any:
        """GET: the decoded answer."""
        return self.call("GET", path + (f"?{urlencode(query)}" if query else ""))

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        seconds: float = SECONDS,
        once: str = "",
    ) -> Any:
        """Send a request; the decoded answer, None when it has no body.

        ``once`` is an idempotency key: what was sent with it before is answered as it was then.
        """
        more = {"Idempotency-Key": once} if once else {}
        with self._answer(method, path, body, "application/json", seconds, more) as answer:
            text = self._read(answer)
        if not text:
            return None
        try:
            return json.loads(text)
        except ValueError:
            raise Problem(
                f"{self.url} did not answer with JSON; is it a Modelyard server?"
            ) from None

    @contextmanager
    def stream(
        self, path: str, body: Mapping[str, Any], *, seconds: float
    ) -> Iterator[tuple[str, Iterator[bytes]]]:
        """POST for an event stream: the request's id, and the lines as they come."""
        with self._answer("POST", path, body, "text/event-stream", seconds) as answer:
            yield answer.getheader("X-Request-ID") or "unknown", self._lines(answer)

    @contextmanager
    def follow(
        self, path: str, last: str, *, seconds: float = SECONDS
    ) -> Iterator[Iterator[bytes]]:
        """GET for an event stream, after the event ``last`` ("" from now): its lines."""
        headers = {"Last-Event-ID": last} if last else {}
        with self._answer("GET", path, None, "text/event-stream", seconds, headers) as answer:
            yield self._lines(answer)

    def upload(self, path: str, body: bytes, headers: Mapping[str, str]) -> Any:
        """PUT bytes: the decoded answer."""
        with self._answer("PUT", path, body, "application/json", SECONDS, headers) as answer:
            return json.loads(self._read(answer))

    @contextmanager
    def download(
        self, path: str, headers: Mapping[str, str], *, seconds: float = SECONDS
    ) -> Iterator[tuple[int, Any]]:
        """GET bytes: the status, and what reads so many of them."""
        with self._answer("GET", path, None, "*/*", seconds, headers) as answer:
            yield answer.status, answer.read

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None,
        accept: str,
        seconds: float,
        more: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        connection = self._connection(seconds)
        headers = {"Accept": accept, "User-Agent": f"modelyard/{__version__}", **(more or {})}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        payload = body if isinstance(body, bytes) else None
        if body is not None and payload is None:
            payload = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            answer = self._sent(connection, method, self._parts.path + path, payload, headers)
            if answer.status >= 300:
                raise self._refused(answer)
            yield answer
        finally:
            connection.close()

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        secure = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=seconds)

    def _sent(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        payload: bytes | None,
        headers: dict[str, str],
    ) -> http.client.HTTPResponse:
        try:
            connection.request(method, target, payload, headers)
            return connection.getresponse()
        except TimeoutError:
            raise Problem(f"{self.url} did not answer in time; try again later") from None
        except (OSError, http.client.HTTPException) as reason:
            told = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise Problem(
                f"no server answers at {self.url} ({told}); start one with 'modelyard serve', or "
                "name another with --url or MODELYARD_URL"
            ) from None

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            return answer.read()
        except (OSError, http.client.HTTPException):
            raise Problem(f"{self.url} broke off in the middle of its answer") from None

    def _lines(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        try:
            while line := answer.readline():
                yield line
        except (OSError, http.client.HTTPException):
            raise Problem(f"{self.url} broke off in the middle of its answer") from None

    def _refused(self, answer: http.client.HTTPResponse) -> Problem:
        try:
            error = json.loads(self._read(answer))["error"]
            message, code = str(error["message"]), str(error["code"])
        except (ValueError, KeyError, TypeError):
            return Problem(f"{self.url} answered {answer.status} {answer.reason}")
        if answer.status == 401:
            message = f"{message} Give the key with --key or MODELYARD_API_KEY."
        request = error.get("request_id") or answer.getheader("X-Request-ID") or "unknown"
        return Problem(f"{message} ({code}, request {request})", error=error)


def segment(text: str) -> str:
    """A name as one segment of a path."""
    return quote(text, safe="")


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise Problem(f"'{url}' is not a server's address: write --url http://host:port", status=2)
    return parts
