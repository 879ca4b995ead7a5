"""Counting tokens before a call."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splintr import Tokenizer

from modelyard.inference import tokens

# Counts of o200k_base, as OpenAI's own tokenizer gives them.
KNOWN = {
    "": 0,
    "Hello!": 2,
    "hello world": 2,
    "tiktoken is great!": 6,
    "antidisestablishmentarianism": 6,
    "2 + 2 = 4": 7,
    "お誕生日おめでとう": 8,
}


@pytest.mark.parametrize("text", KNOWN)
def test_known_counts(text: str) -> None:
    assert tokens.count(text) == KNOWN[text]


def test_control_tokens_in_a_text_are_text() -> None:
    assert tokens.count("<|endoftext|>") == 7
    assert tokens.count("<|im_start|>system") > 4


@given(st.text(max_size=200))
def test_pieces_are_the_text_and_as_many_as_counted(text: str) -> None:
    pieces = tokens.split(text)
    assert "".join(pieces) == text
    assert len(pieces) == tokens.count(text)


def test_a_character_of_several_tokens() -> None:
    pieces = tokens.split("👩‍💻")
    assert "" in pieces
    assert "".join(pieces) == "👩‍💻"


def test_surrogates_and_nulls() -> None:
    assert tokens.count("a\ud800b") == tokens.count("a?b")
    assert tokens.split("\udfff") == ["?"]
    assert tokens.count("\0" * 10) > 0
    body = {"messages": [{"role": "user", "content": "\ud800é"}], "tools": [{"x": "\ud800"}]}
    assert tokens.estimate(body, "chat") > 0


@pytest.mark.parametrize(
    "text",
    ["a", " ", "\n", "\0", ".", "é", "中", "😀", "\u200d", "aA", "a'", "<|", "<|endofprompt", "0"],
)
def test_a_megabyte_of_the_same_is_counted_soon(text: str) -> None:
    tokens.load()
    start = time.process_time()
    tokens.count(text * (1_000_000 // len(text)))
    tokens.count(text * (100_000 // len(text)))
    assert time.process_time() - start < 1


def test_long_words_do_not_fill_the_memory() -> None:
    counter = tokens._counter("o200k_base")
    for number in range(60):
        tokens.count(f"{number}" + "abcdefghijklmnop" * 8_000)
    assert counter._tokenizer.cache_len < 40


def test_a_long_text_is_sampled_closely() -> None:
    paragraphs = [
        "The quick brown fox jumps over the lazy dog, and nobody minds at all. ",
        "def add(left: int, right: int) -> int:\n    return left + right\n",
        "Die Förderung erneuerbarer Energien wird ausgeweitet. ",
        '{"id": 12345, "name": "Widget", "price": 19.99}\n',
    ]
    text = "".join(paragraphs[number * 7 % 4] * (number % 5 + 1) for number in range(2_000))
    assert len(text) > 2 * tokens.EXACT_CHARACTERS
    exact = len(Tokenizer.from_pretrained("o200k_base").encode_ordinary(text))
    assert tokens.count(text) == pytest.approx(exact, rel=0.05)
    halves = {"messages": [{"role": "user", "content": text}] * 2}
    assert tokens.estimate(halves, "chat") == pytest.approx(2 * exact, rel=0.05)


def test_a_chat_as_openai_counts_it() -> None:
    hello = {"role": "user", "content": "Hello!"}
    assert tokens.estimate({"messages": [hello]}, "chat") == 9
    assert tokens.estimate({"messages": [hello, hello]}, "chat") == 15
    named = hello | {"name": "bob"}
    assert tokens.estimate({"messages": [named]}, "chat") == 9 + 1 + tokens.count("bob")


def image(**more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": "https://example.com/a.png", **more}}


def test_images_audio_and_files() -> None:
    def of(*parts: Any) -> int:
        return tokens.estimate({"messages": [{"role": "user", "content": list(parts)}]}, "chat") - 7

    assert of({"type": "text", "text": "Hello!"}) == 2
    assert of(image()) == of(image(detail="high")) == 765
    assert of(image(detail="low"), image(detail="low")) == 170
    second = "A" * (48_000 * 4 // 3)
    wav = {"type": "input_audio", "input_audio": {"data": second, "format": "wav"}}
    assert of(wav) == 10
    file = {"type": "file", "file": {"file_data": "A" * 640_000}}
    assert of(file) == 10_000


def test_tools_and_schemas_count() -> None:
    plain = {"messages": [{"role": "user", "content": "Hello!"}]}
    tool = {"type": "function", "function": {"name": "f", "description": "Adds two numbers."}}
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
    call = {"id": "1", "function": {"name": "f", "arguments": '{"a": 1}'}}
    answered = {"role": "assistant", "content": None, "tool_calls": [call]}
    base = tokens.estimate(plain, "chat")
    for more in (
        {"tools": [tool]},
        {"response_format": schema},
        {"messages": [*plain["messages"], answered]},
    ):
        assert tokens.estimate(plain | more, "chat") > base + 5


def test_prompts_and_inputs() -> None:
    assert tokens.estimate({"prompt": "hello world"}, "completion") == 2
    assert tokens.estimate({"prompt": ["hello world", "Hello!"]}, "completion") == 4
    assert tokens.estimate({"prompt": [1, 2, 3]}, "completion") == 3
    assert tokens.estimate({"input": [[1, 2], [3]]}, "embedding") == 3
    assert tokens.estimate({"input": "hello world"}, "embedding") == 2
    assert tokens.estimate({}, "embedding") == 0


TEXTS = [
    "The quick brown fox jumps over the lazy dog, while the others merely look on. " * 4,
    "Die Bundesregierung hat am Mittwoch beschlossen, dass die Förderung ausgeweitet wird. " * 4,
    "模型平台让团队可以在自己的服务器上部署和管理机器学习模型，并且记录每一次请求的费用。" * 4,
    "このゲートウェイは、アプリケーションからの推論リクエストを受け取ります。" * 4,
    "Платформа машинного обучения позволяет командам развертывать модели. " * 4,
    "تتيح المنصة للفرق نشر النماذج على خوادمها الخاصة وتسجيل تكلفة كل طلب. " * 4,
    "यह मंच टीमों को अपने सर्वर पर मॉडल तैनात करने देता है। " * 4,
    "แพลตฟอร์มนี้ช่วยให้ทีมสามารถปรับใช้โมเดลบนเซิร์ฟเวอร์ของตนเอง" * 4,
    '{"id": 12345, "name": "Widget", "price": 19.99, "tags": ["a", "b"]}' * 4,
    "😀🚀🎉👩‍💻🤖" * 4,
]


@pytest.fixture(scope="module", params=["llama2", "llama3", "deepseek_v3", "qwen3", "mistral_v3"])
def vocabulary(request: pytest.FixtureRequest) -> Any:
    return Tokenizer.from_pretrained(request.param)


def test_the_bound_holds_in_other_vocabularies(vocabulary: Any) -> None:
    for text in TEXTS:
        body = {"messages": [{"role": "user", "content": text}]}
        assert len(vocabulary.encode_ordinary(text)) <= tokens.bound(body, "chat"), text


@given(st.lists(st.text(max_size=80), max_size=5))
def test_the_bound_is_above_the_estimate(texts: list[str]) -> None:
    body = {"messages": [{"role": "user", "content": text} for text in texts]}
    measure = tokens.measure(body, "chat")
    assert 0 <= measure.tokens < measure.bound
    assert measure == (tokens.estimate(body, "chat"), tokens.bound(body, "chat"))
