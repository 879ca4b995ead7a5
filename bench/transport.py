"""Processor time of the upstream client for a request: ``python -m bench.transport``.

A server answers from another process, pinned to the last core, or ``--port`` names one that is
there (bench/upstream.c needs less time itself, so that more is left for the client). The client
runs on the first core. Each figure is the median of rounds that take turns. "bare" is what the
loop and the kernel need: a future, a write and a read, and nothing that looks at them.
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import time
from multiprocessing.connection import Connection as Pipe
from typing import NamedTuple

import uvloop

from modelyard.inference.transport.client import Client
from modelyard.inference.transport.wire import Deadlines, Origin, Request, head

ANSWER = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[' + b"x" * 340 + b"]}"
FIELDS = (
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nX-Request-Id: req_0123456789abcdef\r\n"
)
WHOLE = FIELDS + b"Content-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER
EVENT = b'data: {"choices":[{"delta":{"content":" token"},"index":0}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
DEADLINES = Deadlines()


class Figure(NamedTuple):
    cpu: float  # microseconds each
    rate: float  # each second


class Upstream(asyncio.Protocol):
    """Answers every read with WHOLE, or with a stream when the request says so."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if b"stream:" in data[:300]:
            self.task = asyncio.ensure_future(self.stream())
        else:
            self.transport.write(WHOLE)

    async def stream(self) -> None:
        self.transport.write(FIELDS + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            await asyncio.sleep(0.002)
            self.transport.write(CHUNK)
        self.transport.write(b"0\r\n\r\n")


def serve(pipe: Pipe) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


def request(stream: bool) -> Request:
    fields = [
        ("Host", "127.0.0.1"),
        ("Authorization", "Bearer my-key-of-the-benchmark"),
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
    ]
    fields += [("stream", "1")] if stream else []
    return Request(head("POST", "/v1/chat/completions", fields), b"y" * 250)


class Bare(asyncio.Protocol):
    """Takes any bytes for an answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.answer.set_result(data)


async def bare(client: Client, origin: Origin, connections: int, number: int) -> int:
    loop = asyncio.get_running_loop()
    ask = request(False)
    text = ask.head + b"Content-Length: %d\r\n\r\n" % len(ask.body) + ask.body

    async def one() -> None:
        transport, protocol = await loop.create_connection(Bare, origin.host, origin.port)
        for _ in range(number // connections):
            protocol.answer = loop.create_future()
            transport.write(text)
            await protocol.answer
        transport.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return number


async def whole(client: Client, origin: Origin, connections: int, number: int) -> int:
    ask = request(False)

    async def one() -> None:
        for _ in range(number // connections):
            response = await client.send(origin, ask, DEADLINES, whole=True)
            assert len(await response.read(10_000)) > 100

    await asyncio.gather(*(one() for _ in range(connections)))
    return number


async def streams(client: Client, origin: Origin, connections: int, number: int) -> int:
    ask = request(True)

    async def one() -> None:
        for _ in range(max(1, number // 100 // connections)):
            response = await client.send(origin, ask, DEADLINES)
            ended = asyncio.get_running_loop().create_future()
            response.listen(lambda data: None, ended.set_result)
            assert await ended is None

    await asyncio.gather(*(one() for _ in range(connections)))
    return max(1, number // 100 // connections) * connections * 100


WORK = {"bare": bare, "whole": whole, "chunks": streams}


async def measure(origin: Origin, what: str, connections: int, number: int) -> Figure:
    client = Client()
    work = WORK[what]
    await work(client, origin, connections, number // 10)
    cpu, began = time.process_time(), time.perf_counter()
    number = await work(client, origin, connections, number)
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    await client.close()
    return Figure(cpu / number * 1e6, number / took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--number", type=int, default=50_000)
    parser.add_argument("--port", type=int, help="of a server that is already there")
    asked = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    if asked.port is None:
        server.start()
    origin = Origin("http", "127.0.0.1", asked.port or here.recv())
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    run = uvloop.run if asked.loop == "uvloop" else asyncio.run
    cases = [("bare", 1), ("bare", 32), ("whole", 1), ("whole", 32)]
    cases += [("chunks", 100)] if asked.port is None else []
    figures: dict[tuple[str, int], list[Figure]] = {case: [] for case in cases}
    for _ in range(asked.rounds):
        for case in cases:
            figures[case].append(run(measure(origin, *case, asked.number)))
    for (what, connections), rounds in figures.items():
        cpu = statistics.median(figure.cpu for figure in rounds)
        rate = statistics.median(figure.rate for figure in rounds)
        print(f"{what:6} {connections:4} connections  {cpu:6.2f} µs CPU each  {rate:9,.0f}/s")
    if asked.port is None:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
