"""The reference page of all settings, from their types (``scripts/document_settings.py``)."""

from collections.abc import Iterator

import msgspec
from msgspec import NODEFAULT

from modelyard.settings.artifacts import ArtifactSettings
from modelyard.settings.auth import AuthSettings, OidcSettings
from modelyard.settings.cache import CacheSettings
from modelyard.settings.fields import LIST, TABLES, VALUE, Field, Key, fields_of, shown, variable
from modelyard.settings.jobs import JobsSettings
from modelyard.settings.known import known_providers
from modelyard.settings.semantic import SemanticSettings
from modelyard.settings.types import (
    GatewaySettings,
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    Settings,
    TargetSettings,
)
from modelyard.settings.warming import WarmingSettings
from modelyard.settings.webhooks import WebhookSettings

_INTRODUCTION = """\
# Settings

Settings come from the command line, the environment, a file and their defaults: what stands
first in this list wins, setting by setting.

The file is the one named by `--config` or `MODELYARD_CONFIG`, else `modelyard.toml` in the
current folder, else `modelyard.toml` in `MODELYARD_HOME`:

```toml
port = 8080

[providers.main]
base_url = "http://127.0.0.1:9100/v1"
api_key = "env:MAIN_API_KEY"

[[models]]
name = "gpt-4o"
targets = ["main/gpt-4o", "sandbox/sandbox"]

[models.price]
input = 2.5
output = 10
cached_input = 1.25
```

- A string `env:NAME` is read from the environment variable `NAME`; a missing one is an error.
- Each setting is an environment variable too; an empty one counts as unset. One field of one
  provider is `MODELYARD_PROVIDERS_<NAME>_<FIELD>`, the whole tables are JSON in
  `MODELYARD_PROVIDERS` (over the file's, field by field) and `MODELYARD_MODELS` (instead of
  the file's). Lists of strings are written with commas or as JSON.
- Relative paths start at the file's folder, or at the current folder.
- Everything is checked at the start, and all errors are shown at once. `modelyard config` shows
  each value with its source.
"""

_KNOWN = """\
## Well-known providers

These names need no `base_url`. A provider named so reads its key from the vendor's own variable
when no `api_key` is written; that key is sent to the vendor's address only. A variable in bold
adds its provider by itself.
"""


def settings_page() -> str:
    """The page in Markdown."""
    parts = [_INTRODUCTION, "## Top level\n", _table(Settings, ()), *_sections()]
    return "\n".join(parts).rstrip() + "\n"


def _sections() -> Iterator[str]:
    for title, struct, at in (
        ("`[cache]`", CacheSettings, ("cache",)),
        ("`[cache.semantic]`", SemanticSettings, ("cache", "semantic")),
        ("`[cache.warming]`", WarmingSettings, ("cache", "warming")),
        ("`[gateway]`", GatewaySettings, ("gateway",)),
        ("`[auth]`", AuthSettings, ("auth",)),
        ("`[auth.oidc]`", OidcSettings, ("auth", "oidc")),
        ("`[artifacts]`", ArtifactSettings, ("artifacts",)),
        ("`[webhooks]`", WebhookSettings, ("webhooks",)),
        ("`[jobs]`", JobsSettings, ("jobs",)),
        ("`[providers.NAME]`", ProviderSettings, ("providers", "<NAME>")),
        ("`[[models]]`", ModelSettings, ()),
        ("`[models.price]`", PriceSettings, ()),
        ("A target as a table", TargetSettings, ()),
    ):
        yield f"## {title}\n"
        yield f"{_text(struct)}\n"
        yield _table(struct, at)
        if struct is ProviderSettings:
            yield _KNOWN
            yield _known()


def _text(struct: type[msgspec.Struct]) -> str:
    paragraphs = (struct.__doc__ or "").replace("``", "`").split("\n\n")
    first = paragraphs[0].partition(": ")[2] or paragraphs[0]
    rest = [" ".join(paragraph.split()) for paragraph in paragraphs[1:] if paragraph.strip()]
    return " ".join([first[:1].upper() + first[1:], *rest])


def _table(struct: type[msgspec.Struct], at: Key) -> str:
    """One row a setting; the variables' column only where there are any."""
    named = bool(at) or struct is Settings
    columns = ["Setting", *(["Environment variable"] if named else []), "Default", "Meaning"]
    rows = [columns, ["---"] * len(columns)]
    for field in fields_of(struct).values():
        if field.shape in (VALUE, LIST, TABLES) and field.description:
            middle = [f"`{_variable(at, field)}`"] if named else []
            rows.append([f"`{field.name}`", *middle, _default(field), _meaning(field)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _variable(at: Key, field: Field) -> str:
    if at[:1] == ("providers",):
        return f"MODELYARD_PROVIDERS_<NAME>_{variable((field.name,)).removeprefix('MODELYARD_')}"
    return variable((*at, field.name))


def _default(field: Field) -> str:
    if field.default is NODEFAULT:
        return "required"
    if field.default in (None, [], {}):
        return "unset"
    return f"`{shown(field.default)}`"


def _meaning(field: Field) -> str:
    words = [field.description]
    if field.rule not in ("a string", "a path", "a string that is not empty"):
        words.append(f"{field.rule[:1].upper()}{field.rule[1:]}.")
    if field.examples:
        words.append(f"Example: `{shown(field.examples[0])}`.")
    if field.secret:
        words.append("Secret: masked wherever it is shown.")
    return " ".join(words).replace("|", "\\|")


def _known() -> str:
    rows = ["| Name | `base_url` | Key |\n", "| --- | --- | --- |\n"]
    for known in known_providers().values():
        key = f"`{known.key_variable}`" if known.key_variable else "none"
        key = f"**{key}**" if known.added_by_key else key
        url = f"`{known.base_url}`"
        if known.url_variable:
            url = f"`{known.url_variable}`, else {url}"
        rows.append(f"| `{known.name}` | {url} | {key} |\n")
    return "".join(rows)
