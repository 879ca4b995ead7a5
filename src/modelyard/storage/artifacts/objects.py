"""Objects by name: files of a folder, or of an S3 bucket; both through obstore.

An object is made once and never changed. Local ones are on disk when ``put`` returns.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncGenerator, Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from modelyard.protocol.errors import Failure

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SENDING = 4  # objects that are sent at once: each is in memory twice meanwhile
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_FULL = {28, 27, 122}  # ENOSPC, EFBIG, EDQUOT
_UNFINISHED = re.compile(r"#\d+$")  # what obstore calls a file that is not whole yet


class Found(NamedTuple):
    """An object of a listing; ``size`` in bytes, ``changed`` in Unix seconds."""

    name: str
    size: int
    changed: float


class Exists(Exception):
    """There is an object of this name; it stays as it is."""


class Objects:
    """Raises ``STORAGE_FULL``, ``SYSTEM_OVERLOADED`` where the store does not answer.

    ``folder`` is where local objects are, None for a bucket. ``reserve`` bytes of its disk stay
    free: the database may share it. ``opened`` makes the store once something is kept or read:
    obstore takes 6 MB, and who collects leftovers in a folder needs none of it.
    """

    def __init__(
        self, opened: Callable[[], ObjectStore], folder: Path | None = None, reserve: int = 0
    ) -> None:
        self._opened = opened
        self.folder = folder
        self._reserve = reserve
        self._sending = asyncio.Semaphore(SENDING)

    @cached_property
    def _store(self) -> ObjectStore:
        return self._opened()

    async def put(self, name: str, data: bytes, *, again: bool = False) -> None:
        """Make an object, whole or not at all. Raises ``Exists`` unless it is made ``again``.

        The same bytes made again are there all the while, and are as new as of now.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        await self.room(len(data))
        async with self._sending:
            try:
                await obstore.put_async(
                    self._store,
                    name,
                    data,
                    mode="overwrite" if again else "create",
                    use_multipart=False,
                )
            except (AlreadyExistsError, PreconditionError):
                raise Exists(name) from None
            except (BaseError, OSError) as error:
                raise _failure(error) from error
        if self.folder is not None:
            await asyncio.to_thread(_sync, self.folder, name)

    async def get(self, name: str) -> memoryview | None:
        """A whole object; None where there is none."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            answer = await obstore.get_async(self._store, name)
            return memoryview(await answer.bytes_async())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _failure(error) from error

    async def under(self, prefix: str = "") -> AsyncGenerator[Found, None]:
        """Every object of a folder, in no order."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            async for some in obstore.list(self._store, prefix or None, chunk_size=1000):
                for one in some:
                    yield Found(one["path"], one["size"], one["last_modified"].timestamp())
        except (BaseError, OSError) as error:
            raise _failure(error) from error

    async def beginning(self, start: str) -> list[str]:
        """The names in a folder of a bucket that begin with ``start`` (``folder/some``)."""
        import obstore
        from obstore.exceptions import BaseError

        names: list[str] = []
        try:
            async for some in obstore.list(self._store, start.rpartition("/")[0], offset=start):
                for one in some:
                    if not one["path"].startswith(start):
                        return names
                    names.append(one["path"])
        except (BaseError, OSError) as error:
            raise _failure(error) from error
        return names

    async def folders(self) -> list[str]:
        """The folders at the top."""
        if self.folder is not None:
            return await asyncio.to_thread(_folders, self.folder)
        import obstore
        from obstore.exceptions import BaseError

        try:
            found = await obstore.list_with_delimiter_async(self._store)
        except (BaseError, OSError) as error:
            raise _failure(error) from error
        return [str(one) for one in found["common_prefixes"]]

    async def drop(self, prefix: str) -> None:
        """Remove every object of a folder, whole or not; it is no error if there is none."""
        import obstore
        from obstore.exceptions import BaseError

        if self.folder is not None:
            await asyncio.to_thread(shutil.rmtree, self.folder / prefix, ignore_errors=True)
            return
        names = [one.name async for one in self.under(prefix)]
        try:
            if names:
                await obstore.delete_async(self._store, names)
        except (BaseError, OSError) as error:
            raise _failure(error) from error

    async def remove(self, name: str) -> None:
        """Remove one object; it is no error if there is none."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            await obstore.delete_async(self._store, name)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise _failure(error) from error

    async def room(self, needed: int) -> None:
        """Raise ``STORAGE_FULL`` where a local disk has no room for so many bytes."""
        if self.folder is None:
            return
        free = await asyncio.to_thread(_free, self.folder)
        if free - self._reserve < needed:
            raise _full(needed, max(0, free - self._reserve))

    async def sweep(self, before: float) -> int:
        """Remove files that a killed process left unfinished before a time; how many."""
        if self.folder is None:
            return 0
        return await asyncio.to_thread(_sweep, self.folder, before)


def _folders(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one.is_dir())


def _sweep(folder: Path, before: float) -> int:
    removed = 0
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at, name)
            try:
                if _UNFINISHED.search(name) and path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:
                continue
    return removed


def _sync(folder: Path, name: str) -> None:
    """Make a file and its folders survive a power cut."""
    path = folder / name
    for one in (path, path.parent, folder):
        opened = os.open(one, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _full(needed: int, free: int | None) -> Failure:
    return Failure(
        "STORAGE_FULL",
        "The disk that holds the artifacts has no room for this; nothing of it was kept. Delete "
        "artifacts, or give it more room.",
        details={"needed_bytes": needed, "free_bytes": free},
    )


def _failure(error: Exception) -> Exception:
    """What a client is told; what is the server's own fault stays what it is."""
    text = str(error)
    code = _OS_ERROR.search(text)
    number = int(code.group(1)) if code else getattr(error, "errno", None)
    if number in _FULL:
        return _full(0, 0)
    if number is not None:
        return error
    return Failure(
        "SYSTEM_OVERLOADED",
        "The store of the artifacts does not answer as it should. Try again in a moment.",
        retry_after=2,
    )


def open_folder(folder: Path, reserve: int = 0) -> Objects:
    """Objects that are files in a folder, which is made if it is missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def opened() -> ObjectStore:
        from obstore.store import LocalStore

        return LocalStore(folder)

    return Objects(opened, folder, reserve)


def open_bucket(url: str, *, endpoint: str | None = None, region: str | None = None) -> Objects:
    """Objects of the bucket at ``s3://bucket/prefix``; credentials are AWS_* of the environment.

    ``endpoint`` is another server that speaks S3, also without TLS.
    """
    from obstore.store import S3Store

    parts = urlsplit(url)
    more: dict[str, Any] = {"region": region} if region else {}
    if endpoint:
        more["endpoint"] = endpoint
    store = S3Store(
        parts.netloc,
        prefix=unquote(parts.path).strip("/") or None,
        client_options={"allow_http": bool(endpoint and endpoint.startswith("http://"))},
        **more,
    )
    return Objects(lambda: store)
