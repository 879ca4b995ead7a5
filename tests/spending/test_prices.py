"""Prices in force and their overrides, on a real server with a real upstream."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.client import Client, Reply
from e2e.test_workers import Pair
from patience import quick, until, waited
from serving import Server
from upstream.plan import Plan
from upstream.server import Upstream

PRICES = "/v1/ai-inference/prices"
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
_numbers = itertools.count()

CONFIG = """\
[providers.main]
base_url = "{main}"
api_key = "x"
retries = 0
models = ["listed"]

[providers.spare]
base_url = "{spare}"
api_key = "x"
retries = 0

[providers.openai]
api_key = "x"

[[models]]
name = "priced"
targets = ["main/priced"]
price = {{ input = 2.0, output = 10.0 }}

[[models]]
name = "noted"
targets = ["main/noted"]
price = {{ input = 1.0, output = 1.0, origin = "the contract", checked = "2026-05-06" }}

[[models]]
name = "chained"
targets = ["main/failing", "spare/backup"]
price = {{ input = 2.0, output = 10.0 }}
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as one:
        for model in ("priced", "listed", "direct", "patched", "backup"):
            one.on(model, Plan(usage=USAGE))
        one.on("failing", Plan(status=503))
        yield one


@pytest.fixture(scope="module")
def server(upstream: Upstream) -> Iterator[Server]:
    with Server(CONFIG.format(main=upstream.url, spare=upstream.url)) as one:
        yield one


@pytest.fixture
def api(server: Server) -> Iterator[Client]:
    one = Client(server.url, server.key)
    yield one
    for each in one.get(f"{PRICES}?filter=source%3Doverride&page_size=1000").json["prices"]:
        if each["etag"]:
            assert one.request("DELETE", f"{PRICES}/{each['id']}").status == 204


def put(api: Client, name: str, **body: Any) -> Reply:
    return api.request("PUT", f"{PRICES}/{name}", body)


def cost(api: Client, model: str) -> float | None:
    """What a call that no cache answers is settled at: in the ledger, and as it is told."""
    mark = f"price-{next(_numbers)}-{time.time_ns()}"
    reply = api.infer(mark, {"X-Request-ID": mark}, model_name=model, use_cache=False)
    assert reply.status == 200, reply.body
    record = api.trace(mark)
    assert record["actual_cost"] == reply.json["actual_cost"]
    return record["actual_cost"]  # type: ignore[no-any-return]


def test_the_configured_price_holds_until_it_is_overridden(api: Client) -> None:
    assert cost(api, "priced") == pytest.approx((1000 * 2 + 100 * 10) / 1e6)
    made = put(api, "priced", input=4.0, output=20.0, note="a contract")
    assert made.status == 200
    assert made.json["id"] == "priced"
    assert cost(api, "priced") == pytest.approx((1000 * 4 + 100 * 20) / 1e6)
    assert api.request("DELETE", f"{PRICES}/priced").status == 204
    assert cost(api, "priced") == pytest.approx((1000 * 2 + 100 * 10) / 1e6)
    assert api.request("DELETE", f"{PRICES}/priced").status == 404


@pytest.mark.parametrize("model", ["main/direct", "main/listed", "listed"])
def test_a_target_without_a_price_gets_one(api: Client, model: str) -> None:
    assert cost(api, model) is None
    name = model if "/" in model else f"main/{model}"
    assert put(api, name, input=1.0, output=1.0).status == 200
    assert cost(api, model) == pytest.approx(1100 / 1e6)


def test_the_override_of_a_target_beats_the_configuration(api: Client) -> None:
    assert put(api, "main/priced", input=1.0, output=1.0).status == 200
    assert cost(api, "priced") == pytest.approx(1100 / 1e6)
    assert put(api, "priced", input=3.0, output=3.0).status == 200
    assert cost(api, "priced") == pytest.approx(3300 / 1e6)
    assert cost(api, "main/priced") == pytest.approx(1100 / 1e6)


def test_a_fallback_has_the_price_of_its_own_target(api: Client) -> None:
    assert cost(api, "chained") == pytest.approx((1000 * 2 + 100 * 10) / 1e6)
    assert put(api, "spare/backup", input=7.0, output=0.0).status == 200
    assert cost(api, "chained") == pytest.approx(7000 / 1e6)


