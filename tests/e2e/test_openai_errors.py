"""Failures as the official ``openai`` package sees them: its typed exceptions."""

from typing import Any

import openai
import pytest

from e2e.client import Client
from e2e.sdk import done, items, user
from serving import Server
from upstream.plan import CONTENT_FILTERED, CONTEXT_TOO_LONG, Plan
from upstream.server import Upstream


async def failure(sdk: Any, **ask: Any) -> openai.APIStatusError:
    """The exception that this chat raises."""
    with pytest.raises(openai.APIStatusError) as caught:
        await items(sdk.chat.completions.create(**({"messages": user("hi")} | ask)))
    return caught.value


async def test_bad_request_names_the_field(sdk: Any, upstream: Upstream, model: str) -> None:
    error = await failure(sdk, model=model, messages="not a list")
    assert isinstance(error, openai.BadRequestError)
    assert error.code == "INVALID_REQUEST"
    assert error.param == "messages"
    assert error.type == "invalid_request_error"
    assert "messages" in error.message
    assert upstream.calls(model) == []


async def test_unknown_key(sdk: Any) -> None:
    stranger = sdk.with_options(api_key="my-unknown")
    error = await failure(stranger, model="p0")
    assert isinstance(error, openai.AuthenticationError)
    assert error.code == "UNAUTHENTICATED"


async def test_missing_permission(sdk: Any, api: Client, model: str) -> None:
    narrow = api.new_key(scopes=["key:read"])
    client = sdk.with_options(api_key=narrow.key)
    error = await failure(client, model=model)
    assert isinstance(error, openai.PermissionDeniedError)
    assert error.code == "PERMISSION_DENIED"


async def test_unknown_model(sdk: Any) -> None:
    error = await failure(sdk, model="no-model")
    assert isinstance(error, openai.NotFoundError)
    assert error.code == "MODEL_NOT_FOUND"
    assert error.param == "model"
    assert "no-model" in error.message


async def test_the_model_list_s_errors(sdk: Any, api: Client) -> None:
    """As those of the other endpoints, and with our fields."""
    with pytest.raises(openai.NotFoundError) as caught:
        await done(sdk.models.retrieve("no-model"))
    error = caught.value
    assert (error.code, error.type, error.param) == (
        "MODEL_NOT_FOUND",
        "not_found_error",
        "model",
    )
    for key, type_ in (
        ("my-unknown", "authentication_error"),
        (api.new_key(scopes=["key:read"]).key, "permission_error"),
    ):
        with pytest.raises(openai.APIStatusError) as refused:
            await items(sdk.with_options(api_key=key).models.list())
        assert refused.value.type == type_
    told = api.get("/v1/models/no-model").json["error"]
    assert told["timestamp"] and told["number"] and told["details"]["available"]


async def test_rate_limited(sdk: Any, api: Client, upstream: Upstream, model: str) -> None:
    slow = api.new_key(limits={"requests_per_minute": 1})
    client = sdk.with_options(api_key=slow.key)
    await done(client.chat.completions.create(model=model, messages=user("hi")))
    error = await failure(client, model=model)
    assert isinstance(error, openai.RateLimitError)
    assert error.code == "RATE_LIMITED"
    assert float(error.response.headers["retry-after"]) > 0
    assert len(upstream.calls(model)) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("plan", "status", "code", "calls"),
    [
        (Plan(status=429), 429, "RATE_LIMITED", 2),
        (Plan(status=500), 503, "PROVIDER_UNAVAILABLE", 2),
        (Plan(status=503), 503, "PROVIDER_UNAVAILABLE", 2),
        (Plan(status=401), 502, "PROVIDER_ERROR", 1),
        (CONTEXT_TOO_LONG, 400, "CONTEXT_TOO_LONG", 1),
        (CONTENT_FILTERED, 400, "CONTENT_FILTERED", 1),
    ],
    ids=["429", "500", "503", "401", "context", "content"],
)
async def test_what_a_provider_refuses(
    sdk: Any,
    upstream: Upstream,
    model: str,
    plan: Plan,
    status: int,
    code: str,
    calls: int,
    stream: bool,
) -> None:
    upstream.on(model, plan)
    error = await failure(sdk, model=model, stream=stream)
    assert (error.status_code, error.code) == (status, code)
    assert len(upstream.calls(model)) == calls
    assert "up-secret" not in str(error.body)


async def test_a_refusal_keeps_the_provider_s_reason(
    sdk: Any, upstream: Upstream, model: str
) -> None:
    upstream.on(model, CONTENT_FILTERED)
    error = await failure(sdk, model=model)
    assert "safety system" in error.message


@pytest.mark.parametrize(
    ("plan", "retry"), [(Plan(status=503), "true"), (CONTENT_FILTERED, "false")]
)
def test_x_should_retry(
    api: Client, upstream: Upstream, model: str, plan: Plan, retry: str
) -> None:
    upstream.on(model, plan)
    assert api.chat(model).headers["x-should-retry"] == retry


def test_the_package_s_own_retries_end(server: Server, upstream: Upstream, model: str) -> None:
    """With its default of two retries the client calls three times, each of two attempts."""
    client = openai.OpenAI(base_url=server.url + "/v1", api_key=server.key)
    upstream.on(model, Plan(status=500), Plan(status=500), Plan())
    answer = client.chat.completions.create(model=model, messages=user("hi"))
    assert answer.choices[0].message.content
    assert len(upstream.calls(model)) == 3


def test_a_cut_stream_is_an_error(sdk_stream: Any, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=60, cut_after=40))
    with pytest.raises(openai.APIError) as caught:
        sdk_stream(model)
    assert "ended" in str(caught.value) or "cut" in str(caught.value) or caught.value.code


@pytest.fixture
def sdk_stream(server: Server) -> Any:
    """Read a whole stream with the package."""
    client = openai.OpenAI(base_url=server.url + "/v1", api_key=server.key, max_retries=0)

    def read(model: str) -> list[Any]:
        return list(client.chat.completions.create(model=model, messages=user("hi"), stream=True))

    return read
