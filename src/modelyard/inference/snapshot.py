"""What the data plane works from: an immutable picture of models, targets, prices and keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from modelyard.auth.keys import KeyRing
from modelyard.inference.call import CHAT, EMBEDDING, Price
from modelyard.inference.prices import table
from modelyard.inference.providers.provider import Provider
from modelyard.protocol.errors import Failure
from modelyard.settings import ModelSettings, ProviderSettings, Settings, TargetSettings

LOCAL = frozenset({"ollama", "vllm", "llamacpp", "lmstudio", "sglang"})  # own hardware: no price
# Whose models a dialect is made for.
OWNERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "azure": "azure",
    "bedrock": "aws",
}
SANDBOX = "sandbox"
ON_SITE = "local"  # the dialect of models in a process of ours
_FREE = Price(0.0, 0.0, source=ON_SITE)
SANDBOX_EMBEDDING = "sandbox-embedding"


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A provider and one of its models."""

    provider: Provider
    model: str
    name: str  # "provider/model": how the configuration, the trace and clients call it
    settings: ProviderSettings
    price: Price | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A name that clients ask for, and its fallback chain: groups of equals, in order."""

    name: str
    chain: tuple[tuple[Target, ...], ...]
    balance: str = "weighted"
    max_output_tokens: int | None = None
    context_window: int | None = None
    fingerprint: bytes = b""
    first: Target = field(init=False)  # who is asked first, as far as that is certain

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", self.chain[0][0])

    def targets(self) -> Iterable[Target]:
        """Every target, in the order of the chain."""
        return (target for group in self.chain for target in group)

    def dearest(self, input_tokens: int, output_tokens: int) -> int | None:
        """The most that any target of the chain may cost, in nano-dollars.

        None when a target's price is unknown: no bound can be given then.
        """
        highest = 0
        for group in self.chain:
            for target in group:
                if (price := target.price) is None:
                    return None
                highest = max(highest, price.most(input_tokens, output_tokens))
        return highest


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything an inference needs to know. Replaced as a whole, never changed."""

    models: dict[str, Model]  # by name and by alias
    listed: tuple[Model, ...]  # what GET /v1/models shows
    providers: dict[str, tuple[Provider, ProviderSettings]]
    default_model: str
    keys: KeyRing
    overrides: Mapping[str, Price] = field(default_factory=dict)  # see ``build``

    def find(self, name: str, version: str | None = None, kind: str = CHAT) -> Model:
        """The model of that name, alias or ``provider/model``; "" is the default model.

        The sandbox as the default embeds with its own model for that.

        Raises ``MODEL_NOT_FOUND`` with what is available.
        """
        default = self.default_model
        if kind == EMBEDDING and default == SANDBOX:
            default = SANDBOX_EMBEDDING
        model = self.models.get(name or default)
        if model is None:
            model = self._direct(name or self.default_model)
        return model if version is None else _pinned(model, version)

    def _direct(self, name: str) -> Model:
        provider_name, _, upstream = name.partition("/")
        entry = self.providers.get(provider_name)
        if entry is None or not upstream:
            raise Failure(
                "MODEL_NOT_FOUND",
                f"There is no model {name!r}. Use one of the available models, or "
                "'provider/model' for any model of a configured provider.",
                details={
                    "field": "model",
                    "available": [model.name for model in self.listed[:50]],
                    "providers": sorted(self.providers),
                },
            )
        return single(self.target(provider_name, upstream))

    def target(self, provider: str, model: str) -> Target:
        """Any model of a configured provider."""
        price = self.overrides.get(f"{provider}/{model}".lower()) if self.overrides else None
        return make_target(*self.providers[provider], model, price)


def _pinned(model: Model, version: str) -> Model:
    groups = tuple(
        tuple(target for target in group if target.model == version) for group in model.chain
    )
    chain = tuple(group for group in groups if group)
    if not chain:
        raise Failure(
            "MODEL_NOT_FOUND",
            f"The model {model.name!r} has no version {version!r}.",
            details={
                "field": "X-Model-Version",
                "available": sorted({target.model for target in model.targets()}),
            },
        )
    return Model(
        model.name,
        chain,
        model.balance,
        model.max_output_tokens,
        model.context_window,
        fingerprint(model.name, chain),
    )


def fingerprint(name: str, chain: tuple[tuple[Target, ...], ...]) -> bytes:
    """What of a model changes its answers: part of every cache key.

    Kept answers outlive the configuration: a provider that is somebody else now is another one.
    """
    parts = [name]
    for group in chain:
        for target in group:
            one = target.settings
            parts += (target.name, one.dialect, one.base_url or "", one.api_version)
            if one.headers:
                parts += (repr(sorted(one.headers.items())),)
        parts.append("")
    return "".join([f"{len(part)}:{part}" for part in parts]).encode()