def test_tiers_and_cached_input(api: Client, upstream: Upstream) -> None:
    tiers = [{"above": 999, "input": 10.0, "output": 0.0, "cached_input": 1.0}]
    assert put(api, "main/direct", input=1.0, output=1.0, tiers=tiers).status == 200
    assert cost(api, "main/direct") == pytest.approx(10_000 / 1e6)
    shown = api.get(f"{PRICES}/main/direct").json
    assert shown["tiers"] == [
        {
            "above": 999,
            "per_million": {"input": 10.0, "output": 0.0, "cached_input": 1.0, "cache_write": None},
            "per_thousand": {
                "input": 0.01, "output": 0.0, "cached_input": 0.001, "cache_write": None,
            },
        }
    ]  # fmt: skip


def test_one_price_with_source_and_date(api: Client) -> None:
    before = api.get(f"{PRICES}/priced").json
    assert before == {
        "id": "priced", "provider": "main", "model": "priced", "listed": True,
        "source": "configuration", "origin": None, "checked": None, "currency": "USD",
        "per_million": {"input": 2.0, "output": 10.0, "cached_input": None, "cache_write": None},
        "per_thousand": {"input": 0.002, "output": 0.01, "cached_input": None, "cache_write": None},
        "tiers": [], "note": "", "updated_at": None, "updated_by": None, "etag": None,
    }  # fmt: skip
    made = put(api, "priced", input=4.0, output=20.0, note="a contract").json
    after = api.get(f"{PRICES}/priced").json
    assert after["source"] == "override"
    assert after["etag"] == made["etag"]
    assert after["note"] == "a contract"
    assert after["checked"] == time.strftime("%Y-%m-%d", time.gmtime())
    assert (after["updated_at"], after["updated_by"]) == (made["updated_at"], made["updated_by"])
    table = api.get(f"{PRICES}/openai/gpt-4o").json
    assert (table["source"], table["listed"]) == ("table", True)
    assert table["origin"].startswith("genai-prices")
    assert table["checked"] >= "2026"
    assert table["per_million"]["input"] == pytest.approx(table["per_thousand"]["input"] * 1000)
    noted = api.get(f"{PRICES}/noted").json
    assert noted["source"] == "configuration"
    assert (noted["origin"], noted["checked"]) == ("the contract", "2026-05-06")
    unknown = api.get(f"{PRICES}/main/whatever").json
    assert (unknown["source"], unknown["per_million"], unknown["listed"]) == (None, None, False)
    missing = api.get(f"{PRICES}/nobody/whatever")
    assert (missing.status, missing.code) == (404, "NOT_FOUND")


def test_the_list_is_paged_filtered_and_searched(api: Client) -> None:
    put(api, "main/direct", input=1.0, output=1.0, note="negotiated with Main Corp")

    def ids(query: str) -> list[str]:
        reply = api.get(f"{PRICES}?page_size=1000&{query}")
        assert reply.status == 200, reply.body
        return [one["id"] for one in reply.json["prices"]]

    assert ids("filter=source%3Doverride") == ["main/direct"]
    assert ids("filter=negotiated") == ["main/direct"]
    assert ids("filter=source%3Dconfiguration") == ["chained", "noted", "priced"]
    assert set(ids("filter=provider%3Dmain+AND+listed%3Dtrue")) == {
        "chained", "main/listed", "noted",
        "priced",
    }  # fmt: skip
    dear = ids("filter=per_million.input+>%3D+100")
    assert dear
    every: list[str] = []
    token = ""
    while True:
        page = api.get(f"{PRICES}?page_size=400&page_token={token}").json
        every += [one["id"] for one in page["prices"]]
        token = page["next_page_token"]
        if not token:
            break
    assert every == sorted(set(every))
    assert {"priced", "main/direct", "openai/gpt-4o", "sandbox"} <= set(every)
    assert any(name.startswith("anthropic/") for name in every)  # not configured here
    assert set(dear) <= set(every)


