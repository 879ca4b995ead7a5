"""What every request about a resource may carry: preconditions, idempotency, dry runs."""

import asyncio
import hashlib
from typing import Any

import pytest

from conformance.resources.world import Desk, World, over, verb
from modelyard.kernel import idempotency
from modelyard.kernel.context import Context
from modelyard.kernel.resource import Resource

pytestmark = pytest.mark.asyncio(loop_scope="session")
One = Resource[Any]


async def trail(world: World, after: int = 0) -> list[Any]:
    return await world.events(after=after)


async def newest(world: World) -> int:
    await world.store.seal()
    return await world.store.sealed()


def changes(desk: Desk, made: dict[str, Any]) -> list[tuple[str, Any]]:
    """Requests that change an item, the last removes it."""
    found: list[tuple[str, Any]] = []
    if verb("update")(desk.one):
        found += [("PATCH", {"labels": {"x": made["etag"]}}), ("PUT", made | {"labels": {}})]
    return [*found, ("DELETE", None)]


@over(verb("delete"))
async def test_a_change_of_what_was_read_before_is_refused(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.read(await desk.make(full=True))
    for stale in ('"other"', "other", 'W/"x", "y"'):
        for method, body in changes(desk, made):
            body = body and {key: item for key, item in body.items() if key != "etag"}
            headers = {"If-Match": stale}
            reply = await desk.client.request(method, desk.at(made), body, headers=headers)
            assert (reply.status, reply.code) == (412, "ETAG_MISMATCH"), method
            assert reply.error["details"]["etag"] == made["etag"]
    assert await desk.read(made) == made


@over(verb("delete"))
async def test_a_change_of_what_is_there_is_made(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.read(await desk.make(full=True))
    forms = ['"{}"', '"other", "{}"', "*"]
    for (method, body), form in zip(changes(desk, made), forms[-3:], strict=False):
        body = body and {key: item for key, item in body.items() if key != "etag"}
        before = await desk.read(made)
        headers = {"If-Match": form.format(before["etag"])}
        reply = await desk.client.request(method, desk.at(made), body, headers=headers)
        assert reply.status in (200, 204), reply.body
        assert method == "DELETE" or reply.json["etag"] != before["etag"]


@over(verb("update"))
async def test_an_etag_in_the_body_counts(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.read(await desk.make(full=True))
    changed = {"labels": {"changed": "yes"}}
    for method, body in (("PATCH", {}), ("PUT", made)):
        ask = body | changed | {"etag": "other"}
        reply = await desk.client.request(method, desk.at(made), ask)
        assert (reply.status, reply.code) == (412, "ETAG_MISMATCH"), method
        now = await desk.read(made)
        ask = body | changed | {"etag": now["etag"], "labels": {"by": method}}
        reply = await desk.client.request(method, desk.at(made), ask)
        assert (reply.status, reply.json["labels"]) == (200, {"by": method})


@over()
async def test_what_did_not_change_is_not_sent_again(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.make()
    tag = f'"{made["etag"]}"'
    for sent in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        for method in ("GET", "HEAD"):
            headers = {"If-None-Match": sent}
            reply = await desk.client.request(method, desk.at(made), headers=headers)
            assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
            assert "content-length" not in reply.headers
    reply = await desk.client.get(desk.at(made), headers={"If-None-Match": '"other"'})
    assert (reply.status, reply.json["id"]) == (200, made["id"])


@over()
async def test_the_same_request_is_answered_once(world: World, one: One) -> None:
    desk = await world.desk(one)
    body, before = await desk.body(), await newest(world)
    headers = {"Idempotency-Key": f"{desk.mark}-key"}
    first = await desk.client.post(desk.base, body, headers=headers)
    assert first.status == 201, first.body
    assert "idempotency-replayed" not in first.headers
    for quoted in (False, True):
        key = f'"{desk.mark}-key"' if quoted else f"{desk.mark}-key"
        again = await desk.client.post(desk.base, body, headers={"Idempotency-Key": key})
        assert (again.status, again.body) == (201, first.body)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["etag"] == first.headers["etag"]
    created = [each for each in await trail(world, before) if each.event.kind == one.kind]
    assert len(created) == len(desk.items(await desk.list())) == 1
    other = await desk.client.post(desk.base, await desk.body(), headers=headers)
    assert (other.status, other.code) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(desk.items(await desk.list())) == 1


@over(verb("delete"))
async def test_what_was_done_is_answered_again_though_all_has_changed(
    world: World, one: One
) -> None:
    desk = await world.desk(one)
    made = await desk.read(await desk.make(full=True))
    for method, body in changes(desk, made):
        now = await desk.read(made)
        body = body and body | {"labels": {"by": method}, "etag": now["etag"]}
        headers = {"Idempotency-Key": f"{desk.mark}-{method}", "If-Match": f'"{now["etag"]}"'}
        first = await desk.client.request(method, desk.at(made), body, headers=headers)
        again = await desk.client.request(method, desk.at(made), body, headers=headers)
        assert (first.status, first.body) == (again.status, again.body), again.body
        assert first.status in (200, 204)
        assert again.headers["idempotency-replayed"] == "true"


@over()
async def test_the_same_key_of_another_caller_is_another(world: World, one: One) -> None:
    desk = await world.desk(one)
    other = desk.beside(await world.key(desk.workspace))
    headers = {"Idempotency-Key": "shared"}
    first = await desk.client.post(desk.base, await desk.body(), headers=headers)
    second = await other.client.post(desk.base, await desk.body(), headers=headers)
    assert (first.status, second.status) == (201, 201)
    assert first.json["id"] != second.json["id"]


@over()
async def test_requests_at_once_with_one_key_have_one_effect(world: World, one: One) -> None:
    desk = await world.desk(one)
    body, headers = await desk.body(), {"Idempotency-Key": "once"}
    replies = await asyncio.gather(
        *(desk.client.post(desk.base, body, headers=headers) for _ in range(5))
    )
    told = {(reply.status, reply.json.get("error", {}).get("code")) for reply in replies}
    assert (201, None) in told
    assert told <= {(201, None), (409, "IDEMPOTENCY_IN_PROGRESS")}
    assert len({reply.body for reply in replies if reply.status == 201}) == 1
    assert len(desk.items(await desk.list())) == 1


@over()
async def test_while_the_first_request_runs_the_second_is_told(world: World, one: One) -> None:
    desk = await world.desk(one)
    headers = [(b"x-api-key", str(desk.client.key).encode())]
    principal = await world._authenticate(headers)
    context = Context(principal, "req_1", world.ports)
    key, body = f"{desk.mark}-running", b"{}"
    claimed = await idempotency.claim(context, key, f"POST {desk.base}?", body)
    reply = await desk.client.post(
        desk.base,
        body,
        headers={"Idempotency-Key": key, "Content-Type": "application/json"},
    )
    assert (reply.status, reply.code) == (409, "IDEMPOTENCY_IN_PROGRESS")
    assert reply.headers["retry-after"] == "1"
    await world.store.release(claimed)  # type: ignore[arg-type]


@over()
async def test_a_refused_request_may_be_sent_again(world: World, one: One) -> None:
    desk = await world.desk(one)
    headers = {"Idempotency-Key": f"{desk.mark}-again"}
    refused = await desk.client.post(desk.base, {"nonsense": 1}, headers=headers)
    assert refused.status == 400
    assert (await desk.client.post(desk.base, await desk.body(), headers=headers)).status == 201


@over()
async def test_kept_answers_are_encrypted(world: World, one: One) -> None:
    desk = await world.desk(one)
    body, key = await desk.body(full=True), f"{desk.mark}-{hashlib.sha256().hexdigest()}"
    reply = await desk.client.post(desk.base, body, headers={"Idempotency-Key": key})
    assert reply.status == 201
    kept = await world.store.driver.fetch("SELECT key, body FROM idempotency")
    every = b"".join(bytes(part) for row in kept for part in row)
    assert len(every) > len(reply.body)
    for secret in (key, reply.json["id"], reply.json["etag"], reply.json.get("key", desk.mark)):
        assert len(secret) < 4 or secret.encode() not in every, "a number is there by chance"


@over()
async def test_a_dry_run_answers_and_changes_nothing(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.read(await desk.make(full=True))
    body = await desk.body()
    before = await newest(world)
    headers = {"Idempotency-Key": f"{desk.mark}-dry"}
    for _ in range(2):
        path = desk.base + "?validate_only=true"
        reply = await desk.client.post(path, body, headers=headers)
        assert (reply.status, reply.json["labels"]) == (201, body["labels"]), reply.body
    for method, ask in changes(desk, made):
        if verb("delete")(one) or method != "DELETE":
            path = desk.at(made) + "?validateOnly=true"
            reply = await desk.client.request(method, path, ask)
            assert reply.status in (200, 204), reply.body
    bad = await desk.client.post(desk.base + "?validate_only=true", {"nonsense": 1})
    assert bad.status == 400
    assert desk.items(await desk.list()) == [made]
    assert await trail(world, before) == []
    real = await desk.client.post(desk.base, body, headers=headers)
    assert (real.status, "idempotency-replayed" in real.headers) == (201, False)


@over(lambda one: one.own_ids)
async def test_a_dry_run_tells_what_would_be_refused(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.make()
    body = await desk.body(id=made["id"])
    reply = await desk.client.post(desk.base + "?validate_only=true", body)
    assert (reply.status, reply.code) == (409, "CONFLICT")


@over(verb("update"))
async def test_changes_at_once_lose_nothing(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.make()
    path = desk.at(made)
    asks = [(f"{path}?update_mask=labels.k{n}", {"labels": {f"k{n}": str(n)}}) for n in range(8)]
    replies = await asyncio.gather(*(desk.client.request("PATCH", *ask) for ask in asks))
    assert {reply.status for reply in replies} == {200}
    after = await desk.read(made)
    assert {f"k{n}": str(n) for n in range(8)}.items() <= after["labels"].items()
    assert after["etag"].endswith("-9")


@over(verb("update"))
async def test_of_changes_at_once_of_one_revision_one_is_made(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.make()
    headers = {"If-Match": f'"{made["etag"]}"'}
    replies = await asyncio.gather(
        *(
            desk.client.request("PATCH", desk.at(made), {"labels": {"n": f"x{n}"}}, headers=headers)
            for n in range(6)
        )
    )
    assert sorted(reply.status for reply in replies) == [200, 412, 412, 412, 412, 412]


@over()
async def test_the_api_prefix_and_head(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.make()
    plain = await desk.client.get(desk.at(made))
    prefixed = await desk.client.get("/api" + desk.at(made))
    assert prefixed.json == plain.json
    bare = await desk.client.request("HEAD", desk.at(made))
    assert (bare.status, bare.body) == (200, b"")
    assert bare.headers["content-length"] == str(len(plain.body))
    wrong = await desk.client.request("POST", desk.at(made))
    assert (wrong.status, wrong.code) == (405, "METHOD_NOT_ALLOWED")
    assert "GET" in wrong.headers["allow"]
