"""What clients of each surface send: one request for each case."""

from typing import Any

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PDF = "JVBERi0xLjQK"
SCHEMA = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
    "required": ["x", "y"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SIGNATURE = "c2lnbmF0dXJlMQ=="

Request = tuple[str, dict[str, Any]]


def _openai() -> dict[str, Request]:
    tool = {
        "type": "function",
        "function": {"name": "get_weather", "description": "Weather.", "parameters": CITY},
    }
    calls = [
        {
            "id": f"call_{city.lower()}",
            "type": "function",
            "function": {"name": "get_weather", "arguments": f'{{"city":"{city}"}}'},
        }
        for city in ("Paris", "Oslo")
    ]

    def chat(content: Any, **more: Any) -> Request:
        messages = [{"role": "user", "content": content}]
        return "/v1/chat/completions", {"model": "m", "messages": messages} | more

    results = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Paris and Oslo?"},
        {"role": "assistant", "content": "I look.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_paris", "content": "21 degrees"},
        {"role": "tool", "tool_call_id": "call_oslo", "content": "9 degrees"},
    ]
    image = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ]
    file = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    form = {"name": "point", "schema": SCHEMA, "strict": True}
    sampling = {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 50,
        "stop": ["END"],
        "user": "u-1",
    }
    tools = {"tools": [tool], "tool_choice": "auto"}
    return {
        "plain": chat("Hello", **sampling),
        "stream": chat("Hello", stream=True),
        "stream_usage": chat("Hello", stream=True, stream_options={"include_usage": True}),
        "tools": chat("Paris and Oslo?", **tools, parallel_tool_calls=False),
        "tools_stream": chat("Paris and Oslo?", stream=True, tools=[tool], tool_choice="required"),
        "tool_results": ("/v1/chat/completions", {"model": "m", "messages": results, **tools}),
        "image": chat(image),
        "image_stream": chat(image, stream=True),
        "file": chat([{"type": "text", "text": "Sum it up."}, {"type": "file", "file": file}]),
        "structured": chat(
            "A point.", response_format={"type": "json_schema", "json_schema": form}
        ),
        "thinking": chat("Think.", reasoning_effort="medium"),
        "thinking_stream": chat("Think.", reasoning_effort="low", stream=True),
        "refusal": chat("Bad."),
        "cached": chat("Hello"),
        "error": chat("Hello"),
        "too_long": chat("Hello"),
        "dropped": chat("Hello", seed=7, logit_bias={"5": 1}),
        "unsupported": chat("Hello", n=3),
        "embeddings": (
            "/v1/embeddings",
            {"model": "m", "input": ["a", "b"], "encoding_format": "float"},
        ),
    }


def _anthropic() -> dict[str, Request]:
    tool = {"name": "get_weather", "description": "Weather.", "input_schema": CITY}
    used = [
        {
            "type": "tool_use",
            "id": f"toolu_{city.lower()}",
            "name": "get_weather",
            "input": {"city": city},
        }
        for city in ("Paris", "Oslo")
    ]

    def said(content: Any, **more: Any) -> Request:
        messages = [{"role": "user", "content": content}]
        return "/v1/messages", {"model": "m", "max_tokens": 100, "messages": messages} | more

    results = [
        {"type": "tool_result", "tool_use_id": "toolu_paris", "content": "21 degrees"},
        {
            "type": "tool_result",
            "tool_use_id": "toolu_oslo",
            "content": [{"type": "text", "text": "9 degrees"}],
        },
        {"type": "text", "text": "So?"},
    ]
    thought = {"type": "thinking", "thinking": "Two cities.", "signature": SIGNATURE}
    turns = [
        {"role": "user", "content": "Paris and Oslo?"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "I look."}, *used]},
        {"role": "user", "content": results},
    ]
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    image = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]
    pdf = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    kept = {"type": "ephemeral"}
    file = [
        {"type": "document", "source": pdf, "title": "a.pdf", "cache_control": kept},
        {"type": "text", "text": "Sum it up."},
    ]
    system = [{"type": "text", "text": "Be brief.", "cache_control": kept}]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    sampling = {
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"},
    }
    results_body = {"model": "m", "max_tokens": 100, "messages": turns, "tools": [tool]}
    auto = {"type": "auto", "disable_parallel_tool_use": True}
    form = {"format": {"type": "json_schema", "schema": SCHEMA}}
    return {
        "plain": said("Hello", system="Be brief.", **sampling),
        "stream": said("Hello", stream=True),
        "tools": said("Paris and Oslo?", tools=[tool], tool_choice=auto),
        "tools_stream": said(
            "Paris and Oslo?", tools=[tool], tool_choice={"type": "any"}, stream=True
        ),
        "tool_results": ("/v1/messages", results_body),
        "image": said(image),
        "image_stream": said(image, stream=True),
        "file": said(file),
        "structured": said("A point.", output_config=form),
        "thinking": said("Think.", max_tokens=5000, thinking=thinking),
        "thinking_stream": said("Think.", max_tokens=5000, thinking=thinking, stream=True),
        "refusal": said("Bad."),
        "cached": said("Hello", system=system),
        "error": said("Hello"),
        "too_long": said("Hello"),
        "dropped": said("Hello", diagnostics={"previous_message_id": None}),
        "unsupported": said(
            "Hello", tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 1}]
        ),
        "count": (
            "/v1/messages/count_tokens",
            {"model": "m", "messages": [{"role": "user", "content": "Hello, world"}]},
        ),
    }


