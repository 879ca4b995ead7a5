"""The entry: what breaks while a request is read is answered, and told in the log."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from modelyard.auth.keys import UNLIMITED, Key, KeyRing, digest
from modelyard.inference.app import App
from modelyard.inference.call import CHAT, Call
from modelyard.inference.ledger import Ledger
from modelyard.inference.metrics import Metrics
from modelyard.inference.plane import Plane
from modelyard.inference.snapshot import Snapshot
from modelyard.inference.surfaces.inbound import Inbound
from modelyard.inference.surfaces.messages import MessagesSurface
from modelyard.inference.surfaces.messages_answer import MessagesDelivery
from modelyard.settings import Settings
from modelyard.storage.ledger.file import LedgerFile
from patience import LONG

PEPPER = b"p" * 32
SECRET = "my-" + "0" * 40


class Breaking(MessagesSurface):
    """A surface with a mistake in it."""

    def read(self, inbound: Inbound) -> tuple[Call, MessagesDelivery]:
        raise ZeroDivisionError("a mistake of ours")


async def control(*_: Any) -> None:
    """No control plane."""


async def test_a_mistake_while_reading_is_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = Key(id="k", workspace="w", scopes=("inference:create",), limits=UNLIMITED)
    ring = KeyRing(PEPPER, {digest(PEPPER, SECRET): key})
    file = LedgerFile.open(tmp_path / "ledger")
    plane = Plane(Settings(), Snapshot({}, (), {}, "", ring), Ledger(file, Metrics()))
    app = App(plane, [Breaking("messages", "/v1/messages", CHAT, 10.0)], control)
    server = await asyncio.get_running_loop().create_server(app.connect, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    with caplog.at_level(logging.ERROR):
        writer.write(
            b"POST /v1/messages HTTP/1.1\r\nhost: h\r\nx-api-key: %b\r\nx-request-id: r-1\r\n"
            b"content-length: 2\r\nconnection: close\r\n\r\n{}" % SECRET.encode()
        )
        raw = await asyncio.wait_for(reader.read(), LONG)
    writer.close()
    server.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    told = json.loads(body)
    assert (told["type"], told["error"]["code"], told["request_id"]) == ("error", "INTERNAL", "r-1")
    assert "ZeroDivisionError: a mistake of ours" in caplog.text
    file.discard(file.segment)
