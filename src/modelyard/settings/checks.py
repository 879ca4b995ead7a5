"""Checks across settings: what no single value shows to be wrong."""

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

from modelyard.settings.auth_checks import check_auth
from modelyard.settings.fields import Key, field_at, fields_of
from modelyard.settings.known import known_providers
from modelyard.settings.report import Report, suggestion
from modelyard.settings.types import ModelSettings, ProviderSettings, Settings, TargetSettings

SANDBOX = "sandbox"
LOCAL = "local"
SANDBOX_MODELS = ("sandbox", "sandbox-embedding")
DIALECTS = ("openai", "azure", "anthropic", "gemini", "bedrock", LOCAL, SANDBOX)
_METHODS = ("/chat/completions", "/completions", "/embeddings", "/messages")
_REGION = re.compile(r"//bedrock-runtime(-fips)?\.[a-z0-9-]+\.")
_PROVIDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_HEADERS = ("host", "content-length", "transfer-encoding", "connection")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104
_NO_SPACE = "must be visible ASCII characters without spaces; was it copied whole?"


def check(settings: Settings, report: Report) -> None:
    """Run every check; errors and warnings go to ``report``."""
    _server(settings, report)
    _stores(settings, report)
    check_auth(settings.auth, report)
    _networks(settings, report)
    for name, provider in settings.providers.items():
        _provider(("providers", name), name, provider, report)
        _own_address(("providers", name, "base_url"), provider, settings, report)
    for index, model in enumerate(settings.models):
        _model(("models", index), model, settings, report)
    _names(settings, report)
    _default_model(settings, report)


def _server(settings: Settings, report: Report) -> None:
    if re.search(r"[\s/]", settings.host) or "://" in settings.host:
        report.refuse(("host",), "must be an address or host name alone", settings.host)
    if settings.admin_key is not None:
        if not _visible(settings.admin_key):
            report.refuse(("admin_key",), _NO_SPACE, settings.admin_key)
        elif len(settings.admin_key) < 16:
            report.warn(("admin_key",), "is short; anyone who guesses it controls this server")
    if settings.otlp_endpoint is not None:
        _address(("otlp_endpoint",), settings.otlp_endpoint, report)


def _stores(settings: Settings, report: Report) -> None:
    url = settings.database_url
    if url is not None and not re.fullmatch(r"(sqlite:///|postgres(ql)?://).+", url):
        report.refuse(
            ("database_url",),
            "must begin with postgresql:// or sqlite:/// (sqlite:////absolute/path.db). Leave it "
            "out for SQLite in home",
            url,
        )
    if settings.redis_ca_file is not None:
        _readable(("redis_ca_file",), settings.redis_ca_file, report)
    for name, schemes in (("redis_url", "redis|rediss|unix"), ("artifacts_url", "file|s3")):
        url = getattr(settings, name)
        if url is None:
            continue
        if re.match(rf"({schemes})://.", url):
            if name == "redis_url":
                _redis(url, report)
        else:
            choices = " or ".join(f"{scheme}://" for scheme in schemes.split("|"))
            report.refuse((name,), f"must begin with {choices}", url)
    url = settings.artifacts_url or ""
    if url.startswith("file://") and not url.startswith("file:///"):
        report.refuse(("artifacts_url",), "must name a folder in full: file:///srv/artifacts", url)
    if settings.artifacts.endpoint is not None:
        _address(("artifacts", "endpoint"), settings.artifacts.endpoint, report)


def _redis(url: str, report: Report) -> None:
    try:
        parts = urlsplit(url)
        good = parts.port != 0 and re.fullmatch(r"(/\d*)?", parts.path)
    except ValueError:
        good = None
    if not url.startswith("unix:") and not good:
        rule = "must be redis://[[user]:password@]host[:port][/database number]"
        report.refuse(("redis_url",), rule, url)


def _networks(settings: Settings, report: Report) -> None:
    for text in settings.webhooks.allowed_networks:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            rule = "each must be a network in CIDR notation, such as 10.0.0.0/8"
            report.refuse(("webhooks", "allowed_networks"), rule, text)


def _provider(at: Key, name: str, provider: ProviderSettings, report: Report) -> None:
    if not _PROVIDER_NAME.fullmatch(name):
        report.refuse(at, "a provider's name is letters, digits, '-', '_' and '.', 64 at most")
    if provider.dialect not in DIALECTS:
        rule = f"is unknown; {suggestion(provider.dialect, list(DIALECTS))}"
        report.refuse((*at, "dialect"), rule, provider.dialect)
    elif name == SANDBOX and provider.dialect != SANDBOX:
        rule = "the name sandbox is the built-in provider's; choose another name"
        report.refuse((*at, "dialect"), rule, provider.dialect)
    elif provider.dialect not in (LOCAL, SANDBOX):
        _endpoint(at, name, provider, report)
    if provider.dialect == "bedrock":
        _signing(at, provider, report)
    _headers(at, provider, report)
    _files(at, provider, report)
    if provider.proxy is not None:
        _address((*at, "proxy"), provider.proxy, report, user=True)


def _endpoint(at: Key, name: str, provider: ProviderSettings, report: Report) -> None:
    key = (*at, "base_url")
    if provider.base_url is None:
        example = field_at(key)
        report.refuse(
            key,
            "is missing; write where the API begins, such as "
            f'"{example.examples[0] if example else ""}" (only well-known names need none: '
            f"{', '.join(known_providers())})",
        )
    elif provider.base_url.endswith(_METHODS):
        rule = "must end before the method's own path, mostly with /v1"
        report.refuse(key, rule, provider.base_url)
    else:
        _address(key, provider.base_url, report)
    known = known_providers().get(name)
    if provider.api_key is not None:
        if not _visible(provider.api_key):
            report.refuse((*at, "api_key"), _NO_SPACE, provider.api_key)
    elif known and known.key_variable and provider.base_url == known.base_url:
        report.warn((*at, "api_key"), f"is not set, {name} needs one; set {known.key_variable}")


