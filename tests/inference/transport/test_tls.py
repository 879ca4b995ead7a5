"""TLS is verified always; a private CA, a client certificate and a name are settings."""

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from scripted import OK, PATIENCE, Peer, Upstream, answers, free, listen, request, short

from modelyard.inference.transport.client import Client
from modelyard.inference.transport.wire import ConnectionLost, Tls, TlsFailure


class Authority:
    """A private CA, and what it signs."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.folder = folder
        self.file = str(folder / "ca.pem")
        self.ca.cert_pem.write_to_path(self.file)

    def context(self, *names: str, clients: "Authority | None" = None) -> ssl.SSLContext:
        return self.context_of(self.ca.issue_cert(*names), clients)

    def context_of(
        self, cert: trustme.LeafCert, clients: "Authority | None" = None
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        cert.configure_cert(context)
        if clients is not None:
            context.load_verify_locations(clients.file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, name: str) -> tuple[str, str]:
        """Paths of a client's certificate and key."""
        leaf = self.ca.issue_cert(name)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        leaf.cert_chain_pems[0].write_to_path(str(cert))
        leaf.private_key_pem.write_to_path(str(key))
        return str(cert), str(key)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_private_ca(client: Client, authority: Authority, whole: bool) -> None:
    context = authority.context("localhost")
    async with Upstream(answers(OK), context=context) as upstream:
        origin = upstream.origin(host="localhost", tls=Tls(ca_file=authority.file))
        for number in range(3):
            response = await client.send(origin, request(), short(), whole=whole)
            assert await response.read(10) == b"ok"
            assert response.reused == (number > 0)
        assert len(upstream.peers) == 1


async def test_an_address_instead_of_a_name(client: Client, authority: Authority) -> None:
    async with Upstream(answers(OK), context=authority.context("127.0.0.1")) as upstream:
        origin = upstream.origin(tls=Tls(ca_file=authority.file))
        response = await client.send(origin, request(), short(), whole=True)
        assert await response.read(10) == b"ok"


async def failure(client: Client, upstream: Upstream, tls: Tls, host: str) -> str:
    origin = upstream.origin(host=host, tls=tls)
    with pytest.raises(TlsFailure) as caught:
        await client.send(origin, request(), short(), whole=True)
    assert not caught.value.sent
    assert free(client, origin)
    assert upstream.asked == []
    return str(caught.value)


async def test_an_unknown_ca(client: Client, authority: Authority) -> None:
    async with Upstream(answers(OK), context=authority.context("localhost")) as upstream:
        message = await failure(client, upstream, Tls(), "localhost")
        assert "unable to get local issuer certificate" in message


async def test_another_name(client: Client, authority: Authority) -> None:
    async with Upstream(answers(OK), context=authority.context("other.example")) as upstream:
        tls = Tls(ca_file=authority.file)
        message = await failure(client, upstream, tls, "localhost")
        assert "Hostname mismatch, certificate is not valid for 'localhost'" in message
        message = await failure(client, upstream, tls, "127.0.0.1")
        assert "IP address mismatch" in message
        assert "127.0.0.1" in message


async def test_an_expired_certificate(client: Client, authority: Authority) -> None:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    context = authority.context_of(authority.ca.issue_cert("localhost", not_after=past))
    async with Upstream(answers(OK), context=context) as upstream:
        message = await failure(client, upstream, Tls(ca_file=authority.file), "localhost")
        assert "certificate has expired" in message


async def test_a_server_name(client: Client, authority: Authority) -> None:
    names: list[str | None] = []
    context = authority.context("model.example")
    context.sni_callback = lambda _, name, __: names.append(name)
    async with Upstream(answers(OK), context=context) as upstream:
        tls = Tls(ca_file=authority.file, server_name="model.example")
        origin = upstream.origin(host="localhost", tls=tls)
        response = await client.send(origin, request(), short(), whole=True)
        assert await response.read(10) == b"ok"
        assert names == ["model.example"]


async def test_a_client_certificate(client: Client, authority: Authority) -> None:
    context = authority.context("localhost", clients=authority)
    cert, key = authority.client("gateway")
    async with Upstream(answers(OK), context=context) as upstream:
        tls = Tls(ca_file=authority.file, client_cert=cert, client_key=key)
        origin = upstream.origin(host="localhost", tls=tls)
        response = await client.send(origin, request(), short(), whole=True)
        assert await response.read(10) == b"ok"