@pytest.mark.parametrize(
    ("name", "body", "rule"),
    [
        ("pricd", {"input": 1, "output": 1}, "unknown_model"),
        ("nobody/direct", {"input": 1, "output": 1}, "unknown_model"),
        ("main/a%20b", {"input": 1, "output": 1}, "unknown_model"),
        ("sandbox", {"input": 1, "output": 1}, "sandbox"),
        ("priced", {"input": -1, "output": 1}, "range"),
        ("priced", {"input": 1}, "required"),
        ("priced", {"input": 1, "output": 1, "cost": 3}, "unknown_field"),
        (
            "priced",
            {"input": 1, "output": 1, "tiers": [{"above": 9, "input": 1, "output": 1}] * 2},
            "order",
        ),
    ],
)
def test_what_is_no_price(api: Client, name: str, body: dict[str, Any], rule: str) -> None:
    reply = put(api, name, **body)
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
    assert reply.json["error"]["details"]["rule"] == rule


def test_a_slip_is_told_what_was_meant(api: Client) -> None:
    assert "did you mean 'priced'" in put(api, "pricd", input=1, output=1).message


def test_a_price_is_the_installation_s(api: Client) -> None:
    tenant = api.new_key(workspace="tenant", scopes=["price:write"])
    denied = put(tenant, "priced", input=0, output=0)
    assert (denied.status, denied.json["error"]["details"]["permission"]) == (
        403,
        "workspace:write",
    )
    assert tenant.get(f"{PRICES}/priced").json["source"] == "configuration"
    reader = api.new_key(scopes=["price:read"])
    denied = put(reader, "priced", input=0, output=0)
    assert (denied.status, denied.json["error"]["details"]["permission"]) == (403, "price:update")
    assert api.new_key(scopes=["key:read"]).get(PRICES).status == 403
    operator = api.new_key(workspace="tenant", scopes=["price:write", "workspace:write"])
    assert put(operator, "priced", input=5, output=5).status == 200
    assert api.get(f"{PRICES}/priced").json["per_million"]["input"] == 5.0
    assert tenant.request("DELETE", f"{PRICES}/priced").status == 403


def test_etags_and_patch(api: Client) -> None:
    made = put(api, "main/patched", input=1.0, output=2.0).json
    stale = {"If-Match": '"00000000-7"'}
    assert (
        api.request("PUT", f"{PRICES}/main/patched", {"input": 9, "output": 9}, stale).status == 412
    )
    body = {"output": 3.0, "etag": made["etag"]}
    patched = api.request("PATCH", f"{PRICES}/main/patched", body)
    assert (patched.json["input"], patched.json["output"]) == (1.0, 3.0)
    assert cost(api, "main/patched") == pytest.approx((1000 + 300) / 1e6)
    until(lambda: len(api.get(f"{PRICES}/main/patched/history").json["entries"]) == 2)
    change = api.get(f"{PRICES}/main/patched/history").json["entries"][0]["changes"]
    assert change == [{"field": "output", "before": 2.0, "after": 3.0}]


def test_a_price_is_kept_over_a_restart(upstream: Upstream) -> None:
    with Server(CONFIG.format(main=upstream.url, spare=upstream.url)) as server:
        api = Client(server.url, server.key)
        put(api, "priced", input=4.0, output=20.0)
        server.stop()
        server.start()
        assert cost(api, "priced") == pytest.approx((1000 * 4 + 100 * 20) / 1e6)


@pytest.mark.slow
def test_a_price_is_in_force_in_all_workers_within_a_second(upstream: Upstream) -> None:
    with Server(CONFIG.format(main=upstream.url, spare=upstream.url), workers=2) as server:
        pair = Pair(server)
        first, second = pair.pids()

        def told() -> float:
            mark = f"w-{next(_numbers)}-{time.time_ns()}"
            reply = pair.api.infer(mark, model_name="priced", use_cache=False)
            return float(reply.json["actual_cost"])

        def seconds() -> float:
            with pair.only(first):
                assert put(pair.api, "priced", input=4.0, output=20.0).status == 200
                assert told() == pytest.approx(0.006)
            with pair.only(second):
                set_ = waited(lambda: told() == pytest.approx(0.006))
                assert pair.api.request("DELETE", f"{PRICES}/priced").status == 204
                assert told() == pytest.approx(0.003)
            with pair.only(first):
                return max(set_, waited(lambda: told() == pytest.approx(0.003)))

        quick(1.0, seconds)
