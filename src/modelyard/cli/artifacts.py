"""``modelyard artifacts upload`` and ``download``: large files that survive interruptions."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

import typer

from modelyard.cli.client import Client, segment
from modelyard.cli.folders import Folder
from modelyard.cli.options import Json, Key, Url, Workspace, connect
from modelyard.cli.output import console, print_json
from modelyard.cli.problem import Problem
from modelyard.cli.progress import BYTES, Bar, shown
from modelyard.protocol.digests import content_digest

app = typer.Typer()
T = TypeVar("T")

_PATH = "/v1/artifacts"
_CHUNK = 1024 * 1024
_TRIES = 6  # of a part, while the server is away or busy


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to send.")],
    name: Annotated[str | None, typer.Option(help="Its name there; else the file's.")] = None,
    media_type: Annotated[
        str, typer.Option(metavar="TYPE", help="Its media type.")
    ] = "application/octet-stream",
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Upload a file in parts; the same command goes on with an upload that was interrupted."""
    about = {"name": name or file.name, "media_type": media_type}
    made = sent(connect(url, key), file, workspace, about)
    if as_json:
        print_json(made)
    else:
        console().print(f"{made['id']} ({made['size']:,} bytes)", markup=False, soft_wrap=True)


def sent(client: Client, file: Path | Folder, workspace: str | None, about: dict[str, str]) -> Any:
    """The artifact of a file: what lacks of it is sent. ``about`` are its fields."""
    query = _query(workspace)
    if isinstance(file, Path) and not file.is_file():
        raise Problem(f"{file} is no file", status=2)
    with _transfer() as bar:
        size = file.stat().st_size if isinstance(file, Path) else file.size
        bar.phase(f"reading {file.name}", size, BYTES)
        digest = _sha256(file, bar)
        made = _existing(client, digest, query)
        if made is None:
            made = _send(client, file, about | {"size": size, "sha256": digest}, query, bar)
    return made


@app.command()
def download(
    own_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, as 'list' shows it.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to; else its name, here.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Download an artifact and verify it; the same command goes on after an interruption."""
    client, query = connect(url, key), _query(workspace)
    with _transfer() as bar:
        about = _tried(lambda: client.call("GET", f"{_PATH}/{segment(own_id)}{query}"))
        target = file or Path(Path(about["name"] or own_id).name)
        if target.exists() and not force:
            raise Problem(f"{target} exists; it is replaced with --force only")
        unfinished = target.with_name(f".{target.name}.{own_id[:12]}.part")
        _fetch(client, about, unfinished, query, bar)
        bar.phase(f"verifying {target.name}", about["size"], BYTES)
        found = _sha256(unfinished, bar)
        if found != own_id:
            unfinished.unlink()
            raise Problem(f"what came has the SHA-256 {found}: it was damaged on its way; repeat")
        unfinished.replace(target)
    told = {"id": own_id, "file": str(target), "size": about["size"]}
    if as_json:
        print_json(told)
    else:
        console().print(f"{target} ({about['size']:,} bytes, verified)", markup=False)


def _query(workspace: str | None, **more: Any) -> str:
    sent = {"workspace": workspace, **more} if workspace else more
    return f"?{urlencode(sent)}" if sent else ""


def _existing(client: Client, digest: str, query: str) -> Any:
    try:
        found = _tried(lambda: client.call("GET", f"{_PATH}/{digest}{query}"))
    except Problem as problem:
        if problem.error.get("code") != "NOT_FOUND":
            raise
        return None
    return None if found["damaged_at"] else found


def _send(
    client: Client, file: Path | Folder, asked: Mapping[str, Any], query: str, bar: Bar
) -> Any:
    """The artifact, after what lacks of it was sent."""
    path = f"{_PATH}/uploads"
    begun = _begun(client, asked, query)
    one = begun or _tried(lambda: client.call("POST", path + query, asked))
    size, most = asked["size"], one["part_size"]
    here = {part["number"] for part in one["parts"]}
    bar.phase(f"sending {file.name}", size, BYTES)
    with file.open("rb") as stream:
        for number in range(1, -(-size // most) + 1):
            at = (number - 1) * most
            if number in here:
                bar.skip(min(most, size - at))
                continue
            stream.seek(at)
            _part(client, f"{path}/{one['id']}/parts", query, number, stream.read(most))
            bar.advance(min(most, size - at))
    bar.phase(f"completing {file.name}")
    seconds = 60.0 + size / 10e6  # it may be read anew to make the hash
    return client.call("POST", f"{path}/{one['id']}/complete{query}", {}, seconds=seconds)


def _begun(client: Client, asked: Mapping[str, Any], query: str) -> Any:
    """An upload of the same bytes that was interrupted; None where there is none."""
    wanted = urlencode({"filter": f'sha256 = "{asked["sha256"]}" AND size = {asked["size"]}'})
    sign = "&" if query else "?"
    found = _tried(lambda: client.call("GET", f"{_PATH}/uploads{query}{sign}{wanted}"))["uploads"]
    if not found:
        return None
    return _tried(lambda: client.call("GET", f"{_PATH}/uploads/{found[0]['id']}{query}"))


def _part(client: Client, path: str, query: str, number: int, body: bytes) -> None:
    sign = "&" if query else "?"
    digest = {"Content-Digest": content_digest(hashlib.sha256(body).hexdigest())}
    _tried(lambda: client.upload(f"{path}{query}{sign}number={number}", body, digest))


def _fetch(client: Client, about: Any, unfinished: Path, query: str, bar: Bar) -> None:
    """Fetch what lacks of the file."""
    size, path = about["size"], f"{_PATH}/{about['id']}/content{query}"
    bar.phase(f"fetching {about['name'] or about['id'][:12]}", size, BYTES)
    unfinished.touch()
    if unfinished.stat().st_size > size:
        os.truncate(unfinished, 0)
    bar.skip(unfinished.stat().st_size)
    while unfinished.stat().st_size < size:
        _tried(lambda: _more(client, path, unfinished, bar))


def _more(client: Client, path: str, unfinished: Path, bar: Bar) -> None:
    headers = {"Range": f"bytes={unfinished.stat().st_size}-"}
    with client.download(path, headers) as (status, read), unfinished.open("ab") as stream:
        if status != 206:
            stream.truncate(0)
        before = stream.tell()
        try:
            while data := read(_CHUNK):
                stream.write(data)
                bar.advance(len(data))
        except (ConnectionError, TimeoutError):
            pass  # what came is kept; the next request asks for the rest
        if stream.tell() == before:
            raise Problem(f"{client.url} broke off in the middle of its answer")


def _tried(call: Callable[[], T]) -> T:
    """Call; again, ever later, while the server is away or asks to come back."""
    for attempt in range(_TRIES):
        try:
            return call()
        except Problem as problem:
            known = "code" in problem.error
            if attempt == _TRIES - 1 or (known and not problem.error.get("retryable")):
                raise
            time.sleep(min(30.0, 0.5 * 2**attempt))
    raise AssertionError("unreachable")


def _sha256(file: Path | Folder, bar: Bar) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while data := stream.read(_CHUNK):
            digest.update(data)
            bar.advance(len(data))
    return digest.hexdigest()


@contextmanager
def _transfer() -> Iterator[Bar]:
    """A bar, and what an interruption or a file that cannot be used means."""
    try:
        with shown("the same command goes on where it stopped") as bar:
            yield bar
    except OSError as error:
        raise Problem(f"{error.filename or 'a file'}: {error.strerror or error}") from error
