"""Proxies: absolute form for http, CONNECT for https, and never unless they are set."""

import asyncio
import base64
import ssl
from pathlib import Path

import pytest
import trustme
from scripted import (
    OK,
    PATIENCE,
    Peer,
    Script,
    Upstream,
    answers,
    free,
    request,
    short,
    until,
)

from modelyard.inference.transport import proxy
from modelyard.inference.transport.client import Client
from modelyard.inference.transport.wire import (
    ConnectFailed,
    ConnectTimeout,
    DnsFailure,
    Origin,
    Tls,
    TlsFailure,
)


async def tunnel(peer: Peer) -> None:
    """A proxy that connects to where it is asked to, and copies bytes."""
    asked = await peer.head()
    host, _, port = asked.line.split()[1].rpartition(b":")
    reader, writer = await asyncio.open_connection(host.decode(), int(port))
    await peer.send(b"HTTP/1.1 200 Connection established\r\nContent-Length: 5\r\n\r\n")

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
        target.close()

    await asyncio.gather(copy(peer.reader, writer), copy(reader, peer.writer))


def secure(folder: Path) -> tuple[ssl.SSLContext, Tls]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context, Tls(ca_file=str(folder / "ca.pem"))


async def test_http_goes_in_absolute_form(client: Client) -> None:
    async with Upstream(answers(OK)) as server:
        via = f"http://my-user:my%3Apass@127.0.0.1:{server.port}"
        origin = Origin("http", "model.example", 8000, proxy=via)
        for number in range(2):
            ask = request("POST", "/v1/x?y=1", b"{}")
            response = await client.send(origin, ask, short(), whole=True)
            assert response.reused == (number > 0)
            assert await response.read(10) == b"ok"
        asked = server.asked[1]
        assert asked.line == b"POST http://model.example:8000/v1/x?y=1 HTTP/1.1"
        assert asked.headers[b"host"] == b"upstream"
        credentials = base64.b64encode(b"my-user:my:pass")
        assert asked.headers[b"proxy-authorization"] == b"Basic " + credentials


async def test_https_goes_through_a_tunnel(client: Client, tmp_path: Path) -> None:
    context, tls = secure(tmp_path)
    async with Upstream(answers(OK), context=context) as upstream, Upstream(tunnel) as server:
        via = f"http://my-user:my-pass@127.0.0.1:{server.port}"
        origin = upstream.origin(host="localhost", tls=tls, proxy=via)
        for number in range(2):
            response = await client.send(origin, request(), short(), whole=True)
            assert response.reused == (number > 0)
            assert await response.read(10) == b"ok"
        [asked] = server.asked
        assert asked.line == b"CONNECT localhost:%d HTTP/1.1" % upstream.port
        assert asked.headers[b"proxy-authorization"].startswith(b"Basic ")
        assert b"proxy-authorization" not in upstream.asked[0].headers
        await client.close()


async def test_the_origins_certificate_is_verified_through_a_tunnel(
    client: Client, tmp_path: Path
) -> None:
    context, _ = secure(tmp_path)
    async with Upstream(answers(OK), context=context) as upstream, Upstream(tunnel) as server:
        via = f"http://127.0.0.1:{server.port}"
        origin = upstream.origin(host="localhost", tls=Tls(), proxy=via)
        with pytest.raises(TlsFailure):
            await client.send(origin, request(), short(), whole=True)
        assert free(client, origin)


def says(answer: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer)

    return script


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "refused the tunnel: 403 Forbidden"),
        (b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\n\r\n", "407 Who are you"),
        (b"HTTP/1.0 502 Bad\x1b[31m Gateway\r\n\r\n", r"502 Bad\[31m Gateway"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "100 Continue"),
        (b"what?\r\n\r\n", "not HTTP"),
        (b"", "instead of answering"),
        (b"HTTP/1.1 200 OK\r\n", "instead of answering"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000, "no end"),
        (b"HTTP/1.1 200 OK\r\n\r\nmore", "spoke before"),
    ],
)
async def test_a_refused_tunnel(client: Client, answer: bytes, words: str) -> None:
    async with Upstream(says(answer)) as server:
        via = f"http://my-user:my-pass@127.0.0.1:{server.port}"
        origin = Origin("https", "model.example", 443, proxy=via)
        with pytest.raises(ConnectFailed, match=words) as caught:
            await client.send(origin, request(), short(), whole=True)
        assert not caught.value.sent
        assert "my-" not in str(caught.value)
        assert free(client, origin)


async def test_the_connection_to_a_proxy_that_refuses_is_closed(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        await peer.gone()

    async with Upstream(script) as server:
        origin = Origin("https", "model.example", 443, proxy=f"http://127.0.0.1:{server.port}")
        with pytest.raises(ConnectFailed) as caught:  # kept alive, and its traceback with it
            await client.send(origin, request(), short())
        [peer] = server.peers
        assert await until(lambda: peer.closed_at is not None) < PATIENCE / 2
        assert "403" in str(caught.value)


async def test_a_proxy_that_wants_other_credentials(client: Client) -> None:
    answer = b"HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n"
    async with Upstream(says(answer)) as server:
        origin = Origin("http", "x.example", 80, proxy=f"http://127.0.0.1:{server.port}")
        with pytest.raises(ConnectFailed, match="credentials"):
            await client.send(origin, request(), short(), whole=True)
        assert free(client, origin)


async def test_a_proxy_that_is_not_there(client: Client) -> None:
    async with Upstream(answers(OK)) as server:
        port = server.port
    for scheme in ("http", "https"):
        origin = Origin(scheme, "x.example", 80, proxy=f"http://127.0.0.1:{port}")
        with pytest.raises(ConnectFailed, match=f"127.0.0.1:{port} cannot be reached"):
            await client.send(origin, request(), short(), whole=True)


async def test_a_proxy_that_does_not_answer(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with Upstream(script) as server:
        origin = Origin("https", "x.example", 443, proxy=f"http://127.0.0.1:{server.port}")
        with pytest.raises(ConnectTimeout):
            await client.send(origin, request(), short(connect=0.2), whole=True)
        assert free(client, origin)


@pytest.mark.parametrize(
    "url", ["socks5://x:1", "https://x:1", "x:1", "http://", "http://x:99999", "http://[x"]
)
async def test_addresses_that_are_none(client: Client, url: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(ConnectFailed, match="the proxy's address"):
            await client.send(Origin(scheme, "x.example", 80, proxy=url), request(), short())


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("x.example", b"x.example:443"),
        ("::1", b"[::1]:443"),
        ("[::1]", b"[::1]:443"),
        ("bücher.example", b"xn--bcher-kva.example:443"),
    ],
)
def test_the_target_of_a_tunnel(host: str, name: bytes) -> None:
    text = proxy.connect_request(Origin("https", host, 443), proxy.parse("http://p:1"))
    assert text == b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (name, name)


@pytest.mark.parametrize("host", ["", "a b", "a\r\nX: y", "a/b", "u@h", "a..\u00fc"])
def test_names_that_would_break_a_request(host: str) -> None:
    with pytest.raises(DnsFailure):
        proxy.authority(Origin("https", host, 443))
