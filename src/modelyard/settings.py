"""Every setting: typed, documented, checked at start."""

from pathlib import Path

from msgspec import Struct


class ProviderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[providers.NAME]``: where models are called."""

    dialect: str = "openai"  # "openai" or "sandbox"; more with later versions
    base_url: str | None = None
    api_key: str | None = None  # "env:NAME" reads the environment
    headers: dict[str, str] = {}  # sent with each call
    models: list[str] = []  # upstream models to list beside the price table's
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = None
    max_connections: int = 512
    pool_wait: float = 5.0
    connect_timeout: float = 5.0
    first_byte_timeout: float = 60.0
    idle_timeout: float = 30.0
    retries: int = 1  # further attempts on the same target, before the chain goes on


class PriceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[models.price]``: USD per 1M tokens; overrides the price table."""

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None


class TargetSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One target of a model, written as a table when it has a weight."""

    target: str  # "provider/model"
    weight: float = 1.0


class ModelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[models]]``: a name that clients ask for, and who answers it.

    ``targets`` is the fallback chain, in order. An item is "provider/model", a table with a
    ``weight``, or a list of those: equals, among which ``balance`` chooses.
    """

    name: str
    targets: list[str | TargetSettings | list[str | TargetSettings]]
    balance: str = "weighted"  # or "least_loaded"
    price: PriceSettings | None = None
    max_output_tokens: int | None = None
    context_window: int | None = None
    aliases: list[str] = []


class CacheSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[cache]``: the exact cache in memory."""

    l1_entries: int = 10_000  # 0 turns it off
    l1_bytes: int = 64 * 1024 * 1024
    l1_ttl: float = 3600.0  # seconds


class GatewaySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[gateway]``: limits of the data plane."""

    max_payload_bytes: int = 50 * 1024 * 1024
    max_response_bytes: int = 100 * 1024 * 1024
    timeout: float = 300.0  # seconds for a whole call, when the request names none
    keepalive_interval: float = 15.0  # seconds of silence before a comment is sent on a stream
    max_attempts: int = 6  # upstream attempts for one request, all targets together
    circuit_failures: int = 5  # consecutive failures that open a target's circuit
    circuit_seconds: float = 15.0  # how long it stays open before a probe
    stream_buffer_bytes: int = 8 * 1024 * 1024  # kept of a shared stream for late followers


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration."""

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    home: Path = Path("~/.modelyard")
    admin_key: str | None = None
    database_url: str | None = None  # default: sqlite in home
    redis_url: str | None = None
    artifacts_url: str | None = None
    default_model: str | None = None
    log_level: str = "info"
    log_format: str = "json"  # or "text"
    otlp_endpoint: str | None = None  # OpenTelemetry traces and metrics go here when set
    shutdown_seconds: float = 30.0  # for running requests to finish after SIGTERM
    cache: CacheSettings = CacheSettings()
    gateway: GatewaySettings = GatewaySettings()
    providers: dict[str, ProviderSettings] = {}
    models: list[ModelSettings] = []
