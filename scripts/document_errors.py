"""Write ``docs/reference/errors``: one page for each code of the registry, and their list.

Run by ``make docs``. ``--check`` writes nothing and fails when a committed page differs.
"""

import sys

from modelyard.reference.advice import Advice, all_advice
from page import ROOT, row, write_or_check

FOLDER = "docs/reference/errors"

INTRODUCTION = """\
# Errors

Every error has a code, a status and a message that names the way out, in one envelope:

```json
{
  "error": {
    "code": "RATE_LIMITED",
    "number": "INFER_004",
    "message": "…",
    "details": {},
    "request_id": "req_4f1c2a9b7d3e5f60a1b2c3d4",
    "timestamp": "2026-01-15T10:30:00.123Z",
    "documentation": "/docs/errors/RATE_LIMITED",
    "retryable": true,
    "retry_after_seconds": 3
  }
}
```

Fields that have nothing to say are left out. `retryable` tells whether the same request may
succeed later; where `Retry-After` is sent, wait that long. The OpenAI surfaces use OpenAI's
envelope, with these codes in its `code`. The server shows the same pages at `/docs/errors`.

"""


def page(advice: Advice) -> str:
    """The page of one code."""
    code = advice.code
    facts = {
        "In short": code.meaning,
        "HTTP status": str(code.status or "none: an event, not an error"),
        "Number": f"`{code.number}`" if code.number else "",
        "Retry the same request": "yes, later" if code.retryable else "no",
        "Also named": code.other_names,
    }
    lines = [
        f"# {code.symbol}",
        "",
        *(f"- {name}: {value}" for name, value in facts.items() if value),
        "",
        "## Cause",
        "",
        advice.cause,
        "",
        "## What to do",
        "",
        advice.way_out,
        "",
        "[All errors](README.md)",
        "",
    ]
    return "\n".join(lines)


def overview() -> str:
    """The list of all codes."""
    lines = [row("Code", "Number", "Status", "Retry", "Meaning"), row(*["---"] * 5)]
    for symbol, advice in all_advice().items():
        code = advice.code
        lines.append(
            row(
                f"[{symbol}]({symbol}.md)",
                code.number or "",
                str(code.status or ""),
                "yes" if code.retryable else "",
                code.meaning,
            )
        )
    return INTRODUCTION + "\n".join(lines) + "\n"


def main() -> int:
    """The exit status."""
    pages = {f"{symbol}.md": page(advice) for symbol, advice in all_advice().items()}
    pages["README.md"] = overview()
    results = [write_or_check(f"{FOLDER}/{name}", text) for name, text in pages.items()]
    stray = sorted(path.name for path in (ROOT / FOLDER).glob("*.md") if path.name not in pages)
    for name in stray:
        print(f"{FOLDER}/{name} belongs to no code of the registry. Remove it.")
    return 1 if stray or any(results) else 0


if __name__ == "__main__":
    sys.exit(main())