def _signing(at: Key, provider: ProviderSettings, report: Report) -> None:
    """Bedrock takes an API key, or a key and a secret and where they hold."""
    if provider.api_key is not None:
        return
    for field in ("aws_access_key_id", "aws_secret_access_key"):
        if getattr(provider, field) is None:
            report.refuse((*at, field), "is missing: set it, or an api_key of Bedrock")
    if provider.aws_region is None and not _REGION.search(provider.base_url or ""):
        report.refuse((*at, "aws_region"), "is missing: base_url does not tell the region")


def _headers(at: Key, provider: ProviderSettings, report: Report) -> None:
    for name, value in provider.headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            report.refuse((*at, "headers"), f"{name!r} cannot be set as a header's name")
        if not value.isprintable() or not value.isascii():
            report.refuse((*at, "headers"), f"the value of {name} must be printable ASCII")


def _files(at: Key, provider: ProviderSettings, report: Report) -> None:
    for field in fields_of(ProviderSettings).values():
        path = getattr(provider, field.name) if field.path else None
        if path is not None:
            _readable((*at, field.name), path, report)
    if (provider.client_cert is None) != (provider.client_key is None):
        missing = "client_key" if provider.client_key is None else "client_cert"
        report.refuse((*at, missing), "is missing: client_cert and client_key go together")


def _readable(key: Key, path: str, report: Report) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as problem:
        report.refuse(key, f"cannot be read: {problem.strerror or problem}", path)


def _own_address(key: Key, provider: ProviderSettings, settings: Settings, report: Report) -> None:
    """A gateway that calls itself would do so until every connection is taken."""
    if provider.base_url is None or settings.host not in (*_LOOPBACK, *_EVERYWHERE):
        return
    try:
        parts = urlsplit(provider.base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return  # reported by _address
    if parts.hostname in _LOOPBACK and port == settings.port:
        rule = f"is this server's own address; give one of the two another port than {port}"
        report.refuse(key, rule, provider.base_url)


def _model(at: Key, model: ModelSettings, settings: Settings, report: Report) -> None:
    for name in (model.name, *model.aliases):
        key = (*at, "name" if name == model.name else "aliases")
        prefix, slash, _ = name.partition("/")
        if not name or len(name) > 256 or re.search(r"[\s\x00-\x1f\x7f]", name):
            report.refuse(key, "a model's name is 1 to 256 characters without spaces", name)
        elif name in SANDBOX_MODELS:
            report.refuse(key, "is a built-in model; choose another name", name)
        elif slash and prefix in settings.providers:
            rule = f"would hide the model of provider '{prefix}'; choose a name without '{prefix}/'"
            report.refuse(key, rule, name)
    for item in model.targets:
        if isinstance(item, list) and not item:
            report.refuse((*at, "targets"), "a list of equals needs at least one target")
        for target in item if isinstance(item, list) else [item]:
            _target((*at, "targets"), target, settings, report)


def _target(key: Key, item: str | TargetSettings, settings: Settings, report: Report) -> None:
    target = item if isinstance(item, str) else item.target
    provider, slash, model = target.partition("/")
    if not slash or not provider or not model:
        report.refuse(key, "each target is 'provider/model'", target)
    elif provider not in settings.providers:
        known = known_providers().get(provider)
        if known and known.key_variable:
            way = f"set {known.key_variable} or write [providers.{provider}]"
        elif known:
            way = f"write [providers.{provider}]"
        else:
            way = suggestion(provider, list(settings.providers))
        report.refuse(key, f"there is no provider '{provider}'; {way}", target)


def _names(settings: Settings, report: Report) -> None:
    seen: dict[str, int] = {}
    for index, model in enumerate(settings.models):
        for name in (model.name, *model.aliases):
            if name in seen:
                key = ("models", index, "name" if name == model.name else "aliases")
                rule = f"is already a name of models[{seen[name]}]; names and aliases are unique"
                report.refuse(key, rule, name)
            seen.setdefault(name, index)


def _default_model(settings: Settings, report: Report) -> None:
    name = settings.default_model
    if name is None:
        return
    known = [*SANDBOX_MODELS]
    for model in settings.models:
        known += [model.name, *model.aliases]
    known += [f"{p}/{m}" for p, item in settings.providers.items() for m in item.models]
    listed = {model for item in settings.providers.values() for model in item.models}
    direct = "/" in name and name.partition("/")[0] in settings.providers
    # A provider's models are known to its price table only, so with one the server decides.
    priced = any(item.dialect not in (LOCAL, SANDBOX) for item in settings.providers.values())
    if not (direct or priced or name in known or name in listed):
        report.refuse(("default_model",), f"is no model; {suggestion(name, known)}", name)


def _address(key: Key, url: str, report: Report, *, user: bool = False) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"\s", url):
        report.refuse(key, "must be an address that begins with http:// or https://", url)
    elif parts.query or parts.fragment:
        report.refuse(key, "must end before '?' and '#'", url)
    elif parts.username is not None and not user:
        report.refuse(key, "must not hold a user or password; use api_key or headers", url)


def _visible(text: str) -> bool:
    return bool(re.fullmatch(r"[\x21-\x7e]+", text))