async def test_a_missing_client_certificate(client: Client, authority: Authority) -> None:
    """In TLS 1.3 the client hears of it after its own side of the handshake."""
    context = authority.context("localhost", clients=authority)
    async with Upstream(answers(OK), context=context) as upstream:
        origin = upstream.origin(host="localhost", tls=Tls(ca_file=authority.file))
        with pytest.raises((TlsFailure, ConnectionLost)) as caught:
            await client.send(origin, request(), short(), whole=True)
        if isinstance(caught.value, TlsFailure):
            assert "certificate required" in str(caught.value)
        assert free(client, origin)
        assert upstream.asked == []


async def test_a_server_without_tls(client: Client, authority: Authority) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(10)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with Upstream(script) as upstream:
        assert "wrong version number" in await failure(client, upstream, Tls(), "localhost")


async def test_closed_in_the_handshake(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(10)
        peer.reset()

    async with Upstream(script) as upstream:
        await failure(client, upstream, Tls(), "localhost")


@pytest.mark.parametrize("field", ["ca_file", "client_cert", "client_key"])
async def test_files_that_cannot_be_used(
    client: Client, authority: Authority, field: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.pem").write_text("not a certificate")
    cert, key = authority.client("gateway")
    good = {"ca_file": authority.file, "client_cert": cert, "client_key": key}
    async with Upstream(answers(OK), context=authority.context("localhost")) as upstream:
        for name in ("bad.pem", "missing.pem"):
            tls = Tls(**{**good, field: str(tmp_path / name)})
            message = await failure(client, upstream, tls, "localhost")
            assert field in message


def encrypt(key: Path, target: Path) -> None:
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"my-password")
    form = serialization.PrivateFormat.PKCS8
    target.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, form, secret))


async def test_an_encrypted_key_is_refused_without_asking(
    client: Client, authority: Authority, tmp_path: Path
) -> None:
    cert, key = authority.client("gateway")
    encrypt(Path(key), tmp_path / "secret.key")
    async with Upstream(answers(OK), context=authority.context("localhost")) as upstream:
        tls = Tls(authority.file, cert, str(tmp_path / "secret.key"))
        assert "the key is encrypted" in await failure(client, upstream, tls, "localhost")


async def test_contexts_are_made_once(client: Client, authority: Authority) -> None:
    async with Upstream(answers(OK), context=authority.context("localhost")) as upstream:
        for wait in (1.0, 2.0):
            tls = Tls(ca_file=authority.file)
            origin = upstream.origin(host="localhost", tls=tls, pool_wait=wait)
            await client.send(origin, request(), short(), whole=True)
        assert len(client._contexts) == 1


@pytest.mark.parametrize("clean", [True, False])
async def test_a_body_until_the_end_of_tls(
    client: Client, authority: Authority, clean: bool
) -> None:
    """The end of TCP alone is no end: anybody on the way could have made it."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n", b"something")
        await asyncio.sleep(0.05)
        if not clean:
            peer.writer.transport.abort()

    async with Upstream(script, context=authority.context("localhost")) as upstream:
        origin = upstream.origin(host="localhost", tls=Tls(ca_file=authority.file))
        heard = listen(await client.send(origin, request(), short()))
        error = await heard.wait()
        assert heard.body == b"something"
        assert error is None if clean else isinstance(error, ConnectionLost)
        assert free(client, origin)


async def test_large_bodies_both_ways(client: Client, authority: Authority) -> None:
    body = bytes(range(256)) * 20_000

    async def script(peer: Peer) -> None:
        while True:
            asked = await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(asked.body))
            await peer.send(asked.body)

    async with Upstream(script, context=authority.context("localhost")) as upstream:
        origin = upstream.origin(host="localhost", tls=Tls(ca_file=authority.file))
        for number in range(2):
            response = await client.send(origin, request(body=body), short(), whole=True)
            assert await response.read(len(body)) == body
            assert response.reused == (number > 0)


async def test_pausing_over_tls(client: Client, authority: Authority) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n")
        for _ in range(200):
            await peer.send(bytes(100_000))
        await peer.gone()

    async with Upstream(script, context=authority.context("localhost")) as upstream:
        origin = upstream.origin(host="localhost", tls=Tls(ca_file=authority.file))
        response = await client.send(origin, request(), short())
        heard = listen(response)
        await asyncio.wait_for(heard.more.wait(), PATIENCE)
        response.pause()
        count = len(heard.pieces)
        await asyncio.sleep(0.2)
        assert len(heard.pieces) == count
        response.resume()
        assert await heard.wait() is None
        assert len(heard.body) == 20_000_000
