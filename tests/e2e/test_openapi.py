"""The server against its own OpenAPI document, with data that Schemathesis makes up."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from e2e.client import Client
from serving import Server

CHECKS = [
    schemathesis.checks.not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of its own with nothing but the sandbox: whatever is asked costs nothing."""
    with Server("") as running:
        yield running


@pytest.fixture
def document(server: Server) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(server.url + "/openapi.json")


def test_the_document_is_served(server: Server) -> None:
    anonymous = Client(server.url, None)
    document = anonymous.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    for path in ("/v1/ai-inference/inference", "/v1/chat/completions", "/v1/auth/keys"):
        assert path in document["paths"]
    assert anonymous.get("/docs").status in (200, 301, 302, 307)


schema = schemathesis.pytest.from_fixture("document")


@pytest.mark.slow
@schema.parametrize()
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_operation(case: schemathesis.Case, server: Server) -> None:
    case.call_and_validate(
        headers={"Authorization": f"Bearer {server.key}"}, checks=CHECKS, timeout=30
    )


@pytest.mark.slow
def test_nothing_of_the_above_broke_anything(server: Server) -> None:
    assert "Traceback" not in server.log()
    assert Client(server.url, server.key).chat("sandbox").status == 200
