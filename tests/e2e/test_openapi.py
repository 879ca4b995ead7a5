"""The server against its own OpenAPI document, with data that Schemathesis makes up."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from e2e.client import Client
from modelyard.protocol.wire import API_VERSION
from modelyard.reference.openapi import document
from modelyard.server import routes
from serving import Server

DOCUMENT = schemathesis.openapi.from_dict(document(routes(), API_VERSION))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of its own with nothing but the sandbox: whatever is asked costs nothing."""
    with Server("") as running:
        yield running


def test_the_document_is_served(server: Server) -> None:
    anonymous = Client(server.url, None)
    served = anonymous.get("/openapi.json").json
    assert served["openapi"].startswith("3.1")
    assert served == DOCUMENT.raw_schema
    assert "/v1/ai-inference/inference" in served["paths"]
    assert anonymous.get("/docs").status in (200, 301, 302, 307)


@pytest.mark.slow
@DOCUMENT.exclude(operation_id_regex="^watch").parametrize()  # those streams do not end
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_operation(case: Any, server: Server) -> None:
    case.call_and_validate(
        base_url=server.url,
        headers={"Authorization": f"Bearer {server.key}"},
        # What a schema cannot say may be refused: a foreign page token, an expiry in the past.
        excluded_checks=[positive_data_acceptance],
        timeout=30,
    )


@pytest.mark.slow
def test_nothing_of_the_above_broke_anything(server: Server) -> None:
    assert "Traceback" not in server.log()
    assert Client(server.url, server.key).chat("sandbox").status == 200
