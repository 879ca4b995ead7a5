"""What can be done with artifacts and uploads, beside reading about them."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from modelyard.artifacts import UploadProgress, artifacts, keeping, uploads
from modelyard.artifacts.depot import Depot, part_size
from modelyard.artifacts.schema import (
    OCTETS,
    Artifact,
    Complete,
    PartQuery,
    PutQuery,
    StartUpload,
    Upload,
    UploadPart,
    UsageView,
)
from modelyard.artifacts.shelf import Shelf, check_sha256
from modelyard.kernel import names
from modelyard.kernel.context import Context, Item
from modelyard.kernel.route import Raw
from modelyard.protocol import ranges
from modelyard.protocol.asgi import Inflow, Stream
from modelyard.protocol.digests import Digests, content_digest
from modelyard.protocol.errors import Failure

_DIGESTS = {
    "Content-Digest": "RFC 9530: `sha-256=:…:`; the body is refused if it is not so.",
    "Content-MD5": "The same, in the older form: base64 of the MD5.",
}
_RANGES = {
    "Range": "`bytes=0-1023`: a part of it, answered with 206.",
    "If-Range": "The ETag that the other parts had: else the whole is sent.",
    "If-None-Match": "The ETag that is here already: then the answer is 304.",
}
_SENDING = ("PAYLOAD_TOO_LARGE", "STORAGE_FULL", "QUOTA_EXCEEDED", "SYSTEM_OVERLOADED")


@artifacts.standard_method(
    "create", response=artifacts.types.view, status=201, inflow=True, headers=_DIGESTS,
    errors=_SENDING,
)  # fmt: skip
async def create(context: Context, body: Inflow, query: PutQuery) -> Item[Artifact]:
    """Upload an artifact in one request.

    The body is the bytes, of any size. The same bytes again are the same artifact. An
    `Idempotency-Key` is not needed and has no effect. For what may be interrupted, start an upload.
    """
    sent = context.header(b"content-type").partition(";")[0].strip()
    upload = uploads.fit(
        {
            "name": query.name,
            "media_type": query.media_type or _media_type(sent),
            "retention": query.retention,
            "size": body.length,
            "sha256": query.sha256,
        }
    )
    return await _shelf(context).take(body, upload, Digests(context.headers))


@artifacts.standard_method("delete", errors=("ETAG_MISMATCH",))
async def delete(context: Context, item: Item[Artifact]) -> None:
    """Delete an artifact.

    One that a resource refers to stays. Its bytes go after the grace period, unless another
    artifact has the same.
    """
    await keeping.free(context, item)


@artifacts.get(
    "content",
    response=str,
    produces=OCTETS,
    headers=_RANGES,
    errors=("RANGE_NOT_SATISFIABLE",),
    operation="downloadArtifact",
)
async def content(context: Context, item: Item[Artifact]) -> Stream | Raw:
    """Download an artifact.

    Each part of the bytes is verified before it is sent; `ETag` is the id. Bytes that are damaged
    end the connection before the announced length.
    """
    depot, size, tag = context.of(Depot), item.spec.size, f'"{item.id}"'
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Repr-Digest": content_digest(item.id),
        "Content-Disposition": _disposition(item.spec.name or item.id),
        "Content-Security-Policy": "sandbox",
    }
    if names.listed(context.header(b"if-none-match"), item.id):
        return Raw(b"", item.spec.media_type, 304, headers)
    asked = ranges.wanted(context.header(b"range"), context.header(b"if-range"), tag, size)
    start, end = asked or (0, size)
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    status = 206 if asked else 200
    if not size:
        return Raw(b"", item.spec.media_type, status, headers)
    depot.admit()
    parts = _shelf(context).read(item, start, end)
    first = await anext(parts)  # what is damaged from its beginning is told by the status
    return Stream(depot.send(first, parts), item.spec.media_type, status, headers)


@artifacts.get("usage", response=UsageView, operation="getArtifactUsage")
async def used(context: Context) -> UsageView:
    """How much the workspace holds."""
    depot = context.of(Depot)
    now, coming = await keeping.held(context, depot)
    limit = depot.settings.workspace_bytes
    return UsageView(
        bytes=now.bytes, artifacts=now.artifacts, uploading_bytes=coming, limit_bytes=limit
    )


@uploads.standard_method(
    "create",
    response=UploadProgress,
    status=201,
    permission="artifact:create",
    errors=_SENDING,
    examples={"request": {"name": "model.onnx", "size": 90_405_214}},
)
async def start(context: Context, ask: StartUpload) -> dict[str, Any]:
    """Start an upload in parts.

    Send the parts in any order, also several at a time; ask for the upload to see what is here.
    """
    depot = context.of(Depot)
    await keeping.affordable(context, depot, ask.size or 0)
    given = {name: getattr(ask, name) for name in ("name", "media_type", "retention")}
    upload = Upload(**given, size=ask.size, sha256=ask.sha256)
    spec = keeping.admitted(depot, upload, depot.settings.upload_seconds)
    item = await context.create(uploads, spec, labels=ask.labels)
    return _told(item, [])


@uploads.standard_method("get", response=UploadProgress)
async def progress(context: Context, item: Item[Upload]) -> dict[str, Any]:
    """Get an upload, and what is here of it."""
    parts, _ = await context.of(Depot).places.survey(item.spec.place)
    return _told(item, [UploadPart(number=one.number, size=one.size) for one in parts])


@uploads.put("parts", permission="artifact:create", inflow=True, headers=_DIGESTS, errors=_SENDING)
async def put_part(
    context: Context, item: Item[Upload], body: Inflow, query: PartQuery
) -> UploadPart:
    """Send a part of an upload.

    Each has `part_size` bytes, only the last may have fewer. One that is sent again takes the
    other's stead. Where the disk is full the whole upload is removed.
    """
    context.unchanged = True  # nothing that the audit trail tells of
    depot = context.of(Depot)
    depot.admit()
    with depot.transfer():
        announced = part_size(item.spec, query.number) if body.length is None else body.length
        await keeping.part_affordable(context, depot, item.spec, announced)
        try:
            part = await depot.receive_part(body, item.spec, query.number, context.headers)
        except Failure as failure:
            if failure.code.symbol == "STORAGE_FULL":
                await asyncio.shield(keeping.discard(context.ports.store, depot, item))
            raise
    return UploadPart(number=part.number, size=part.size)


@uploads.post(
    "complete",
    response=artifacts.types.view,
    status=201,
    permission="artifact:create",
    errors=_SENDING,
)
async def complete(context: Context, item: Item[Upload], ask: Complete) -> dict[str, Any]:
    """Complete an upload.

    It becomes an artifact if all parts are here, and have the SHA-256 that was declared.
    """
    depot = context.of(Depot)
    made, sha256 = await depot.complete(item.spec)
    check_sha256(item.spec.sha256, sha256)
    check_sha256(ask.sha256, sha256)
    await keeping.affordable(context, depot, made.size, place=item.spec.place)
    kept = await keeping.keep(context, depot, item, made, sha256)
    return artifacts.show(kept.row)


@uploads.standard_method("delete", permission="artifact:create", operation="abortUpload")
async def abort(context: Context, item: Item[Upload]) -> None:
    """Abort an upload; what is here of it is removed."""
    depot = context.of(Depot)
    context.delete(item)
    keeping.throw_after(context, depot, item.spec.place)


def _shelf(context: Context) -> Shelf:
    return Shelf(context, context.of(Depot))


def _told(item: Item[Upload], parts: list[UploadPart]) -> dict[str, Any]:
    """An upload, and what is here of it."""
    received = sum(one.size for one in parts)
    return uploads.show(item.row) | {"received_bytes": received, "parts": parts}


def _media_type(sent: str) -> str:
    form = "application/x-www-form-urlencoded"  # what curl says where nobody said anything
    return OCTETS if not sent or sent == form else sent


def _disposition(name: str) -> str:
    plain = "".join(c if (c.isascii() and c.isalnum()) or c in "-_. " else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
