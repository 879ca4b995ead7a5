"""The process that holds an embedding model: ``python -m modelyard.inference.local.engine``.

One for a server, however many workers it has: they share its memory and its batches. It listens on
a Unix socket and ends with the last worker's connection, so it never outlives its server. A lock
beside the socket sees to it that there is one; a second one ends at once, with status 0.

The only module that imports numpy, onnxruntime and tokenizers, of the extra ``local``.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import sys
from array import array
from base64 import b64encode
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from modelyard.inference.local.batching import Job, Queue, Row
from modelyard.inference.local.frames import GREETING, Ask, Told, decode_ask, frame, read

_ALONE = 30.0  # seconds without a first connection, after which the server is taken for gone
_MOST_THREADS = 4  # that compute: the server needs cores too
_BEGINNING = 16_384  # characters in which the tokens that count are looked for first
_LONGEST_WORD = 100  # characters; a longer word is one unknown token, whole or cut
_AT_ONCE = 64  # texts split into tokens before another request's
_ERRORS_ONLY = 3
_SLOWER = ["SkipLayerNormFusion"]  # what it makes divides for each number: 7 % more for a text


def opened(graph: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """A graph in memory, computed in so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(
        str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOWER
    )


class Embedder:
    """The model in memory."""

    def __init__(self, folder: Path, longest: int) -> None:
        self.longest = longest
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(longest)
        self._session = opened(folder / "model.onnx")  # batches run beside each other

    def split(self, texts: Sequence[str]) -> list[tuple[list[int], bool]]:
        """Each text's tokens with the model's two markers, and whether it was cut."""
        found = self._tokenizer.encode_batch([text[:_BEGINNING] for text in texts])
        return [
            (one.ids, bool(one.overflowing)) if len(text) <= _BEGINNING else self._long(text)
            for text, one in zip(texts, found, strict=True)
        ]

    def _long(self, text: str) -> tuple[list[int], bool]:
        """The same of a text that is too long to be split as a whole: mostly its beginning does."""
        size = _BEGINNING
        while True:
            found = self._tokenizer.encode(text[:size])
            ends = found.offsets[-2][1] if found.overflowing else size
            if size >= len(text) or ends + _LONGEST_WORD < size:
                return found.ids, bool(found.overflowing)
            size *= 8

    def embed(self, rows: Sequence[Sequence[int]]) -> list[bytes]:
        """The vectors of texts that were split: unit vectors of little-endian float32."""
        shape = len(rows), max(map(len, rows))
        ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = 1
        found = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return [vector.astype("<f4").tobytes() for vector in found]


class Engine:
    """Serves one model on one socket."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._queue = Queue()
        self._came = asyncio.Event()
        self._ended = asyncio.Event()
        self._clients = 0
        self._fault: BaseException | None = None
        self._splitting = ThreadPoolExecutor(1)
        self._threads = min(_MOST_THREADS, cores())
        self._computing = ThreadPoolExecutor(self._threads)

    async def serve(self, listener: socket.socket) -> None:
        """Serve until nobody is connected any more."""
        server = await asyncio.start_unix_server(self._client, sock=listener)
        computing = [asyncio.create_task(self._compute()) for _ in range(self._threads)]
        for task in computing:
            task.add_done_callback(self._over)
        asyncio.get_running_loop().call_later(_ALONE, self._end_if_alone)
        await self._ended.wait()
        server.close()
        for task in computing:
            task.cancel()
        if self._fault is not None:  # the server starts another process
            raise self._fault

    def _over(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = fault
            self._ended.set()

    def _end_if_alone(self) -> None:
        if not self._clients:
            self._ended.set()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        running: dict[int, asyncio.Task[None]] = {}
        writer.write(frame(Told(GREETING)))
        try:
            while (body := await read(reader)) is not None:
                ask = decode_ask(body)
                if ask.texts:
                    task = asyncio.create_task(self._answer(ask, writer))
                    running[ask.id] = task
                    task.add_done_callback(partial(_forget, running, ask.id))
                    task.add_done_callback(self._over)
                elif ask.id in running:
                    running[ask.id].cancel()
        finally:
            for task in list(running.values()):
                task.cancel()
            writer.close()
            self._clients -= 1
            self._end_if_alone()

    async def _answer(self, ask: Ask, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        found: list[tuple[list[int], bool]] = []
        for start in range(0, len(ask.texts), _AT_ONCE):
            part = ask.texts[start : start + _AT_ONCE]
            found += await loop.run_in_executor(self._splitting, self._embedder.split, part)
        over: asyncio.Future[None] = loop.create_future()
        job = Job([ids for ids, _ in found], partial(_settle, over))
        self._queue.add(job)
        self._came.set()
        try:
            await over
        except asyncio.CancelledError:
            job.drop()
            raise
        told = Told(
            ask.id,
            written(job.vectors, ask.as_base64),
            sum(len(ids) for ids, _ in found),
            [number for number, (_, cut) in enumerate(found) if cut],
        )
        if not writer.is_closing():
            writer.write(frame(told))

    async def _compute(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = self._queue.next()
            if batch is None:
                self._came.clear()
                await self._came.wait()
                continue
            await loop.run_in_executor(self._computing, self._run, batch)
            for job, _ in batch:
                job.count_down()

    def _run(self, batch: list[Row]) -> None:
        rows = [job.rows[number] for job, number in batch]
        for (job, number), vector in zip(batch, self._embedder.embed(rows), strict=True):
            job.vectors[number] = vector


def cores() -> int:
    """The processors that this process may use; where the system does not tell, all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _forget(running: dict[int, asyncio.Task[None]], number: int, _: object) -> None:
    running.pop(number, None)


def _settle(over: asyncio.Future[None], _: Job) -> None:
    if not over.done():
        over.set_result(None)


def written(vectors: Iterable[bytes], as_base64: bool) -> bytes:
    """OpenAI's list of embeddings as JSON."""
    items: list[dict[str, Any]] = []
    for number, vector in enumerate(vectors):
        shown = b64encode(vector).decode() if as_base64 else array("f", vector).tolist()
        items.append({"object": "embedding", "index": number, "embedding": shown})
    return msgspec.json.encode(items)


def main(arguments: Sequence[str]) -> int:
    """Serve ``FOLDER SOCKET LONGEST``; the exit status of the process."""
    folder, address = map(Path, arguments[:2])
    with Path(f"{address}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        embedder = Embedder(folder, int(arguments[2]))
        embedder.embed([[0]])  # the first run is slower
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(address))
            address.chmod(0o600)
            asyncio.run(Engine(embedder).serve(listener))
        address.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