def _gemini() -> dict[str, Request]:
    tool = {
        "functionDeclarations": [
            {"name": "get_weather", "description": "Weather.", "parametersJsonSchema": CITY}
        ]
    }
    old = {
        "functionDeclarations": [
            {
                "name": "get_weather",
                "description": "Weather.",
                "parameters": {
                    "type": "OBJECT",
                    "properties": {"city": {"type": "STRING"}},
                    "required": ["city"],
                },
            }
        ]
    }

    def said(parts: Any, method: str = "generateContent", **more: Any) -> Request:
        parts = [{"text": parts}] if isinstance(parts, str) else parts
        body = {"contents": [{"role": "user", "parts": parts}]} | more
        return f"/v1beta/models/{{model}}:{method}", body

    stream = "streamGenerateContent?alt=sse"
    calls = [
        {"functionCall": {"name": "get_weather", "args": {"city": city}}}
        for city in ("Paris", "Oslo")
    ]
    calls[0]["thoughtSignature"] = SIGNATURE
    results = [
        {"functionResponse": {"name": "get_weather", "response": {"result": text}}}
        for text in ("21 degrees", "9 degrees")
    ]
    turns = [
        {"role": "user", "parts": [{"text": "Paris and Oslo?"}]},
        {"role": "model", "parts": [{"text": "I look."}, *calls]},
        {"role": "user", "parts": results},
    ]
    any_tool = {"functionCallingConfig": {"mode": "ANY"}}
    image = [
        {"text": "What is this?"},
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
    ]
    file = [
        {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
        {"text": "Sum it up."},
    ]
    sampling = {"temperature": 0.5, "topP": 0.9, "maxOutputTokens": 50, "stopSequences": ["END"]}
    brief = {"parts": [{"text": "Be brief."}]}
    form = {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    thinking = {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}}
    texts = [{"content": {"parts": [{"text": text}]}} for text in ("a", "b")]
    more = {"systemInstruction": brief, "generationConfig": sampling}
    v1 = said("Hello")[1]
    return {
        "plain": said("Hello", **more),
        "stream": said("Hello", stream),
        "stream_array": said("Hello", "streamGenerateContent"),
        "stream_v1": ("/v1/models/{model}%3AstreamGenerateContent?alt=sse", v1),
        "tools": said("Paris and Oslo?", tools=[tool]),
        "tools_stream": said("Paris and Oslo?", stream, tools=[old], toolConfig=any_tool),
        "tool_results": (
            "/v1beta/models/{model}:generateContent",
            {"contents": turns, "tools": [tool], "systemInstruction": brief},
        ),
        "image": said(image),
        "image_stream": said(image, stream),
        "file": said(file),
        "structured": said("A point.", generationConfig=form),
        "thinking": said("Think.", generationConfig=thinking),
        "thinking_stream": said("Think.", stream, generationConfig=thinking),
        "refusal": said("Bad."),
        "cached": said("Hello"),
        "error": said("Hello"),
        "error_stream": said("Hello", "streamGenerateContent"),
        "too_long": said("Hello"),
        "dropped": said(
            "Hello",
            safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        ),
        "unsupported": said("Hello", tools=[{"googleSearch": {}}]),
        "count": said("Hello, world", "countTokens"),
        "embedding": ("/v1beta/models/{model}:embedContent", texts[0]),
        "embeddings": ("/v1beta/models/{model}:batchEmbedContents", {"requests": texts}),
    }


CLIENTS: dict[str, dict[str, Request]] = {
    "openai": _openai(),
    "anthropic": _anthropic(),
    "gemini": _gemini(),
}
