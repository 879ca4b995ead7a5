"""The server against its own OpenAPI document, with data that Schemathesis makes up."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from e2e.client import Client
from modelyard.protocol.wire import API_VERSION
from modelyard.reference.openapi import document
from modelyard.server import routes
from serving import Server

COMMITTED = Path(__file__).parents[2] / "api/openapi.json"


def operations() -> list[str]:
    """Each as ``GET /path``, without those that watch: their streams do not end.

    They are parameters of one test, rather than tests that Schemathesis makes: it works out what
    to ask while tests are collected, which each process does, and pytest-xdist takes tests of
    one name for one test.
    """
    paths = msgspec.json.decode(COMMITTED.read_bytes())["paths"]
    return [
        f"{method.upper()} {path}"
        for path, methods in paths.items()
        for method, told in methods.items()
        if not told["operationId"].startswith("watch")
    ]


@pytest.fixture(scope="module")
def schema() -> OpenApiSchema:
    return schemathesis.openapi.from_dict(document(routes(), API_VERSION))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of its own with nothing but the sandbox: whatever is asked costs nothing."""
    with Server("") as running:
        yield running


def test_the_document_is_served(server: Server, schema: OpenApiSchema) -> None:
    anonymous = Client(server.url, None)
    served = anonymous.get("/openapi.json").json
    assert served["openapi"].startswith("3.1")
    assert served == schema.raw_schema
    assert "/v1/ai-inference/inference" in served["paths"]
    assert anonymous.get("/docs").status in (200, 301, 302, 307)


@pytest.mark.slow
@pytest.mark.parametrize("operation", operations())
def test_every_operation(operation: str, schema: OpenApiSchema, server: Server) -> None:
    method, path = operation.split(" ")
    declared = schema[path][method]
    right, wrong = (declared.as_strategy(generation_mode=mode) for mode in GenerationMode)

    @given(case=strategies.one_of(right, wrong))
    @settings(
        max_examples=5,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def keeps_to_the_document(case: Any) -> None:
        case.call_and_validate(
            base_url=server.url,
            headers={"Authorization": f"Bearer {server.key}"},
            # What a schema cannot say may be refused: a foreign page token, an expiry in the past.
            excluded_checks=[positive_data_acceptance],
            timeout=30,
        )

    keeps_to_the_document()


@pytest.mark.slow
def test_nothing_of_the_above_broke_anything(server: Server) -> None:
    assert "Traceback" not in server.log()
    assert Client(server.url, server.key).chat("sandbox").status == 200