def single(target: Target, name: str | None = None) -> Model:
    """A model that is one target."""
    chain = ((target,),)
    return Model(name or target.name, chain, fingerprint=fingerprint(target.name, chain))


def make_target(
    provider: Provider,
    settings: ProviderSettings,
    model: str,
    price: Price | None = None,
    weight: float = 1.0,
) -> Target:
    """A target with its price: the configuration's, else the table's, else unknown."""
    if price is None and settings.dialect == ON_SITE:
        price = _FREE
    if price is None:
        price = table.find(provider.name, settings.base_url or "", model)
    if price is None and provider.name not in LOCAL and settings.dialect in OWNERS:
        # A vendor's own models behind another address.
        price = table.find(OWNERS[settings.dialect], "", model)
    return Target(provider, model, f"{provider.name}/{model}", settings, price, weight)


def build(
    settings: Settings,
    providers: dict[str, tuple[Provider, ProviderSettings]],
    keys: KeyRing,
    overrides: Mapping[str, Price] | None = None,
) -> Snapshot:
    """The snapshot of a checked configuration.

    ``overrides`` are prices by the name of a model or a target in lower case. They beat the
    configuration's, which beat the table's; that of a model beats that of its targets.
    """
    overrides = overrides or {}
    models: dict[str, Model] = {}
    listed: list[Model] = []
    for declared in settings.models:
        model = _model(declared, providers, overrides)
        listed.append(model)
        for name in (declared.name, *declared.aliases):
            models[name] = model
    default = settings.default_model or (settings.models[0].name if settings.models else "")
    for name, (provider, provider_settings) in providers.items():
        upstream = upstream_models(name, provider_settings)
        for entry in upstream:
            price = overrides.get(f"{name}/{entry}".lower())
            model = single(make_target(provider, provider_settings, entry, price))
            models.setdefault(model.name, model)
            listed.append(model)
            models.setdefault(entry, model)
        if not default and name != SANDBOX and provider_settings.dialect != ON_SITE:
            choice = table.default_model(name, provider_settings.base_url or "")
            choice = choice or (upstream[0] if upstream else "")
            default = f"{name}/{choice}" if choice else ""
    for entry in (SANDBOX, SANDBOX_EMBEDDING):
        model = single(make_target(*providers[SANDBOX], entry), entry)
        models.setdefault(entry, model)
        listed.append(model)
    return Snapshot(models, tuple(listed), providers, default or SANDBOX, keys, overrides)


def upstream_models(name: str, provider: ProviderSettings) -> list[str]:
    """The models to list of a provider: its own setting's, then the price table's."""
    listed = table.models(name, provider.base_url or "")
    return list(dict.fromkeys([*provider.models, *listed]))


def unknown_default(settings: Settings) -> str | None:
    """What is wrong with ``default_model``; None when it names a model, or is not set."""
    name = settings.default_model
    if name is None:
        return None
    own = [SANDBOX, SANDBOX_EMBEDDING]
    for declared in settings.models:
        own += [declared.name, *declared.aliases]
    upstream = [
        model
        for provider, one in settings.providers.items()
        for model in upstream_models(provider, one)
    ]
    provider, _, model = name.partition("/")
    if name in own or name in upstream or (model and provider in settings.providers):
        return None
    close = get_close_matches(name, own + upstream, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(own)}."
    return f"is no model; {hint} 'provider/model' names any model of a configured provider"


def _model(
    declared: ModelSettings,
    providers: dict[str, tuple[Provider, ProviderSettings]],
    overrides: Mapping[str, Price],
) -> Model:
    own = declared.price
    price = overrides.get(declared.name.lower())
    overridden = price is not None
    if price is None and own is not None:
        price = table.from_usd_per_million(
            own.input,
            own.output,
            own.cached_input,
            own.cache_write,
            source=f"configuration: {own.origin}" if own.origin else "configuration",
            checked=own.checked,
        )

    def target(item: str | TargetSettings, first: bool) -> Target:
        name, weight = (item, 1.0) if isinstance(item, str) else (item.target, item.weight)
        provider_name, _, upstream = name.partition("/")
        provider, provider_settings = providers[provider_name]
        changed = overrides.get(name.lower())
        known = make_target(provider, provider_settings, upstream, changed, weight)
        if price is None or provider_settings.dialect == SANDBOX:
            return known
        if changed is not None and not overridden:
            return known
        # The price of a model is that of the targets asked first. A fallback has its own, if it
        # is known: another vendor's answer does not cost what the first one's would.
        return replace(known, price=price) if first or known.price is None else known

    chain = tuple(
        tuple(target(item, not number) for item in group)
        if isinstance(group, list)
        else (target(group, not number),)
        for number, group in enumerate(declared.targets)
    )
    return Model(
        declared.name,
        chain,
        declared.balance,
        declared.max_output_tokens,
        declared.context_window,
        fingerprint(declared.name, chain),
    )
