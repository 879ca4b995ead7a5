"""Write ``docs/reference/support.md``: which surface reaches which dialect, and what becomes of
each parameter.

Made of the folders of ``tests/dialects`` and of the tables beside the dialects. Run by
``make docs``; ``--check`` writes nothing and fails when the committed page differs.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from modelyard.inference.providers import (
    anthropic_request,
    bedrock_request,
    conform,
    gemini_request,
)
from modelyard.inference.providers.parameters import QUIET, REFUSED, TAKEN, Parameter, Rules
from page import ROOT, row, write_or_check

CELLS = ROOT / "tests" / "dialects"
SURFACES = {"openai": "OpenAI", "anthropic": "Anthropic", "gemini": "Gemini"}
DIALECTS = {
    "openai": "OpenAI",
    "azure": "Azure OpenAI",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
    "bedrock": "Bedrock",
}
RULES: dict[str, Rules] = {
    "openai": conform.RULES,
    "anthropic": anthropic_request.RULES,
    "gemini": gemini_request.RULES,
    "bedrock": bedrock_request.RULES,
}
MARKS = {TAKEN: "yes", REFUSED: "400"}

INTRODUCTION = """\
# Surfaces, dialects and parameters

A *surface* is what clients speak, a *dialect* what a provider speaks. Every surface reaches every
dialect; where both are the same, bytes pass untouched. How that is done:
[one canonical call](../adr/0007-one-canonical-call.md).

| Surface | Paths | Official package |
|---|---|---|
| OpenAI | `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/models` | `openai` |
| Anthropic | `/v1/messages`, `/v1/messages/count_tokens`, `/v1/models` with `anthropic-version` | \
`anthropic` |
| Gemini | `models/{model}:generateContent`, `:streamGenerateContent` (events with `alt=sse`, \
else an array), `:countTokens`, `:embedContent`, `:batchEmbedContents`, `/models`, under \
`/v1beta` and `/v1` | \
`google-genai` |

The native surface and OpenAI's are translated alike. `/v1/completions` is OpenAI's dialects' alone,
embeddings are OpenAI's, Azure's, Gemini's, Bedrock's (Cohere's models and Titan) and `local`'s;
elsewhere they are 400 `MODEL_NOT_SUPPORTED`.

## Providers

<!-- run -->
```toml
[providers.anthropic]
api_key = "env:ANTHROPIC_API_KEY"

[providers.gemini]
api_key = "env:GEMINI_API_KEY"

[providers.work]
dialect = "azure"
base_url = "https://example.openai.azure.com"
api_key = "env:AZURE_OPENAI_API_KEY"
api_version = "2024-10-21"

[providers.aws]
dialect = "bedrock"
base_url = "https://bedrock-runtime.eu-central-1.amazonaws.com"
aws_access_key_id = "env:AWS_ACCESS_KEY_ID"
aws_secret_access_key = "env:AWS_SECRET_ACCESS_KEY"
```

A model of Azure is a deployment: `work/my-deployment`. A model of Bedrock is its id or inference
profile: `aws/eu.anthropic.claude-sonnet-5-v1:0`. With Bedrock's API key, `api_key` replaces the two
of AWS. Azure's newer address (`…/openai/v1`) speaks plain `openai`.

## Cells

Each number is the count of cases that are kept byte for byte, both the provider's request and the
client's answer: `tests/dialects/<surface>_<dialect>`.

"""

CASES = """
The cases: {cases}.

"""

PARAMETERS = """\
## Parameters

What becomes of a canonical parameter (OpenAI's name of it) in each dialect, where it has to be
translated: *yes* or its name there; *dropped*, and said in `X-Modelyard-Warning`, where the
vendor's own API of OpenAI's shape ignores it or where it cannot change the answer; *400*
(`MODEL_NOT_SUPPORTED`), which names it and lets the next target of the chain try. A parameter that
is not listed is 400 as well. These steer OpenAI's own service and are left out elsewhere without
a word: {quiet}.

OpenAI's column holds for clients of other surfaces; its own pass whatever they send.

"""

ENDING = """
## What is lost, and what is not

- **Thoughts.** `thinking_blocks` with their signatures come and go between Anthropic, Bedrock and
  every surface; Google's signatures too (as `extra_content` on OpenAI's surface, as a
  `redacted_thinking` block on Anthropic's). To OpenAI's dialect they are not sent. On Anthropic's
  surface those without a signature, or with Google's, are left out of what goes to Anthropic, which
  would refuse them: the turns of a chain may come from several vendors.
- **Images and files** go as data where the dialect takes data. Bedrock takes no http address and
  OpenAI no file by its address: 400. Tool results with images are 400 in OpenAI's dialect.
- **`cache_control`** reaches Anthropic, and Bedrock as a `cachePoint`. OpenAI and Gemini cache by
  themselves: dropped.
- **Tools of a vendor's own** (`web_search_…`, `googleSearch`) reach that vendor from its own
  surface; elsewhere 400.
- **Citations, grounding and log probabilities** are shown only where bytes pass untouched.
- **Pictures that a model of Google's draws** are `images` of OpenAI's message; Anthropic's shape
  has no place for them.
- **Usage** always has the provider's figures; cached and written tokens are part of the prompt's
  in OpenAI's shape and beside them in Anthropic's.
- **Tokens** are counted by Anthropic and Google themselves, for the others here: see
  [accounting](../explanation/accounting.md#by-which-vocabulary). An estimate has a warning.
"""


def cell(surface: str, dialect: str) -> str:
    """How many cases a cell has."""
    cases = len(list((CELLS / f"{surface}_{dialect}").glob("*.txt")))
    return f"{cases}, untouched" if surface == dialect else str(cases)


def cells() -> Iterable[str]:
    """The table of cells."""
    yield row("Surface", *DIALECTS.values())
    yield row(*["---"] * (len(DIALECTS) + 1))
    for surface, name in SURFACES.items():
        yield row(name, *(cell(surface, dialect) for dialect in DIALECTS))


def told(name: str, parameter: Parameter | None) -> str:
    """What becomes of one parameter."""
    if parameter is None:
        return "left out" if name in QUIET else "400"
    mark = MARKS.get(parameter.verdict, parameter.verdict)
    if parameter.verdict == TAKEN:
        return parameter.there or mark
    if parameter.neutral:
        mark += " unless `" + repr(parameter.neutral[0]).replace("'", '"') + "`"
    return f"{mark}: {parameter.there}" if parameter.there else mark


def parameters() -> Iterable[str]:
    """The table of parameters."""
    names = list(dict.fromkeys(name for rules in RULES.values() for name in rules))
    yield row("Parameter", *(DIALECTS[dialect] for dialect in RULES))
    yield row(*["---"] * (len(RULES) + 1))
    for name in names:
        yield row(f"`{name}`", *(told(name, rules.get(name)) for rules in RULES.values()))


def main() -> int:
    """The exit status."""
    found = sorted({Path(path).stem for path in CELLS.glob("*_*/*.txt")})
    text = INTRODUCTION + "\n".join(cells()) + "\n"
    text += CASES.format(cases=", ".join(found))
    text += PARAMETERS.format(quiet=", ".join(f"`{name}`" for name in sorted(QUIET)))
    text += "\n".join(parameters()) + "\n" + ENDING
    return write_or_check("docs/reference/support.md", text)


if __name__ == "__main__":
    sys.exit(main())
