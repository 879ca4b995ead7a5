"""The types of every setting: what it means, its range and its default."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.settings.artifacts import ArtifactSettings
from modelyard.settings.auth import AuthSettings
from modelyard.settings.cache import CacheSettings
from modelyard.settings.jobs import JobsSettings
from modelyard.settings.webhooks import WebhookSettings

DAY = 86_400.0
_SECRET = {"secret": True}  # masked wherever settings are shown
_FILE = {"path": True}  # relative to the configuration file's folder; must exist
_TARGET = "each a 'provider/model', a table {target, weight}, or a list of those (equals)"

Seconds = Annotated[float, Meta(gt=0, le=DAY)]
Tokens = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Dollars = Annotated[float, Meta(ge=0, le=1e6)]


class ProviderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[providers.NAME]``: where models are called.

    A well-known NAME (``openai``, ``groq``, ``ollama`` …) brings its own ``base_url``. A provider
    ``sandbox`` always exists: it answers deterministically and costs nothing. So does ``local``,
    unless it is configured: it runs the models of ``modelyard local install``.
    """

    dialect: Annotated[
        str,
        Meta(
            description="Wire format: `openai`, `azure`, `anthropic`, `gemini` or `bedrock`; "
            "`local` and `sandbox` answer here."
        ),
    ] = "openai"
    base_url: Annotated[
        str | None,
        Meta(
            description="Where the provider's API begins, version included.",
            examples=["http://127.0.0.1:9100/v1"],
        ),
    ] = None
    api_key: Annotated[
        str | None,
        Meta(
            description="Sent as the dialect has it: `Authorization: Bearer …`, `x-api-key`, "
            "`x-goog-api-key` or `api-key`.",
            extra=_SECRET,
        ),
    ] = None
    api_version: Annotated[
        str, Meta(description="Azure OpenAI's `api-version`, sent with each call.")
    ] = "2024-10-21"
    aws_access_key_id: Annotated[
        str | None, Meta(description="Bedrock: signs the calls where there is no `api_key`.")
    ] = None
    aws_secret_access_key: Annotated[
        str | None, Meta(description="Bedrock: the secret of that key.", extra=_SECRET)
    ] = None
    aws_session_token: Annotated[
        str | None, Meta(description="Bedrock: of temporary credentials.", extra=_SECRET)
    ] = None
    aws_region: Annotated[
        str | None,
        Meta(description="Bedrock: signed for; unset: the region in `base_url`."),
    ] = None
    headers: Annotated[
        dict[str, str], Meta(description="Further headers sent with each call.", extra=_SECRET)
    ] = {}
    models: Annotated[
        list[str], Meta(description="Upstream models to list beside the price table's.")
    ] = []
    ca_file: Annotated[
        str | None,
        Meta(description="PEM file of the CA to trust instead of the public ones.", extra=_FILE),
    ] = None
    client_cert: Annotated[
        str | None, Meta(description="PEM file of the client certificate.", extra=_FILE)
    ] = None
    client_key: Annotated[
        str | None, Meta(description="PEM file of the client certificate's key.", extra=_FILE)
    ] = None
    proxy: Annotated[
        str | None,
        Meta(description="HTTP proxy for these calls; none is used unless set here."),
    ] = None
    max_connections: Annotated[
        int, Meta(ge=1, le=100_000, description="Connections to this provider at the same time.")
    ] = 512
    pool_wait: Annotated[
        Seconds, Meta(description="Seconds a call waits for a free connection before it fails.")
    ] = 5.0
    connect_timeout: Annotated[
        Seconds, Meta(description="Seconds for DNS, TCP and TLS together.")
    ] = 5.0
    first_byte_timeout: Annotated[
        Seconds, Meta(description="Seconds from the request to the answer's first byte.")
    ] = 60.0
    idle_timeout: Annotated[
        Seconds, Meta(description="Seconds of silence within an answer before it is given up.")
    ] = 30.0
    retries: Annotated[
        int,
        Meta(
            ge=0,
            le=10,
            description="Further attempts on a target before the chain goes to the next.",
        ),
    ] = 1


class PriceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[models.price]``: overrides the price table for a model."""

    input: Annotated[Dollars, Meta(description="USD per 1M input tokens.")]
    output: Annotated[Dollars, Meta(description="USD per 1M output tokens.")]
    cached_input: Annotated[
        Dollars | None,
        Meta(description="USD per 1M input tokens that the provider read from its own cache."),
    ] = None
    cache_write: Annotated[
        Dollars | None,
        Meta(description="USD per 1M input tokens that the provider wrote to its own cache."),
    ] = None
    origin: Annotated[
        str | None,
        Meta(description="Where the price is from.", examples=["contract 2026-17"]),
    ] = None
    checked: Annotated[
        Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}\Z")] | None,
        Meta(
            description="The day it was last seen there; `prices check` tells when it is old.",
            examples=["2026-11-01"],
        ),
    ] = None


class TargetSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One target of a model, written as a table when it has a weight."""

    target: Annotated[str, Meta(description="`provider/model`.")]
    weight: Annotated[
        float, Meta(gt=0, le=1e6, description="Share of the requests among its equals.")
    ] = 1.0


class ModelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[models]]``: a name that clients ask for, and who answers it.

    ``provider/model`` always works as a name too, without an entry here. The models ``sandbox``
    and ``sandbox-embedding`` always exist.
    """

    name: Annotated[str, Meta(description="The name that clients ask for.", examples=["gpt-4o"])]
    targets: Annotated[
        list[str | TargetSettings | list[str | TargetSettings]],
        Meta(
            min_length=1,
            description="The fallback chain, in order; `balance` chooses among equals.",
            extra={"rule": "a list of at least one target, " + _TARGET},
            examples=[["main/gpt-4o", "backup/claude-sonnet-5"]],
        ),
    ]
    balance: Annotated[
        Literal["weighted", "least_loaded"],
        Meta(description="How one of several equals is chosen."),
    ] = "weighted"
    price: PriceSettings | None = None
    max_output_tokens: Annotated[
        Tokens | None,
        Meta(description="The most tokens an answer may have; unset: unknown."),
    ] = None
    context_window: Annotated[
        Tokens | None, Meta(description="Tokens of prompt and answer together.")
    ] = None
    aliases: Annotated[list[str], Meta(description="Further names of this model.")] = []


class GatewaySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[gateway]``: limits of the data plane."""

    max_payload_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="The largest request body.")
    ] = 50 * 1024 * 1024
    max_response_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 32, description="The largest answer taken from a provider.")
    ] = 100 * 1024 * 1024
    timeout: Annotated[
        Seconds, Meta(description="Seconds for a whole call when the request names none.")
    ] = 300.0
    keepalive_interval: Annotated[
        Seconds, Meta(description="Seconds of silence on a stream before a comment is sent.")
    ] = 15.0
    max_attempts: Annotated[
        int, Meta(ge=1, le=100, description="Upstream attempts for one request, over all targets.")
    ] = 6
    circuit_failures: Annotated[
        int, Meta(ge=1, le=10_000, description="Failures in a row that open a target's circuit.")
    ] = 5
    circuit_seconds: Annotated[
        Seconds, Meta(description="Seconds a circuit stays open before a probe.")
    ] = 15.0
    stream_buffer_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=1 << 30,
            description="Bytes of a shared stream kept for those who join late.",
        ),
    ] = 8 * 1024 * 1024


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration."""

    host: Annotated[
        str,
        Meta(min_length=1, description="Address to listen on; `0.0.0.0` for every interface."),
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65_535, description="TCP port to listen on; 0 takes any free one.")
    ] = 8080
    workers: Annotated[int, Meta(ge=1, le=256, description="Server processes.")] = 1
    home: Annotated[
        Path, Meta(description="Folder of the database, the ledger and the first admin key.")
    ] = Path("~/.modelyard")
    admin_key: Annotated[
        str | None,
        Meta(
            description="An admin key that is valid while it is set; unset: one is generated at "
            "the first start and shown once.",
            extra=_SECRET,
        ),
    ] = None
    database_url: Annotated[
        str | None,
        Meta(
            description="Where resources and the request log are stored: PostgreSQL, or a file of "
            "SQLite; unset: SQLite in `home`.",
            examples=["postgresql://modelyard@db.example/modelyard"],
        ),
    ] = None
    database_sync: Annotated[
        Literal["auto", "second", "commit"],
        Meta(
            description="When a change is on the disk: within a second, as the request log is, or "
            "before it is answered; auto: within a second in SQLite, and in PostgreSQL as its own "
            "`synchronous_commit` says. A killed process of this server loses nothing either way."
        ),
    ] = "auto"
    redis_url: Annotated[
        str | None,
        Meta(
            description="Redis or Valkey: level 2 of the cache; `redis://`, `rediss://` (TLS) or "
            "`unix://`, with user, password and database.",
            examples=["redis://:password@cache.example:6379/0"],
        ),
    ] = None
    redis_ca_file: Annotated[
        str | None,
        Meta(description="PEM file of the CA of `redis_url`, beside the public ones.", extra=_FILE),
    ] = None
    artifacts_url: Annotated[
        str | None,
        Meta(
            description="Where the bytes of artifacts are stored: a folder, or an S3 bucket; "
            "unset: `artifacts` in `home`.",
            examples=["s3://bucket/prefix", "file:///srv/modelyard/artifacts"],
        ),
    ] = None
    default_model: Annotated[
        str | None,
        Meta(
            description="The model of requests that name none; unset: the first of `[[models]]`, "
            "else the first provider's default, else `sandbox`."
        ),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is logged.")
    ] = "info"
    log_format: Annotated[
        Literal["json", "text"], Meta(description="JSON lines, or lines for people.")
    ] = "json"
    otlp_endpoint: Annotated[
        str | None,
        Meta(
            description="OpenTelemetry traces and metrics go here over OTLP/HTTP when set.",
            examples=["http://127.0.0.1:4318"],
        ),
    ] = None
    shutdown_seconds: Annotated[
        float,
        Meta(ge=0, le=DAY, description="Seconds that running requests get to finish at SIGTERM."),
    ] = 30.0
    cache: CacheSettings = CacheSettings()
    gateway: GatewaySettings = GatewaySettings()
    jobs: JobsSettings = JobsSettings()
    auth: AuthSettings = AuthSettings()
    artifacts: ArtifactSettings = ArtifactSettings()
    webhooks: WebhookSettings = WebhookSettings()
    providers: dict[str, ProviderSettings] = {}
    models: list[ModelSettings] = []
