"""Artifacts at ``/v1/artifacts``: bytes of any size that never change, named by their SHA-256."""

from typing import Any

import msgspec

from modelyard.artifacts.schema import BLOBS, Artifact, Blob, Parts, Size, Trash, Upload, Usage
from modelyard.kernel.resource import Resource

artifacts = Resource(
    "/artifacts",
    Artifact,
    tag="Artifacts",
    standard=("list", "get", "update", "delete"),
    filterable=("name", "media_type", "retention", "size"),
    sortable=("name", "size"),
    searchable=("name",),
)
uploads = Resource(
    "/artifacts/uploads",
    Upload,
    tag="Artifacts",
    area="artifact",
    standard=("list",),
    filterable=("name", "size", "sha256"),
    unique=("place",),
    examples={"request": {"name": "model.onnx", "size": 90_405_214}},
)
UploadProgress = msgspec.defstruct(
    "UploadProgress",
    [("received_bytes", Size), ("parts", Parts)],
    bases=(uploads.types.view,),
    kw_only=True,
    module=__name__,
)
# What no client sees: the bytes of all workspaces, each once, and how many each workspace holds.
blobs = Resource(
    "/" + BLOBS,
    Blob,
    tag="",
    standard=(),
    filterable=("freed_at",),
    unique=("place",),
    installation=True,
)
usage = Resource(
    "/artifacts/usage", Usage, tag="", singular="usage", standard=(), installation=True
)
trash = Resource("/artifacts/trash", Trash, tag="", standard=(), installation=True)
INTERNAL: tuple[Resource[Any], ...] = (blobs, usage, trash)
