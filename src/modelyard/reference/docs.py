"""The reference that the server itself shows: OpenAPI documents, their rendering, error pages.

Everything comes from installed packages, so it works where there is no internet.
"""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from modelyard.kernel.context import Context
from modelyard.kernel.route import Raw, Route
from modelyard.protocol.errors import DOCS, Failure
from modelyard.protocol.wire import API_VERSION
from modelyard.reference.advice import Advice, all_advice, find
from modelyard.reference.openapi import document
from modelyard.reference.openapi30 import downgrade

TAG = "Operations"
HTML = "text/html; charset=utf-8"
ASSETS = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_KEPT = {"Cache-Control": "public, max-age=3600"}
_STATIC_PAGE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

Serve = Callable[..., Awaitable[Any]]


def routes(every: Callable[[], Iterable[Route]]) -> list[Route]:
    """The reference's routes; ``every`` gives all routes of the server when first asked for."""

    @cache
    def newest() -> dict[str, Any]:
        return document(every(), API_VERSION)

    @cache
    def encoded(version: str) -> bytes:
        return msgspec.json.encode(newest() if version == "3.1" else downgrade(newest()))

    async def openapi(context: Context) -> Raw:
        return Raw(encoded("3.1"), "application/json")

    async def openapi30(context: Context) -> Raw:
        return Raw(encoded("3.0"), "application/json")

    found = {"response": dict[str, Any]}
    html: dict[str, Any] = {"produces": HTML, "response": str}
    return [
        _public("/openapi.json", openapi, "The OpenAPI 3.1 document", **found),
        _public("/openapi-3.0.json", openapi30, "The same as OpenAPI 3.0", **found),
        _public("/docs", reference, "The reference, rendered and runnable", **html),
        _public("/docs/assets/{name}", asset, "A part of the reference", hidden=True),
        _public("/docs/errors", error_list, "All error codes", **html),
        _public(
            "/docs/errors/{code}",
            error_page,
            "What an error code means and what to do",
            errors=("NOT_FOUND",),
            **html,
        ),
    ]


def _public(path: str, serve: Serve, summary: str, **more: Any) -> Route:
    return Route(
        method="GET", path=path, serve=serve, permission=None, summary=summary, tag=TAG, **more
    )


async def reference(context: Context) -> Raw:
    """The page that renders the OpenAPI document (3.0: the bundled renderer knows no 3.1)."""
    page = _text("docs.html")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    policy = (
        "default-src 'none'; connect-src 'self'; img-src 'self' data:; "
        f"style-src 'self' 'unsafe-inline'; script-src 'self' {' '.join(map(_hash, scripts))}"
    )
    return Raw(page.encode(), HTML, headers={"Content-Security-Policy": policy})


async def asset(context: Context, name: str) -> Raw:
    """A file of the bundled renderer."""
    if name not in ASSETS:
        raise Failure("NOT_FOUND", "There is no such file.", details={"field": "name"})
    return Raw((_bundle() / name).read_bytes(), ASSETS[name], headers=_KEPT)


async def error_page(context: Context, code: str) -> Raw:
    """The page of one code."""
    advice = find(code)
    if advice is None:
        raise Failure(
            "NOT_FOUND",
            "There is no such error code. GET /docs/errors lists them all.",
            details={"field": "code"},
        )
    return _page(advice.code.symbol, _explained(advice))


async def error_list(context: Context) -> Raw:
    """The table of all codes."""
    rows = [
        f'<tr><td><a href="{DOCS}{symbol}"><code>{symbol}</code></a></td>'
        f"<td>{advice.code.status or '–'}</td><td>{_inline(advice.code.meaning)}</td></tr>"
        for symbol, advice in all_advice().items()
    ]
    head = "<tr><th>Code</th><th>Status</th><th>Meaning</th></tr>"
    return _page("Errors", f"<table>{head}{''.join(rows)}</table>")


def _explained(advice: Advice) -> str:
    code = advice.code
    facts = {
        "In short": code.meaning,
        "HTTP status": str(code.status or "none: an event, not an error"),
        "Number": code.number,
        "Retry the same request": "yes, later" if code.retryable else "no",
        "Also named": code.other_names,
    }
    rows = [
        f"<tr><th>{name}</th><td>{_inline(value)}</td></tr>"
        for name, value in facts.items()
        if value
    ]
    return (
        f"<table>{''.join(rows)}</table>"
        f"<h2>Cause</h2><p>{_inline(advice.cause)}</p>"
        f"<h2>What to do</h2><p>{_inline(advice.way_out)}</p>"
    )


def _page(title: str, content: str) -> Raw:
    text = Template(_text("error.html")).substitute(title=title, content=content)
    return Raw(text.encode(), HTML, headers=_STATIC_PAGE)


@cache
def _bundle() -> Path:
    """The folder of the bundled renderer, which is not imported: that takes 4 MB."""
    spec = find_spec("swagger_ui_bundle")
    assert spec is not None and spec.origin is not None  # a dependency of this package
    [folder] = (Path(spec.origin).parent / "vendor").iterdir()
    return folder


def _text(name: str) -> str:
    return (Path(__file__).parent / "pages" / name).read_text(encoding="utf-8")


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
