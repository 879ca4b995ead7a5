"""By which vocabulary a model's tokens are counted."""

import pytest

from modelyard.inference import tokens, vocabularies
from modelyard.inference.vocabularies import find

MODELS = {
    "gpt-4o-mini-2024-07-18": ("o200k_base", "exact"),
    "openai/o3": ("o200k_base", "exact"),
    "gpt-5.1": ("o200k_base", "exact"),
    "gpt-4.1": ("o200k_base", "exact"),
    "gpt-4-turbo": ("cl100k_base", "exact"),
    "gpt-35-turbo": ("cl100k_base", "exact"),
    "text-embedding-3-small": ("cl100k_base", "exact"),
    "openai/gpt-oss-120b": ("o200k_base", "own"),
    "meta-llama/Llama-3.3-70B-Instruct": ("llama3", "own"),
    "llama3.2:3b": ("llama3", "own"),
    "accounts/fireworks/models/llama-v3p1-8b-instruct": ("llama3", "own"),
    "meta-llama/Llama-4-Scout": ("o200k_base", "other"),
    "llama2:7b": ("llama2", "own"),
    "deepseek-chat": ("deepseek_v3", "own"),
    "deepseek-r1-distill-llama-70b": ("llama3", "own"),
    "mistral-large-latest": ("mistral_v3", "own"),
    "open-mixtral-8x22b": ("mistral_v2", "own"),
    "mistralai/Mixtral-8x7B-Instruct-v0.1": ("mistral_v1", "own"),
    "Qwen/Qwen2.5-72B-Instruct": ("qwen3", "own"),
    "qwen3-32b": ("qwen3", "own"),
    "qwen3.5-plus": ("o200k_base", "other"),
    "glm-4.5-air": ("glm4", "own"),
    "moonshotai/kimi-k2-instruct": ("kimi_k2", "own"),
    "claude-sonnet-5": ("o200k_base", "other"),
    "gemini-2.5-pro": ("o200k_base", "other"),
    "my-deployment": ("o200k_base", "other"),
}


@pytest.mark.parametrize(("model", "wanted"), MODELS.items())
def test_a_models_vocabulary_is_found_by_its_name(model: str, wanted: tuple[str, str]):
    found = find(model)
    assert (found.name, found.fit) == wanted
    assert (found.warning(model) is None) == (found.fit == "exact")


def test_a_guess_says_what_is_known_of_it():
    assert find("claude-sonnet-5").warning("claude-sonnet-5") == (
        "The count is an estimate by o200k_base: Claude's own vocabulary is not published; how "
        "far off it is could not be measured."
    )
    assert "llama3.2's own vocabulary (llama3)" in (find("llama3.2").warning("llama3.2") or "")


# As OpenAI's cookbook has them ("How to count tokens with tiktoken").
@pytest.mark.parametrize(
    ("text", "o200k", "cl100k"),
    [("antidisestablishmentarianism", 6, 6), ("2 + 2 = 4", 7, 7), ("お誕生日おめでとう", 8, 9)],
)
def test_published_counts(text: str, o200k: int, cl100k: int):
    assert tokens.count(text, "o200k_base") == tokens.count(text) == o200k
    assert tokens.count(text, "cl100k_base") == cl100k


def test_every_vocabulary_of_the_table_counts():
    names = {row.name for _, row in vocabularies._table()}
    counts = {name: tokens.count("मनुष्यों को स्वतन्त्रता", name) for name in sorted(names)}
    assert len(counts) == 15
    assert counts["llama2"] > counts["cl100k_base"] > counts["llama3"] > counts["o200k_base"] > 0
    for name in names:
        assert tokens.count("<|endoftext|><s>", name) > 2  # spelled out, it is text
        assert tokens.count("", name) == 0


def test_a_request_is_counted_by_the_vocabulary_that_is_named():
    body = {"messages": [{"role": "user", "content": "お誕生日おめでとう"}]}
    assert tokens.estimate(body, "chat") == 8 + 7
    assert tokens.estimate(body, "chat", "cl100k_base") == 9 + 7
