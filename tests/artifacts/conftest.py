"""Objects in a folder and in a bucket of another make's server, and servers over both."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import boto3
import pytest
from moto.server import ThreadedMotoServer

from artifacts.api import Api
from modelyard.storage.artifacts.objects import Objects, open_bucket, open_folder
from serving import Server

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
}


class OneAtATime:
    """S3 looks at a condition and writes in one step, and lists what there was at a moment.

    moto's threads change and walk through the same dictionaries, in steps.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        with self._lock:
            return list(self._app(environ, start))


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an S3 server (moto) with a bucket ``modelyard``."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    listening: Any = server._server
    listening.app = OneAtATime(listening.app)
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    client.create_bucket(Bucket="modelyard")
    yield url
    server.stop()


@pytest.fixture(params=["folder", "bucket"])
def objects(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Objects:
    """An empty store of each kind."""
    if request.param == "folder":
        return open_folder(tmp_path / "objects")
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    endpoint = request.getfixturevalue("s3")
    return open_bucket(f"s3://modelyard/{request.node.name}", endpoint=endpoint)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that keeps artifacts in its home."""
    with Server() as one:
        yield one


@pytest.fixture
def api(server: Server) -> Api:
    return Api(server.url, server.key)
