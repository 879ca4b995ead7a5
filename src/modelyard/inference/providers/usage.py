"""``usage`` as OpenAI's servers send it, and what of it can be believed."""

from __future__ import annotations

from typing import Any

from modelyard.inference.call import Usage

MOST_TOKENS = 1_000_000_000  # of one call: more is a provider's mistake


def read_usage(sent: Any) -> Usage | None:
    """The reported usage; None when there is none, or when it cannot be."""
    if not isinstance(sent, dict):
        return None
    prompt = sent.get("prompt_tokens_details")
    completion = sent.get("completion_tokens_details")
    figures = (
        sent.get("prompt_tokens"),
        sent.get("completion_tokens"),
        prompt.get("cached_tokens") if isinstance(prompt, dict) else None,
        prompt.get("cache_write_tokens") if isinstance(prompt, dict) else None,
        completion.get("reasoning_tokens") if isinstance(completion, dict) else None,
    )
    tokens: list[int] = []
    for figure in figures:
        if figure is None:
            tokens.append(0)
        elif type(figure) is int and 0 <= figure <= MOST_TOKENS:
            tokens.append(figure)
        else:
            return None
    prompted, generated, cached, written, reasoned = tokens
    usage = Usage(prompted, generated, cached, written, reasoned)
    return usage if usage.input_tokens or usage.output_tokens else None
