"""The settings of artifacts: where their bytes are, and how many."""

from typing import Annotated

from msgspec import Meta, Struct

DAY = 86_400.0
_MOST = 1 << 50  # bytes

Bytes = Annotated[int, Meta(ge=1, le=_MOST)]


class ArtifactSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[artifacts]``: the bytes of models and data. Where they are is ``artifacts_url``."""

    endpoint: Annotated[
        str | None,
        Meta(
            description="S3: the server, where it is not Amazon's; `AWS_ENDPOINT_URL` is read too.",
            examples=["https://minio.example:9000"],
        ),
    ] = None
    region: Annotated[
        str | None, Meta(description="S3: the bucket's region; `AWS_REGION` is read too.")
    ] = None
    encrypt: Annotated[
        bool,
        Meta(description="Encrypt what is stored from now on: AES-256-GCM, keyed by the pepper."),
    ] = False
    max_bytes: Annotated[Bytes, Meta(description="The largest artifact.")] = 1 << 40
    workspace_bytes: Annotated[
        Bytes | None,
        Meta(description="What a workspace may hold, unfinished uploads included; unset: any."),
    ] = None
    reserve_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=_MOST,
            description="Bytes of a local disk that artifacts leave free for the rest.",
        ),
    ] = 256 * 1024 * 1024
    max_transfers: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Uploads and downloads at the same time in one server process; each needs "
            "8 to 24 MiB.",
        ),
    ] = 16
    upload_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=365 * DAY,
            description="Seconds after which an upload that nobody finished is removed.",
        ),
    ] = 7 * DAY
    grace_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=365 * DAY,
            description="Seconds between an artifact's end and that of its bytes; also how long "
            "one that is kept by reference may be without.",
        ),
    ] = DAY
    collect_seconds: Annotated[
        float, Meta(gt=0, le=DAY, description="Seconds between looks for what can be removed.")
    ] = 300.0
