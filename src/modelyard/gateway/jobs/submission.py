"""What is taken on as an inference job: checked as far as it can be before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from modelyard.gateway.jobs.bodies import LARGE
from modelyard.gateway.jobs.schema import Asked
from modelyard.inference.surfaces.all import surfaces
from modelyard.inference.surfaces.gateway_wire import InferenceRequest
from modelyard.inference.surfaces.inbound import without_key
from modelyard.jobs.schema import FIRST, USUAL
from modelyard.protocol import decode
from modelyard.protocol.errors import Failure

NATIVE = "/v1/ai-inference/inference"
# Of the headers of a request, those that change its answer or tell where it belongs.
_KEPT = ("x-model-version", "x-correlation-id", "traceparent", "api-version", "cache-control")
_VENDORS = ("anthropic-", "openai-", "x-modelyard-")
_MODELS = ("/v1beta/models/", "/v1/models/")  # where the path names the model
_PATHS = frozenset(one.path for one in surfaces(1.0))


class Submission(Struct, frozen=True):
    """A request for later; ``apart`` is its body where that is too large for the job's record."""

    asked: Asked
    apart: str
    model: str | None
    priority: int  # 0 to 9, the first


def submission(
    surface: str, document: dict[str, Any], headers: Mapping[bytes, bytes]
) -> Submission:
    """Understand what is submitted. Raises ``INVALID_REQUEST``."""
    path = _known(surface)
    if document.get("stream") or path.endswith(":streamGenerateContent"):
        raise _wrong("stream", "whole", "A job answers as a whole: leave 'stream' out.")
    if path == NATIVE:
        try:
            msgspec.convert(document, InferenceRequest)
        except msgspec.ValidationError as error:
            raise decode.invalid(error, InferenceRequest) from None
    body = msgspec.json.encode(document).decode()
    apart = body if len(body) >= LARGE else ""
    own = "" if apart else body
    asked = Asked(surface=_open(surface), body=own, headers=_kept(headers))
    return Submission(asked, apart, named(surface, document), _priority(document))


def named(surface: str, document: Mapping[str, Any]) -> str | None:
    """The model that a request names, in its path or its body."""
    path = unquote(surface.partition("?")[0].removeprefix("/api"))
    found = document.get("model") or document.get("model_name")
    if path.startswith(_MODELS):
        found = path.partition("/models/")[2].rpartition(":")[0]
    return found[:256] if isinstance(found, str) else None


def _open(surface: str) -> str:
    """The surface without the caller's secret, for which Google has a place in the query."""
    path, _, query = surface.partition("?")
    kept = without_key(query)
    return f"{path}?{kept}" if kept else path


def _known(surface: str) -> str:
    path = surface.partition("?")[0].removeprefix("/api")
    method = ":" + unquote(path).rpartition(":")[2]
    models = path.startswith(_MODELS)
    if not surface.isascii() or not surface.isprintable() or " " in surface:
        path = ""
    if path in _PATHS or (models and method in _PATHS):
        return unquote(path)
    allowed = sorted(one for one in _PATHS if one.startswith("/"))
    raise _wrong("surface", "known", "There is no such surface.", allowed=allowed)


def _kept(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    told = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
    return {name: told[name] for name in told if name in _KEPT or name.startswith(_VENDORS)}


def _priority(document: dict[str, Any]) -> int:
    """The gateway's 1 to 10 as an operation's 0 to 9."""
    asked = document.get("priority")
    return min(max(asked - 1, 0), FIRST) if isinstance(asked, int) else USUAL


def _wrong(field: str, rule: str, message: str, **more: Any) -> Failure:
    return Failure("INVALID_REQUEST", message, details={"field": field, "rule": rule, **more})
