"""The data plane's endpoints as declarations, for the OpenAPI document alone."""

from typing import Any, NamedTuple

from modelyard.inference.surfaces.chat import ChatRequest, CompletionRequest, EmbeddingRequest
from modelyard.inference.surfaces.gateway_wire import (
    InferenceRequest,
    InferenceResponse,
    StreamMessage,
)
from modelyard.inference.surfaces.gemini import (
    CountTokensRequest,
    EmbedManyRequest,
    EmbedRequest,
    GenerateRequest,
)
from modelyard.inference.surfaces.gemini_wire import (
    GeminiEmbedding,
    GeminiEmbeddings,
    GeminiError,
    GeminiResponse,
    GeminiTokens,
)
from modelyard.inference.surfaces.messages import CountRequest, MessagesRequest
from modelyard.inference.surfaces.messages_wire import (
    Message,
    MessageError,
    MessageEvent,
    TokenCount,
)
from modelyard.inference.surfaces.wire import (
    ChatCompletion,
    ChatCompletionChunk,
    Completion,
    EmbeddingList,
    OpenAIError,
)
from modelyard.kernel.route import Route

_ERRORS = (
    "INVALID_REQUEST",
    "MODEL_NOT_SUPPORTED",
    "CONTENT_FILTERED",
    "CONTEXT_TOO_LONG",
    "BUDGET_EXCEEDED",
    "MODEL_NOT_FOUND",
    "REQUEST_TIMEOUT",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "RATE_LIMITED",
    "QUOTA_EXCEEDED",
    "PROVIDER_ERROR",
    "PROVIDER_UNAVAILABLE",
    "SYSTEM_OVERLOADED",
    "LEDGER_UNAVAILABLE",
    "INFERENCE_TIMEOUT",
    "IDEMPOTENCY_IN_PROGRESS",
    "IDEMPOTENCY_KEY_REUSED",
)
_HEADERS = {
    "X-Model-Version": "The upstream model to use among the model's targets",
    "X-Modelyard-Cache": "'on' or 'off': share and cache this request whatever its temperature",
    "X-Modelyard-Cache-TTL": "Seconds this answer is kept, at most a year",
    "X-Modelyard-Cache-Namespace": "Answers are shared within this namespace only",
    "Cache-Control": "`no-store`, `no-cache` or `max-age=SECONDS`: which kept answers will do",
    "X-Modelyard-Semantic-Cache": "'on' or 'off': answer with a kept answer to a question that "
    "means the same",
    "X-Request-ID": "Taken over as the request's id; at most 128 printable ASCII characters",
    "X-Correlation-ID": "Links related requests; echoed",
    "Idempotency-Key": "A string of your own: the model is asked once, its answer kept for a day",
    "traceparent": "W3C Trace Context; passed on upstream",
}
_SENDS = {
    "X-Correlation-ID": "The client's, or the request's id.",
    "traceparent": "W3C Trace Context: the trace of this request.",
    "X-Modelyard-Cache": "`l1`, `l2`, `l3`, `semantic`, `shared`, `miss` or `off`: how the answer "
    "was obtained.",
    "Age": "Seconds since a kept answer was new.",
    "X-Modelyard-Semantic": "Of a semantic hit: `similarity` of the questions, `confidence` of the "
    "`verifier`, `age` of the answer and `prompt-age` of its question in seconds.",
    "X-Modelyard-Warning": "What the provider was not asked for, as its API does not have it.",
    "Idempotency-Key": "The request's own.",
    "Idempotency-Replayed": "`true` where the first answer of the key is given again.",
    "X-Modelyard-Target": "Who answered, as `provider/model`.",
    "X-Modelyard-Cost": "USD that this answer cost; absent where unknown, and on streams.",
    "X-Model-Version": "The model that the provider says answered.",
    "X-RateLimit-Limit": "The request limit of the key that is nearest to exhaustion.",
    "X-RateLimit-Remaining": "What is left of it.",
    "X-RateLimit-Reset": "When its window ends, in Unix seconds.",
    "RateLimit-Policy": "Every limit of the key (draft-ietf-httpapi-ratelimit-headers).",
    "RateLimit": "What is left of each, and the seconds until its window ends.",
    "X-Quota-Limit": "Requests per day, where the key has such a limit.",
    "X-Quota-Used": "How many of them were made.",
}


