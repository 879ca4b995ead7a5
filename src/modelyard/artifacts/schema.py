"""What clients send and read of artifacts (snake_case), and what is kept of their bytes."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.kernel.fields import HIDDEN, IMMUTABLE, OUTPUT_ONLY, Labels, Time, refers
from modelyard.kernel.methods import Scope
from modelyard.storage.artifacts.places import PART, Bytes

BLOBS = "artifacts/blobs"
OCTETS = "application/octet-stream"
_TOKEN, _VALUE = "[A-Za-z0-9_!#$&^.+-]+", "[A-Za-z0-9_.+-]+"

Name = Annotated[str, Meta(max_length=255, description="As people call it: a file's name.")]
MediaType = Annotated[
    str, Meta(max_length=127, pattern=f"^{_TOKEN}/{_TOKEN}(; ?[A-Za-z0-9_-]+={_VALUE})*$(?!\\n)")
]
Retention = Annotated[
    Literal["kept", "referenced"],
    Meta(
        description="`kept`: until it is deleted. `referenced`: as long as a resource refers to "
        "it, and for the grace period after."
    ),
]
Sha256 = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{64}\Z", description="SHA-256 of the whole, in lower-case hex.")
]
Size = Annotated[int, Meta(ge=0, le=1 << 50, description="Bytes.")]
PartNumber = Annotated[int, Meta(ge=1, le=999_999, description="Begins at 1.")]


class Artifact(Struct, frozen=True, kw_only=True):
    """Bytes that never change. The id is their SHA-256: the same bytes are the same artifact."""

    name: Name = ""
    media_type: MediaType = OCTETS
    retention: Retention = "kept"
    size: Annotated[Size, OUTPUT_ONLY] = 0
    damaged_at: Annotated[
        Time | None,
        OUTPUT_ONLY,
        Meta(description="When the stored bytes were found damaged; another upload mends them."),
    ] = None
    blob: Annotated[str, HIDDEN, refers(BLOBS)] = ""
    idle_since: Annotated[float | None, HIDDEN] = None  # since when nothing refers to it


class Upload(Struct, frozen=True, kw_only=True):
    """An artifact on its way here, in parts."""

    name: Annotated[Name, IMMUTABLE] = ""
    media_type: Annotated[MediaType, IMMUTABLE] = OCTETS
    retention: Annotated[Retention, IMMUTABLE] = "kept"
    size: Annotated[Size | None, IMMUTABLE] = None
    sha256: Annotated[Sha256 | None, IMMUTABLE] = None
    part_size: Annotated[
        int, OUTPUT_ONLY, Meta(description="Bytes of each part; the last may be smaller.")
    ] = PART
    expires_at: Annotated[
        Time, OUTPUT_ONLY, Meta(description="When it is removed, unless parts come until then.")
    ] = ""
    place: Annotated[str, HIDDEN] = ""
    sealed: Annotated[bool, HIDDEN] = False
    idle_seconds: Annotated[float, HIDDEN] = 0.0  # without a part, until it is removed


class StartUpload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The beginning of an upload."""

    name: Name = ""
    media_type: MediaType = OCTETS
    retention: Retention = "kept"
    size: Annotated[Size | None, Meta(description="Of the whole, where it is known.")] = None
    sha256: Sha256 | None = None
    labels: Labels = {}


class Trash(Struct, frozen=True, kw_only=True):
    """A place whose bytes are to be removed. The id is the place."""


class Blob(Struct, frozen=True, kw_only=True):
    """Bytes of the installation, that artifacts of any workspace refer to. The id is the SHA-256.

    ``freed_at`` is when an artifact of it went; it is looked at again after the grace period.
    """

    place: str
    bytes: Bytes
    freed_at: float = 0.0  # 0: none went since it was used last
    damaged: bool = False


class Usage(Struct, frozen=True, kw_only=True):
    """What a workspace holds. The id is the workspace's."""

    bytes: int = 0
    artifacts: int = 0


class UploadPart(Struct, frozen=True, kw_only=True):
    """A part that is stored."""

    number: PartNumber
    size: Size


Parts = Annotated[list[UploadPart], Meta(description="In their order; the missing ones lack.")]


class PutQuery(Scope, frozen=True, kw_only=True):
    """Query parameters of an upload in one request."""

    name: Name = ""
    media_type: Annotated[
        MediaType | None, Meta(description="Unset: the request's Content-Type.")
    ] = None
    retention: Retention = "kept"
    sha256: Sha256 | None = None


class PartQuery(Scope, frozen=True, kw_only=True):
    """Query parameters of a part."""

    number: PartNumber = 1


class Complete(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of an upload."""

    sha256: Sha256 | None = None


class UsageView(Struct, frozen=True, kw_only=True):
    """What a workspace holds, and may."""

    bytes: Size
    artifacts: int
    uploading_bytes: Annotated[Size, Meta(description="Of unfinished uploads: declared, or here.")]
    limit_bytes: Annotated[Size | None, Meta(description="Null: no limit.")]