class _Vendor(NamedTuple):
    """Whose API a route has."""

    tag: str
    description: str
    failure: Any

    def route(
        self, path: str, summary: str, request: Any, response: Any, example: Any, stream: Any = None
    ) -> Route:
        """One of its endpoints."""
        return Route(
            method="POST",
            path=path,
            permission="inference:create",
            summary=summary,
            description=self.description,
            tag=self.tag,
            request=request,
            response=response,
            stream=stream,
            failure=self.failure,
            errors=_ERRORS,
            headers=_HEADERS,
            sends=_SENDS,
            examples={"request": example},
        )


_OPENAI = _Vendor(
    "OpenAI",
    "As OpenAI's API has it; unknown fields are passed on to the provider.",
    OpenAIError,
)
_ANTHROPIC = _Vendor("Anthropic", "As Anthropic's API has it, whoever answers.", MessageError)
_GEMINI = _Vendor(
    "Gemini", "As Google's API has it, whoever answers; under `/v1`, too.", GeminiError
)


def surface_routes() -> list[Route]:
    """One declaration for each inference endpoint."""
    return [
        Route(
            method="POST",
            path="/v1/ai-inference/inference",
            permission="inference:create",
            summary="Answer one prompt",
            description="Admission, cache, deduplication, routing with failover, and settlement.",
            tag="Gateway",
            request=InferenceRequest,
            response=InferenceResponse,
            stream=StreamMessage,
            errors=_ERRORS,
            headers=_HEADERS,
            sends=_SENDS,
            examples={
                "request": {"prompt": "What is the capital of France?", "max_tokens": 100},
            },
        ),
        *_chat(),
        *_messages(),
        *_gemini(),
    ]


def _chat() -> list[Route]:
    return [
        _OPENAI.route(
            "/v1/chat/completions",
            "OpenAI chat completion",
            ChatRequest,
            ChatCompletion,
            {"model": "sandbox", "messages": [{"role": "user", "content": "Hello"}]},
            ChatCompletionChunk,
        ),
        _OPENAI.route(
            "/v1/completions",
            "OpenAI text completion",
            CompletionRequest,
            Completion,
            {"model": "sandbox", "prompt": "Once upon a time"},
            Completion,
        ),
        _OPENAI.route(
            "/v1/embeddings",
            "OpenAI embeddings",
            EmbeddingRequest,
            EmbeddingList,
            {"model": "sandbox-embedding", "input": "A text"},
        ),
    ]


def _messages() -> list[Route]:
    return [
        _ANTHROPIC.route(
            "/v1/messages",
            "Anthropic message",
            MessagesRequest,
            Message,
            {
                "model": "sandbox",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": "Hello"}],
            },
            MessageEvent,
        ),
        _ANTHROPIC.route(
            "/v1/messages/count_tokens",
            "Tokens of an Anthropic message",
            CountRequest,
            TokenCount,
            {"model": "sandbox", "messages": [{"role": "user", "content": "Hello"}]},
        ),
    ]


def _gemini() -> list[Route]:
    asked = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    text = {"content": {"parts": [{"text": "A text"}]}}
    model = "/v1beta/models/{model}"
    return [
        _GEMINI.route(
            f"{model}:generateContent", "Gemini answer", GenerateRequest, GeminiResponse, asked
        ),
        _GEMINI.route(
            f"{model}:streamGenerateContent",
            "Gemini answer as it comes",
            GenerateRequest,
            GeminiResponse,
            asked,
            GeminiResponse,
        ),
        _GEMINI.route(
            f"{model}:countTokens", "Gemini tokens", CountTokensRequest, GeminiTokens, asked
        ),
        _GEMINI.route(
            f"{model}:embedContent", "Gemini embedding", EmbedRequest, GeminiEmbedding, text
        ),
        _GEMINI.route(
            f"{model}:batchEmbedContents",
            "Gemini embeddings",
            EmbedManyRequest,
            GeminiEmbeddings,
            {"requests": [text]},
        ),
    ]
